// Package clusterset owns most of the ClusterSet's status: whether the installation is complete,
// whether its spec makes sense here, the state of the connection with the hub, and what the hub says
// of this cluster. An event tells what becomes wrong. It does not connect
// (package hub does) and acts on nothing. Other controllers write conditions of their own beside
// these (package status).
package clusterset

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/installation"
	"github.com/tombolo-net/tombolo/controllers/internal/inuse"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/internal/status"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// recheck is how often addresses are compared again: no event of a Service or ServiceCIDR wakes
// this controller.
const recheck = 30 * time.Second

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=remoteclusters,verbs=get;list;watch

// Reconciler maintains the status of the one ClusterSet.
type Reconciler struct {
	Client client.Client // required, of this cluster, cached
	Hub    *hub.Hub      // required
	InUse  inuse.Reader  // required
	// Installation looks at CRDs and admission policies.
	Installation *installation.Checker // required
	Events       events.EventRecorder  // required
}

// Reconcile writes the status if it differs.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	have, err := optional.Get[v1alpha1.ClusterSet](ctx, r.Client, request.NamespacedName)
	if err != nil || have == nil {
		return reconcile.Result{}, err
	}
	want := have.DeepCopy()
	if err := r.fromHub(ctx, &want.Status); err != nil {
		return reconcile.Result{}, err
	}
	refusal, err := r.refusal(ctx, want)
	if err != nil {
		return reconcile.Result{}, err
	}
	status.SetConditions(have, &want.Status.Conditions, accepted(refusal), hubConnected(r.Hub.Status()))
	installed, unknown := r.Installation.Condition(ctx, have.Status.Conditions)
	if unknown == nil {
		status.SetConditions(have, &want.Status.Conditions, installed)
	}
	if err := status.PatchClusterSet(ctx, r.Client, have, want); err != nil {
		return retry.Result(err)
	}
	r.tell(have, want)
	if unknown != nil {
		return reconcile.Result{}, unknown
	}
	return reconcile.Result{RequeueAfter: recheck}, nil
}

// tell records an event for each condition that has come to need somebody's help. A condition that
// needs it for a new reason counts, too.
func (r *Reconciler) tell(before, now *v1alpha1.ClusterSet) {
	for _, name := range []string{v1alpha1.ConditionInstalled, v1alpha1.ConditionAccepted, v1alpha1.ConditionHubConnected} {
		was, is := meta.FindStatusCondition(before.Status.Conditions, name), meta.FindStatusCondition(now.Status.Conditions, name)
		if is == nil || !needsHelp(is) || was != nil && was.Status == is.Status && was.Reason == is.Reason {
			continue
		}
		r.Events.Eventf(now, nil, corev1.EventTypeWarning, is.Reason, "Check", "%s is %s: %s", name, is.Status, is.Message)
	}
}

// needsHelp tells whether somebody must do something: the condition is False, or will be once the
// hub's token has ended.
func needsHelp(c *metav1.Condition) bool {
	return c.Status == metav1.ConditionFalse || c.Reason == v1alpha1.ReasonTokenNotRenewed
}

// fromHub fills in what the hub says of this cluster. Without a hub, what was known stays.
func (r *Reconciler) fromHub(ctx context.Context, status *v1alpha1.ClusterSetStatus) error {
	view, err := r.Hub.View()
	if err != nil {
		return nil //nolint:nilerr // the condition HubConnected says so
	}
	members, err := view.Members(ctx)
	if err != nil {
		return err
	}
	status.Members = 0
	for _, m := range members {
		if m.Spec.Removed {
			continue
		}
		status.Members++
		if m.Name == string(view.Cluster) {
			status.Index, status.CIDRs = m.Spec.Index, m.Spec.CIDRs
			status.Region, status.ZoneDomain = m.Spec.Region, m.Spec.ZoneDomain
		}
	}
	return nil
}

// refusal says what is wrong with the ClusterSet, the worst first; nil means nothing.
func (r *Reconciler) refusal(ctx context.Context, set *v1alpha1.ClusterSet) (*clusterset.Refusal, error) {
	inUse := r.InUse.Blocks
	if c := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.ConditionAccepted); c != nil && c.Status == metav1.ConditionTrue &&
		c.ObservedGeneration == set.Generation {
		// Once accepted, a node cannot undo it by what it says of itself: nodes leave that node out.
		inUse = r.InUse.ServiceBlocks
	}
	blocks, err := inUse(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range clusterset.Prefixes(set.Status.CIDRs) {
		blocks = append(blocks, clusterset.Block{Prefix: p, Owner: fmt.Sprintf("Member %s, this cluster", set.Spec.ClusterID)})
	}
	remotes := &v1alpha1.RemoteClusterList{}
	if err := r.Client.List(ctx, remotes); err != nil {
		return nil, fmt.Errorf("listing RemoteClusters: %w", err)
	}
	for _, remote := range remotes.Items {
		for _, p := range clusterset.Prefixes(remote.Spec.CIDRs) {
			blocks = append(blocks, clusterset.Block{Prefix: p, Owner: "Member " + remote.Name})
		}
	}
	return clusterset.RefuseClusterSet(&set.Spec, blocks), nil
}

func accepted(refusal *clusterset.Refusal) metav1.Condition {
	if refusal == nil {
		return metav1.Condition{
			Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted,
			Message: "the ClusterSet's addresses overlap nothing that is in use",
		}
	}
	return metav1.Condition{
		Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: refusal.Reason, Message: refusal.Message,
	}
}

func hubConnected(s hub.Status) metav1.Condition {
	status := metav1.ConditionFalse
	switch {
	case s.Connected():
		status = metav1.ConditionTrue
	case s.Reason == v1alpha1.ReasonPending:
		status = metav1.ConditionUnknown
	}
	return metav1.Condition{Type: v1alpha1.ConditionHubConnected, Status: status, Reason: s.Reason, Message: s.Message}
}
