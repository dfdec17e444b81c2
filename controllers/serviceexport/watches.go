package serviceexport

import (
	"context"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
)

// SetUp adds the controller to the manager.
func (r *Reconciler) SetUp(_ context.Context, mgr ctrl.Manager) error {
	return retry.Controller(mgr, "export", concurrent).
		For(&mcsv1beta1.ServiceExport{}).
		Watches(&corev1.Service{}, &handler.EnqueueRequestForObject{}).
		Watches(&discoveryv1.EndpointSlice{}, handler.EnqueueRequestsFromMapFunc(serviceOf)).
		Watches(&v1alpha1.ExportPolicy{}, handler.EnqueueRequestsFromMapFunc(r.ofPolicy), builder.WithPredicates(requests.SpecChanged())).
		Watches(&mcsv1beta1.ServiceImport{}, handler.EnqueueRequestsFromMapFunc(r.ofImport)).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.inNamespace), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Watches(&v1alpha1.ClusterSet{}, handler.EnqueueRequestsFromMapFunc(r.everyExport), builder.WithPredicates(policyChanged())).
		Watches(&v1alpha1.RemoteCluster{}, handler.EnqueueRequestsFromMapFunc(r.ofCluster), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Func(r.whenHandsChange)).
		WatchesRawSource(r.Hub.OnChange(r.everything)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.Member{}, r.ofCluster, predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.ExportedService{}, r.ofExported)).
		WatchesRawSource(r.Hub.Watch(&discoveryv1.EndpointSlice{}, r.ofPublished)).
		Complete(r)
}

// policyChanged passes ClusterSets whose policy for exports may have changed.
func policyChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.ClusterSet).Spec, e.ObjectNew.(*v1alpha1.ClusterSet).Spec
		return before.EndpointsPerSlice != after.EndpointsPerSlice ||
			!equality.Semantic.DeepEqual(before.ExportNamespaces, after.ExportNamespaces) ||
			!equality.Semantic.DeepEqual(before.ExternalEndpoints, after.ExternalEndpoints)
	}}
}

// whenHandsChange is a source of requests for the Services whose hand-written slices have an address
// that somebody else got or lost.
func (r *Reconciler) whenHandsChange(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	if r.Holders == nil {
		return nil
	}
	r.Holders.OnChange(func(p netip.Prefix) {
		for _, service := range r.examined.within(p) {
			q.Add(reconcile.Request{NamespacedName: service})
		}
	})
	return nil
}

// serviceOf maps a local EndpointSlice to its Service. Slices that we imported have no Service.
func serviceOf(_ context.Context, obj client.Object) []reconcile.Request {
	return requests.For(obj.GetNamespace(), obj.GetLabels()[discoveryv1.LabelServiceName])
}

// ofPublished maps a slice that this cluster has on the hub to its Service.
func (r *Reconciler) ofPublished(_ context.Context, obj client.Object) []reconcile.Request {
	if !r.Hub.Ours(obj) {
		return nil
	}
	return requests.For(obj.GetLabels()[v1alpha1.LabelNamespace], obj.GetLabels()[v1alpha1.LabelServiceName])
}

// ofExported maps an ExportedService to its Service. Those of other clusters count only where this
// cluster exports the Service, too: they may conflict.
func (r *Reconciler) ofExported(ctx context.Context, obj client.Object) []reconcile.Request {
	if !r.Hub.Ours(obj) {
		return r.ifExportedHere(ctx, obj)
	}
	spec := obj.(*v1alpha1.ExportedService).Spec
	return requests.For(spec.Namespace, spec.Name)
}

// ifExportedHere maps an ExportedService to its Service, if that has a ServiceExport in this
// cluster.
func (r *Reconciler) ifExportedHere(ctx context.Context, obj client.Object) []reconcile.Request {
	spec := obj.(*v1alpha1.ExportedService).Spec
	return r.exportedHere(ctx, client.ObjectKey{Namespace: spec.Namespace, Name: spec.Name})
}

// ofPolicy maps an ExportPolicy to the ServiceExport that it is for. A spec that names another target
// than before is an event with the old object, too.
func (r *Reconciler) ofPolicy(_ context.Context, obj client.Object) []reconcile.Request {
	return requests.For(obj.GetNamespace(), obj.(*v1alpha1.ExportPolicy).Spec.TargetRef.Name)
}

// ofImport maps a ServiceImport to the ServiceExport of the same name: from which clusters it
// imports matters to the condition Conflict.
func (r *Reconciler) ofImport(ctx context.Context, obj client.Object) []reconcile.Request {
	return r.exportedHere(ctx, client.ObjectKeyFromObject(obj))
}

// exportedHere is the request for the ServiceExport of that name, none if there is no such
// ServiceExport. It ignores other errors, which the reconcile will meet.
func (r *Reconciler) exportedHere(ctx context.Context, key client.ObjectKey) []reconcile.Request {
	if key.Namespace == "" || key.Name == "" {
		return nil
	}
	err := r.Client.Get(ctx, key, &mcsv1beta1.ServiceExport{}, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return requests.For(key.Namespace, key.Name)
}

// inNamespace maps a namespace to what is exported from it, if its labels matter.
func (r *Reconciler) inNamespace(ctx context.Context, obj client.Object) []reconcile.Request {
	set, err := optional.ClusterSet(ctx, r.Client)
	if err != nil || set == nil || set.Spec.ExportNamespaces == nil && set.Spec.ExternalEndpoints == nil {
		return nil // if a ClusterSet is created later, its own event covers this
	}
	return r.exports(ctx, client.InNamespace(obj.GetName()))
}

// ofCluster maps a Member or RemoteCluster to what is exported here: everything if it is this
// cluster, else what may conflict with the exports of that cluster.
func (r *Reconciler) ofCluster(ctx context.Context, obj client.Object) []reconcile.Request {
	view, err := r.Hub.View()
	if err != nil {
		return nil
	}
	cluster := v1alpha1.ClusterID(obj.GetName())
	if cluster == view.Cluster {
		return r.exports(ctx)
	}
	return r.Hub.Requests(ctx, &v1alpha1.ExportedServiceList{}, r.ifExportedHere, hub.OfCluster(cluster))
}

// everything maps a change of the connection to all that is exported and all that this cluster has
// on the hub, which may be left from before.
func (r *Reconciler) everything(ctx context.Context, _ client.Object) []reconcile.Request {
	all := r.exports(ctx)
	view, err := r.Hub.View()
	if err != nil {
		return all
	}
	all = append(all, r.Hub.Requests(ctx, &v1alpha1.ExportedServiceList{}, r.ofExported, hub.OfCluster(view.Cluster))...)
	return append(all, r.Hub.Requests(ctx, &discoveryv1.EndpointSliceList{}, r.ofPublished, hub.OfCluster(view.Cluster))...)
}

func (r *Reconciler) everyExport(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.exports(ctx)
}

func (r *Reconciler) exports(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	return requests.List(ctx, r.Client, &mcsv1beta1.ServiceExportList{}, options...)
}
