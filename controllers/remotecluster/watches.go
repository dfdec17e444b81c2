package remotecluster

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/inuse"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// SetUp adds the controller to the manager. One reconcile at a time, because each cluster is judged
// beside the others.
func (r *Reconciler) SetUp(_ context.Context, mgr ctrl.Manager) error {
	toAll := handler.EnqueueRequestsFromMapFunc(r.all)
	specChanged := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	return retry.Controller(mgr, "remotecluster", 1).
		For(&v1alpha1.RemoteCluster{}).
		Watches(&v1alpha1.RemoteCluster{}, toAll, specChanged).
		Watches(&v1alpha1.ClusterSet{}, toAll, specChanged).
		Watches(&v1alpha1.GatewayNode{}, toAll, builder.WithPredicates(lifeChanged())). // only links of live ones count
		Watches(&corev1.Node{}, toAll, builder.WithPredicates(inuse.NodeChanged())).
		WatchesRawSource(r.Hub.OnChange(r.all)).
		WatchesRawSource(r.Skipped.OnChange()).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.Member{}, r.all, predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.GatewayNode{}, publisher)).
		WatchesRawSource(r.Hub.OnHeartbeat(publisher)).
		Complete(r)
}

// lifeChanged passes gateways that are made, die, come back or go.
func lifeChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.GatewayNode), e.ObjectNew.(*v1alpha1.GatewayNode)
		return clusterset.HasHeartbeat(before) != clusterset.HasHeartbeat(after)
	}}
}

// publisher maps a GatewayNode or a Lease on the hub to the cluster that published it.
func publisher(_ context.Context, obj client.Object) []reconcile.Request {
	return requests.Named(string(clusterset.SourceCluster(obj.GetLabels())))
}

// all are the RemoteClusters that there are and those that there should be.
func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	return append(requests.List(ctx, r.Client, &v1alpha1.RemoteClusterList{}),
		r.Hub.Requests(ctx, &v1alpha1.MemberList{}, ofMember)...)
}

// ofMember maps a Member to the RemoteCluster of the same name.
func ofMember(_ context.Context, member client.Object) []reconcile.Request {
	return requests.Named(member.GetName())
}
