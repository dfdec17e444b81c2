package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// +kubebuilder:rbac:groups="",namespace=tombolo-system,resources=secrets,resourceNames=tombolo-hub,verbs=patch

const (
	// tokenLife is what we ask for. The hub's API server may give less; what the token itself says
	// counts. The hub's policy tombolo-member-tokens allows no more.
	tokenLife = 30 * 24 * time.Hour
	// renewalPause is the time between attempts.
	renewalPause = 30 * time.Second
)

// renewal is what we remember of attempts to renew the token. The token itself says the rest.
type renewal struct {
	next  time.Time // no attempt before
	fault string    // why the last attempt failed; empty: it did not
}

// keepToken renews the token when that is due, and ends the join token that it replaced. It returns
// the status with what is wrong with the token. Only a cluster whose ID is its own gets a token.
func (h *Hub) keepToken(ctx context.Context, t token, status Status) Status {
	now := h.config.Now()
	if status.Reason == v1alpha1.ReasonUnauthorized && !t.expires.IsZero() && !now.Before(t.expires) {
		status.Message = fmt.Sprintf("the token in Secret %s ended %s, and the hub refuses it: put a new join token there (docs/install.md, sections 2 and 3); what is imported stays",
			t.key(), t.expires.Format(time.RFC3339))
	}
	if status.Reason != v1alpha1.ReasonConnected {
		return status
	}
	s := h.current()
	if t.ended != (boundTo{}) && t.join != t.ended {
		h.endJoinToken(ctx, s, t)
	}
	if !t.due(now) {
		h.renewal = renewal{}
		return status
	}
	if !now.Before(h.renewal.next) {
		h.renewal = renewal{next: now.Add(renewalPause)}
		if err := h.renew(ctx, s, t); err != nil && (!transient(err) || t.endsSoon(now)) {
			h.renewal.fault = err.Error()
		}
	}
	if h.renewal.fault != "" {
		return Status{v1alpha1.ReasonTokenNotRenewed, fmt.Sprintf("%s, but its token %s, and %s", status.Message, ends(t), h.renewal.fault)}
	}
	return status
}

func ends(t token) string {
	if t.neverEnds() {
		return "never ends"
	}
	return "ends " + t.expires.Format(time.RFC3339)
}

// transient tells whether the same attempt may soon succeed without anybody doing something.
func transient(err error) bool {
	return !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) && !apierrors.IsNotFound(err)
}

// renew gets another token from the hub and writes it into the Secret. The next step reads it there.
func (h *Hub) renew(ctx context.Context, s *session, t token) error {
	ctx, cancel := context.WithTimeout(ctx, 2*checkTimeout)
	defer cancel()
	// A token that cannot be written down would only be one more that may be stolen.
	if err := h.write(ctx, t, t.text, client.DryRunAll); err != nil {
		return err
	}
	account := clusterset.MemberServiceAccount(s.access.cluster)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(tokenLife / time.Second))}}
	err := s.direct.SubResource("token").Create(ctx,
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.access.namespace, Name: account}}, request)
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("the hub does not let us renew it: apply the hub's manifests of this version, then section 2 of docs/install.md for %s again (%w)",
			s.access.cluster, err)
	}
	if err != nil {
		return fmt.Errorf("the hub gave no token of ServiceAccount %s: %w", account, err)
	}
	if err := h.write(ctx, t, request.Status.Token); err != nil {
		return err
	}
	logf.FromContext(ctx).Info("hub token renewed", "expires", request.Status.ExpirationTimestamp.UTC().Format(time.RFC3339))
	return nil
}

// write writes the token into the Secret, if nobody has changed the Secret meanwhile. With it goes
// which join token must end.
func (h *Hub) write(ctx context.Context, t token, text string, options ...client.PatchOption) error {
	return h.patch(ctx, t, func(want *corev1.Secret) {
		want.Data[tokenKey] = []byte(text)
		if t.join != (boundTo{}) {
			metav1.SetMetaDataAnnotation(&want.ObjectMeta, v1alpha1.AnnotationJoinSecret, t.join.String())
		}
	}, options...)
}

func (h *Hub) patch(ctx context.Context, t token, edit func(*corev1.Secret), options ...client.PatchOption) error {
	want := t.secret.DeepCopy()
	edit(want)
	err := h.config.Writer.Patch(ctx, want, client.MergeFromWithOptions(t.secret, client.MergeFromWithOptimisticLock{}), options...)
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("the operator may not write it into Secret %s: apply install.yaml of this version (%w)", t.key(), err)
	}
	if err != nil {
		return fmt.Errorf("writing Secret %s: %w", t.key(), err)
	}
	return nil
}

// endJoinToken deletes the Secret on the hub that the join token before this one was bound to, so
// that nobody else can join with it. The hub has just taken the token that replaced it.
func (h *Hub) endJoinToken(ctx context.Context, s *session, t token) {
	ctx, cancel := context.WithTimeout(ctx, 2*checkTimeout)
	defer cancel()
	log := logf.FromContext(ctx)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.access.namespace, Name: t.ended.name}}
	err := s.direct.Delete(ctx, secret, client.Preconditions{UID: &t.ended.uid})
	switch {
	case err == nil:
		log.Info("join token ended", "secret", secret.Name)
	case apierrors.IsNotFound(err), apierrors.IsConflict(err): // it is gone, or another one has its name
	case apierrors.IsForbidden(err):
		log.Error(err, "the hub does not let us end the join token; it ends by itself", "secret", secret.Name)
	default:
		return // the next step tries again
	}
	err = h.patch(ctx, t, func(want *corev1.Secret) { delete(want.Annotations, v1alpha1.AnnotationJoinSecret) })
	if err != nil && !errors.Is(err, context.Canceled) {
		log.V(1).Info("join token not forgotten yet", "error", err.Error())
	}
}
