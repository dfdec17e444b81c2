package endpointslice

import (
	"context"

	discoveryv1 "k8s.io/api/discovery/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/retry"
)

// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch;create;update;patch;delete
// Slices are owned by their ServiceImport, with blockOwnerDeletion unset; the finalizers' right is not needed for it.
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=remoteclusters,verbs=get;list;watch

const concurrent = 8

// SetUp adds the controller to the manager.
func (r *Reconciler) SetUp(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("endpointslice").
		WithOptions(retry.Options(concurrent)).
		For(&discoveryv1.EndpointSlice{}, builder.WithPredicates(predicate.NewPredicateFuncs(ours))).
		Watches(&mcsv1beta1.ServiceImport{}, handler.EnqueueRequestsFromMapFunc(r.ofImport)).
		Watches(&v1alpha1.RemoteCluster{}, handler.EnqueueRequestsFromMapFunc(r.ofCluster),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.OnChange(r.everything)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.Member{}, r.ofCluster, predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.Watch(&discoveryv1.EndpointSlice{}, imported)).
		Complete(r)
}

// imported maps a slice on the hub to the one that is imported for it.
func imported(_ context.Context, obj client.Object) []reconcile.Request {
	namespace := obj.GetLabels()[v1alpha1.LabelNamespace]
	if namespace == "" {
		return nil
	}
	return []reconcile.Request{request(namespace, obj.GetName())}
}

// ofImport maps a ServiceImport to all slices that are or should be its own.
func (r *Reconciler) ofImport(ctx context.Context, obj client.Object) []reconcile.Request {
	serviceImport := obj.(*mcsv1beta1.ServiceImport)
	requests := r.local(ctx, client.InNamespace(obj.GetNamespace()), client.MatchingLabels{v1alpha1.LabelServiceName: obj.GetName()})
	view, err := r.Hub.View()
	if err != nil {
		return requests
	}
	for _, status := range serviceImport.Status.Clusters {
		found, err := view.Slices(ctx, v1alpha1.ClusterID(status.Cluster), obj.GetNamespace(), obj.GetName())
		if err != nil {
			logf.FromContext(ctx).Error(err, "cannot list the slices of a cluster", "cluster", status.Cluster)
		}
		requests = append(requests, allImported(ctx, found)...)
	}
	return requests
}

// ofCluster maps a RemoteCluster or Member to all slices of that cluster.
func (r *Reconciler) ofCluster(ctx context.Context, obj client.Object) []reconcile.Request {
	requests := r.local(ctx, client.MatchingLabels{v1alpha1.LabelSourceCluster: obj.GetName()})
	view, err := r.Hub.View()
	if err != nil {
		return requests
	}
	found, err := view.SlicesOf(ctx, v1alpha1.ClusterID(obj.GetName()))
	if err != nil {
		logf.FromContext(ctx).Error(err, "cannot list the slices of a cluster", "cluster", obj.GetName())
	}
	return append(requests, allImported(ctx, found)...)
}

// everything is all slices that are imported and all that are published.
func (r *Reconciler) everything(ctx context.Context) []reconcile.Request {
	requests := r.local(ctx)
	view, err := r.Hub.View()
	if err != nil {
		return requests
	}
	found, err := view.AllSlices(ctx)
	if err != nil {
		logf.FromContext(ctx).Error(err, "cannot list slices")
	}
	return append(requests, allImported(ctx, found)...)
}

// local are the imported slices that there are.
func (r *Reconciler) local(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	list := &discoveryv1.EndpointSliceList{}
	if err := r.Client.List(ctx, list, options...); err != nil {
		logf.FromContext(ctx).Error(err, "cannot list imported slices")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if s := &list.Items[i]; ours(s) && mcs.SourceCluster(s.Labels) != "" {
			requests = append(requests, request(s.Namespace, s.Name))
		}
	}
	return requests
}

func allImported(ctx context.Context, found []discoveryv1.EndpointSlice) []reconcile.Request {
	var requests []reconcile.Request
	for i := range found {
		requests = append(requests, imported(ctx, &found[i])...)
	}
	return requests
}

func request(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: namespace, Name: name}}
}
