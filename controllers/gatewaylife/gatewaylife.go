// Package gatewaylife owns whether this cluster's gateways live: the condition Alive of their
// GatewayNodes, from the Leases that gateways renew, and the end of a GatewayNode whose node is no
// gateway any more. It does not assign lanes and does not publish (package gatewaynode does). What
// follows for remote clusters is for package remotecluster.
package gatewaylife

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
)

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,namespace=tombolo-system,resources=gatewaynodes,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,namespace=tombolo-system,resources=gatewaynodes/status,verbs=patch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=remoteclusters,verbs=get;list;watch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=tombolo-system,resources=leases,verbs=get;list;watch
// +kubebuilder:rbac:groups="",namespace=tombolo-system,resources=secrets,resourceNames=tombolo-gateway-keys,verbs=get;patch;delete
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch

// Reconciler watches over one gateway; its request is named after the gateway's node.
type Reconciler struct {
	Client client.Client        // required, of this cluster, cached
	Direct client.Reader        // required, of this cluster, not cached: a cache that is behind declares nobody dead
	Events events.EventRecorder // required, for events about GatewayNodes
	// Namespace of the GatewayNodes, the operator's.
	Namespace string           // required
	Now       func() time.Time // required

	// seen is what is remembered of each gateway, by name. Reconciles come one at a time.
	seen map[string]*sightings
	keys oldKeys
}

// sightings are what the operator has seen of one gateway, at the times of its own clock.
type sightings struct {
	heartbeat heartbeat
	// unlabelled is since when the node has been without the label; zero: it has the label.
	unlabelled time.Time
	// replaced is since when other gateways do the work of one without the label; zero: they do not.
	replaced time.Time
}

// Reconcile deletes a GatewayNode whose node is no gateway any more. Otherwise it writes whether the
// gateway lives. Beside that it ends the Secret of older versions.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	result, err := r.reconcileGateway(ctx, request)
	if err != nil {
		return result, err
	}
	if err := r.tidyKeys(ctx); err != nil && !retry.Behind(err) {
		return reconcile.Result{}, err
	}
	return result, nil
}

func (r *Reconciler) reconcileGateway(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	gateway, err := optional.GetUndeleted[v1alpha1.GatewayNode](ctx, r.Client, client.ObjectKey{Namespace: r.Namespace, Name: request.Name})
	if err != nil {
		return reconcile.Result{}, err
	}
	if gateway == nil {
		delete(r.seen, request.Name)
		return reconcile.Result{}, nil
	}
	node, err := r.node(ctx, request.Name)
	if err != nil {
		return reconcile.Result{}, err
	}
	seen := r.sightingsOf(gateway.Name)
	end, wait, err := r.end(ctx, gateway, node, seen)
	if err != nil {
		return reconcile.Result{}, err
	}
	if end != "" {
		return retry.Result(r.remove(ctx, gateway, end))
	}
	next, err := r.reportLife(ctx, gateway, node, &seen.heartbeat)
	return reconcile.Result{RequeueAfter: sooner(wait, next)}, client.IgnoreNotFound(err)
}

// node returns the Node, nil if it is certain that there is none: an empty cache is no proof.
func (r *Reconciler) node(ctx context.Context, name string) (*corev1.Node, error) {
	node, err := optional.Get[corev1.Node](ctx, r.Client, client.ObjectKey{Name: name})
	if err != nil || node != nil {
		return node, err
	}
	return optional.Get[corev1.Node](ctx, r.Direct, client.ObjectKey{Name: name})
}

func (r *Reconciler) sightingsOf(name string) *sightings {
	if r.seen == nil {
		r.seen = map[string]*sightings{}
	}
	if r.seen[name] == nil {
		r.seen[name] = &sightings{}
	}
	return r.seen[name]
}

// lease returns the gateway's Lease, nil if there is none.
func (r *Reconciler) lease(ctx context.Context, reader client.Reader, gateway string) (*coordinationv1.Lease, error) {
	return optional.Get[coordinationv1.Lease](ctx, reader, client.ObjectKey{Namespace: r.Namespace, Name: v1alpha1.GatewayLeasePrefix + gateway})
}

// remove deletes the GatewayNode as it was read.
func (r *Reconciler) remove(ctx context.Context, gateway *v1alpha1.GatewayNode, why string) error {
	uid := gateway.UID
	if err := r.Client.Delete(ctx, gateway, client.Preconditions{UID: &uid}); err != nil {
		return fmt.Errorf("deleting GatewayNode %s: %w", gateway.Name, err)
	}
	r.report(ctx, gateway, corev1.EventTypeNormal, reasonRemoved, why)
	return nil
}

// sooner is the shorter wait; zero waits for ever.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
