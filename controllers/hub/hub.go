package hub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// How often the hub is probed: while all is well, and while it is not.
const (
	wellPeriod = 5 * time.Second
	illPeriod  = 2 * time.Second
)

// tolerated is how many probes in a row may fail before the hub counts as lost: one may meet a busy moment.
const tolerated = 1

// patience is for how long a hub that is heard, but answers no probe, counts as slow and not as lost. To connect anew
// would make a busy hub busier: it would have to tell again all that it holds, as it would all other members.
const patience = time.Minute

// Config is what a Hub needs.
type Config struct {
	Local     cache.Cache     // required, of this cluster: ClusterSet, and Secrets of Namespace
	Namespace string          // required, the operator's
	Scheme    *runtime.Scheme // required
}

// Hub is a member's access to the hub. It is safe for concurrent use, and has nothing to tell before Start.
type Hub struct {
	config Config
	kick   chan struct{} // capacity 1: look again at once
	// suspect: watches ended, with an error or with their connection, so that a probe is not enough.
	suspect    atomic.Bool
	heartbeats *heartbeats

	mu        sync.Mutex
	status    Status          // guarded by mu
	session   *session        // guarded by mu; nil before the first connection
	subs      []*subscription // guarded by mu
	listeners []*listener     // guarded by mu

	// Of the loop in Start alone.
	way      *way
	wayFor   access
	failed   int       // probes in a row
	answered time.Time // when the last probe that did not fail was sent
	breaks   breaks
}

// New returns a Hub that does nothing yet.
func New(config Config) *Hub {
	return &Hub{
		config:     config,
		kick:       make(chan struct{}, 1),
		heartbeats: &heartbeats{},
		status:     Status{v1alpha1.ReasonPending, "the operator has just started"},
	}
}

// Start keeps the connection until ctx ends. It never returns an error because of the hub.
func (h *Hub) Start(ctx context.Context) error {
	defer h.drop()
	for _, kind := range []client.Object{&v1alpha1.ClusterSet{}, &corev1.Secret{}} {
		if err := h.kickOn(ctx, h.config.Local, kind); ctx.Err() != nil {
			return nil // we end before we began
		} else if err != nil {
			return err
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.kick:
		case <-timer.C:
		}
		status, err := h.step(ctx)
		if ctx.Err() != nil {
			return nil // what failed because we end is no news
		}
		if err != nil {
			logf.FromContext(ctx).Error(err, "cannot tell how things stand with the hub")
		} else {
			h.setStatus(ctx, status)
		}
		timer.Reset(period(status, err))
	}
}

func period(status Status, err error) time.Duration {
	if err == nil && status.answers() {
		return wellPeriod
	}
	return illPeriod
}

// kickOn makes every event of the kind a reason to look again.
func (h *Hub) kickOn(ctx context.Context, from cache.Cache, kind client.Object) error {
	informer, err := from.GetInformer(ctx, kind)
	if err != nil {
		return fmt.Errorf("watching %T: %w", kind, err)
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { h.again() },
		UpdateFunc: func(any, any) { h.again() },
		DeleteFunc: func(any) { h.again() },
	})
	return err
}

func (h *Hub) watchBroke() {
	h.suspect.Store(true)
	h.again()
}

func (h *Hub) again() {
	select {
	case h.kick <- struct{}{}:
	default: // it is going to look anyway
	}
}

