package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// tolerated is how many probes in a row may fail before the hub counts as lost. One may meet a busy
// moment.
const tolerated = 1

// patience is how long a hub that sends something, but answers no probe, counts as slow and not as
// lost. Connecting again would make a busy hub busier: it would have to send all that it holds
// again, to us and to all other members.
const patience = time.Minute

// step checks what is configured and the hub, connects if necessary, and keeps the token valid.
func (h *Hub) step(ctx context.Context) (Status, error) {
	want, secret, status, err := readAccess(ctx, h.config.Local, h.config.Namespace)
	if err != nil || status.Reason != "" {
		return status, err
	}
	token := readToken(secret)
	h.expiry.Store(token.expiry())
	status, err = h.follow(ctx, want, token.text)
	if err != nil {
		return status, err
	}
	return h.keepToken(ctx, token, status), nil
}

// follow checks the hub, and connects if necessary. A new token goes with the next request over the
// same connections.
func (h *Hub) follow(ctx context.Context, want access, token string) (Status, error) {
	current := h.current()
	if current == nil || current.access != want || h.failed > tolerated {
		return h.connect(ctx, want, token)
	}
	ask, broke := want.probe, h.suspect.Swap(false)
	if renewed := h.transport.use(token); broke || renewed {
		ask = want.check
	}
	asked := time.Now()
	if status := ask(ctx, current.direct); status.Reason != "" {
		if status.Reason == v1alpha1.ReasonUnreachable && h.busy(asked) && asked.Sub(h.answered) < patience {
			h.suspect.CompareAndSwap(false, broke) // check it once it answers
			return current.membership(ctx)
		}
		return h.probeFailed(ctx, current, status)
	}
	h.failed, h.answered = 0, asked
	if broke && h.breaks.again(time.Now()) {
		return h.connect(ctx, want, token)
	}
	return current.membership(ctx)
}

// busy tells whether the hub is there although it did not answer in time: it has sent something
// since we asked.
func (h *Hub) busy(asked time.Time) bool {
	return time.Since(asked) >= checkTimeout && h.transport.heardSince(asked)
}

// probeFailed gives the hub a second chance. Then it closes the connections, which may be dead, and
// makes the next step connect again. After an outage the cache's watches might wait long before
// they try again.
func (h *Hub) probeFailed(ctx context.Context, current *session, status Status) (Status, error) {
	h.failed++
	if h.failed <= tolerated && status.Reason == v1alpha1.ReasonUnreachable {
		h.checkSoon()
		return current.membership(ctx)
	}
	h.failed = tolerated + 1
	h.transport.dialer.CloseAll()
	return status, nil
}

// connect checks the hub. If all is well, it opens a session in place of the old one, which stays
// readable until then.
func (h *Hub) connect(ctx context.Context, want access, token string) (Status, error) {
	if h.transport == nil || h.transportFor != want {
		t, err := newTransport(want, h.watchBroke)
		if err != nil {
			return Status{v1alpha1.ReasonSecretNotFound, fmt.Sprintf(
				"the hub's Secret cannot be used (%v): correct its key ca.crt", errors.Unwrap(err))}, nil
		}
		h.transport, h.transportFor = t, want
	}
	h.transport.use(token)
	direct, err := client.New(h.transport.config, client.Options{HTTPClient: h.transport.http, Scheme: h.config.Scheme})
	if err != nil {
		return Status{}, fmt.Errorf("preparing a client of hub %s: %w", want.server, err)
	}
	asked := time.Now()
	if status := want.check(ctx, direct); status.Reason != "" {
		if !h.busy(asked) {
			h.transport.dialer.CloseAll()
		}
		return status, nil
	}
	opened, err := openSession(ctx, want, h.transport, direct, h)
	if gone := (lost{}); errors.As(err, &gone) {
		return gone.status, nil
	}
	if err != nil {
		return Status{v1alpha1.ReasonUnreachable, err.Error()}, nil //nolint:nilerr // it is the status
	}
	if err := errors.Join(
		h.checkOn(ctx, opened.cache, &v1alpha1.Member{}, anyObject),
		h.checkOn(ctx, opened.cache, &coordinationv1.Lease{}, named(clusterset.IdentityLeaseName(want.cluster))),
	); err != nil {
		opened.close()
		return Status{}, err
	}
	h.failed, h.answered = 0, asked
	status, err := opened.membership(ctx)
	if err != nil {
		opened.close()
		return Status{}, err
	}
	return status, h.replace(opened, status)
}

// replace makes opened the session, delivers its objects to all subscriptions, and closes the old
// session.
func (h *Hub) replace(opened *session, status Status) error {
	h.mu.Lock()
	old := h.session
	h.session = opened
	h.status = Status{status.Reason, ""} // so that setStatus sees a change: controllers must compare what they hold with the hub
	subs := append([]*subscription(nil), h.subs...)
	h.mu.Unlock()
	if old != nil {
		old.close()
	}
	var errs []error
	for _, sub := range subs {
		errs = append(errs, opened.attach(sub))
	}
	return errors.Join(errs...)
}
