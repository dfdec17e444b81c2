package remotecluster

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/inuse"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=remoteclusters,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=remoteclusters/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch

// SetUp adds the controller to the manager. One reconcile at a time: each is judged beside the others.
func (r *Reconciler) SetUp(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("remotecluster").
		WithOptions(retry.Options(1)).
		For(&v1alpha1.RemoteCluster{}).
		Watches(&v1alpha1.RemoteCluster{}, handler.EnqueueRequestsFromMapFunc(r.all), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.ClusterSet{}, handler.EnqueueRequestsFromMapFunc(r.all), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.all), builder.WithPredicates(inuse.NodeChanged())).
		WatchesRawSource(r.Hub.OnChange(func(ctx context.Context) []reconcile.Request { return r.all(ctx, nil) })).
		WatchesRawSource(r.Intake.OnChange()).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.Member{}, r.all, predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.GatewayNode{}, source)).
		WatchesRawSource(r.Hub.OnHeartbeat(source)).
		Complete(r)
}

// source maps a GatewayNode or a Lease on the hub to its cluster.
func source(_ context.Context, obj client.Object) []reconcile.Request {
	return []reconcile.Request{request(string(clusterset.SourceCluster(obj.GetLabels())))}
}

// all are the RemoteClusters that there are and those that there should be.
func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	var requests []reconcile.Request
	list := &v1alpha1.RemoteClusterList{}
	if err := r.Client.List(ctx, list); err != nil {
		logf.FromContext(ctx).Error(err, "cannot list RemoteClusters")
	}
	for i := range list.Items {
		requests = append(requests, request(list.Items[i].Name))
	}
	view, err := r.Hub.View()
	if err != nil {
		return requests
	}
	members, err := view.Members(ctx)
	if err != nil {
		logf.FromContext(ctx).Error(err, "cannot list Members")
	}
	for i := range members {
		requests = append(requests, request(members[i].Name))
	}
	return requests
}

func request(cluster string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Name: cluster}}
}