// step looks at what is configured and at the hub, and connects if need be.
func (h *Hub) step(ctx context.Context) (Status, error) {
	want, status, err := readAccess(ctx, h.config.Local, h.config.Namespace)
	if err != nil || status.Reason != "" {
		return status, err
	}
	current := h.current()
	if current == nil || current.access != want || h.failed > tolerated {
		return h.connect(ctx, want)
	}
	look, broke := want.probe, h.suspect.Swap(false)
	if broke {
		look = want.check
	}
	asked := time.Now()
	if status := look(ctx, current.direct); status.Reason != "" {
		if status.Reason == v1alpha1.ReasonUnreachable && h.busy(asked) && asked.Sub(h.answered) < patience {
			h.suspect.CompareAndSwap(false, broke) // to be looked into once it answers
			return current.membership(ctx)
		}
		return h.probeFailed(ctx, current, status)
	}
	h.failed, h.answered = 0, asked
	if broke && h.breaks.again(time.Now()) {
		return h.connect(ctx, want)
	}
	return current.membership(ctx)
}

// busy tells whether the hub did not answer in time what it was asked then, and is there all the same: it is heard.
func (h *Hub) busy(asked time.Time) bool {
	return time.Since(asked) >= checkTimeout && h.way.heardSince(asked)
}

// probeFailed gives the hub a second chance, then drops the connections, which may be dead, and makes the next step
// connect anew: after an outage the cache's watches might wait for long before they try again.
func (h *Hub) probeFailed(ctx context.Context, current *session, status Status) (Status, error) {
	h.failed++
	if h.failed <= tolerated && status.Reason == v1alpha1.ReasonUnreachable {
		h.again()
		return current.membership(ctx)
	}
	h.failed = tolerated + 1
	h.way.dialer.CloseAll()
	return status, nil
}

// connect checks the hub, and if all is well opens a session in place of the old one, which stays readable till then.
func (h *Hub) connect(ctx context.Context, want access) (Status, error) {
	if h.way == nil || h.wayFor != want {
		w, err := newWay(want, h.watchBroke)
		if err != nil {
			return Status{v1alpha1.ReasonSecretNotFound, fmt.Sprintf(
				"the hub's Secret cannot be used (%v): correct its key ca.crt", errors.Unwrap(err))}, nil
		}
		h.way, h.wayFor = w, want
	}
	direct, err := client.New(h.way.config, client.Options{HTTPClient: h.way.http, Scheme: h.config.Scheme})
	if err != nil {
		return Status{}, fmt.Errorf("preparing a client of hub %s: %w", want.server, err)
	}
	asked := time.Now()
	if status := want.check(ctx, direct); status.Reason != "" {
		if !h.busy(asked) {
			h.way.dialer.CloseAll()
		}
		return status, nil
	}
	opened, err := openSession(ctx, want, h.way, direct, h)
	if err != nil {
		return Status{v1alpha1.ReasonUnreachable, err.Error()}, nil //nolint:nilerr // it is the status
	}
	if err := h.kickOn(ctx, opened.cache, &v1alpha1.Member{}); err != nil {
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

// replace makes opened the session, delivers its objects to all who watch, and ends the old one.
func (h *Hub) replace(opened *session, status Status) error {
	h.mu.Lock()
	old := h.session
	h.session = opened
	h.status = Status{status.Reason, ""} // so that setStatus sees a change: what is kept here must be compared with the hub
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

func (h *Hub) setStatus(ctx context.Context, status Status) {
	h.mu.Lock()
	changed := status != h.status
	h.status = status
	listeners := append([]*listener(nil), h.listeners...)
	h.mu.Unlock()
	if !changed {
		return
	}
	logf.FromContext(ctx).Info("hub status changed", "reason", status.Reason, "message", status.Message)
	for _, l := range listeners {
		l.notify()
	}
}

func (h *Hub) drop() {
	if current := h.current(); current != nil {
		current.close()
	}
}

func (h *Hub) current() *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.session
}

// Status returns how things stand with the hub.
func (h *Hub) Status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status
}

func (h *Hub) subscribe(sub *subscription) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs = append(h.subs, sub)
	if h.session == nil {
		return nil
	}
	return h.session.attach(sub)
}

func (h *Hub) listen(l *listener) {
	h.mu.Lock()
	h.listeners = append(h.listeners, l)
	h.mu.Unlock()
	l.notify()
}
