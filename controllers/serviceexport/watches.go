package serviceexport

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceexports,verbs=get;list;watch
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceexports/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=services;namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets;remoteclusters,verbs=get;list;watch

// concurrent reconciles: each waits for the hub's answer.
const concurrent = 8

// SetUp adds the controller to the manager.
func (r *Reconciler) SetUp(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("export").
		WithOptions(retry.Options(concurrent)).
		For(&mcsv1beta1.ServiceExport{}).
		Watches(&corev1.Service{}, &handler.EnqueueRequestForObject{}).
		Watches(&discoveryv1.EndpointSlice{}, handler.EnqueueRequestsFromMapFunc(serviceOf)).
		Watches(&mcsv1beta1.ServiceImport{}, handler.EnqueueRequestsFromMapFunc(r.ofImport)).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.inNamespace), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Watches(&v1alpha1.ClusterSet{}, handler.EnqueueRequestsFromMapFunc(r.everyExport), builder.WithPredicates(PolicyChanged())).
		Watches(&v1alpha1.RemoteCluster{}, handler.EnqueueRequestsFromMapFunc(r.ofCluster), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.OnChange(r.everything)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.Member{}, r.ofCluster, predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.ExportedService{}, r.ofExported)).
		WatchesRawSource(r.Hub.Watch(&discoveryv1.EndpointSlice{}, r.ofPublished)).
		Complete(r)
}

// serviceOf maps a local EndpointSlice to its Service. Slices that we imported belong to none.
func serviceOf(_ context.Context, obj client.Object) []reconcile.Request {
	return request(obj.GetNamespace(), obj.GetLabels()[discoveryv1.LabelServiceName])
}

// ofPublished maps a slice that this cluster has on the hub to its Service.
func (r *Reconciler) ofPublished(_ context.Context, obj client.Object) []reconcile.Request {
	if !r.ours(obj) {
		return nil
	}
	return request(obj.GetLabels()[v1alpha1.LabelNamespace], obj.GetLabels()[v1alpha1.LabelServiceName])
}

// ofExported maps an ExportedService to its Service, those of other clusters only where this cluster exports it, too:
// they may conflict.
func (r *Reconciler) ofExported(ctx context.Context, obj client.Object) []reconcile.Request {
	spec := obj.(*v1alpha1.ExportedService).Spec
	requests := request(spec.Namespace, spec.Name)
	if r.ours(obj) {
		return requests
	}
	return r.exportedHere(ctx, requests)
}

// ours tells whether this cluster has the object on the hub.
func (r *Reconciler) ours(obj client.Object) bool {
	view, err := r.Hub.View()
	return err == nil && clusterset.SourceCluster(obj.GetLabels()) == view.Cluster
}

// ofImport maps a ServiceImport to the ServiceExport of its name: what is held there matters to the condition Conflict.
func (r *Reconciler) ofImport(ctx context.Context, obj client.Object) []reconcile.Request {
	return r.exportedHere(ctx, request(obj.GetNamespace(), obj.GetName()))
}

// inNamespace maps a namespace to what is exported from it, if its labels matter.
func (r *Reconciler) inNamespace(ctx context.Context, obj client.Object) []reconcile.Request {
	set := &v1alpha1.ClusterSet{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil || set.Spec.ExportNamespaces == nil {
		return nil // its own event covers a ClusterSet that comes later
	}
	return r.exports(ctx, client.InNamespace(obj.GetName()))
}

// ofCluster maps a Member or RemoteCluster to what is exported here: all if it is this cluster, else what may conflict
// with what that one exports.
func (r *Reconciler) ofCluster(ctx context.Context, obj client.Object) []reconcile.Request {
	view, err := r.Hub.View()
	if err != nil {
		return nil
	}
	cluster := v1alpha1.ClusterID(obj.GetName())
	if cluster == view.Cluster {
		return r.exports(ctx)
	}
	found, err := view.Exports(ctx, cluster)
	if err != nil {
		logf.FromContext(ctx).Error(err, "cannot list exports", "cluster", cluster)
	}
	var requests []reconcile.Request
	for i := range found {
		requests = append(requests, request(found[i].Spec.Namespace, found[i].Spec.Name)...)
	}
	return r.exportedHere(ctx, requests)
}

// everything is all that is exported and all that the hub has of us, which may be left from before.
func (r *Reconciler) everything(ctx context.Context) []reconcile.Request {
	requests := r.exports(ctx)
	view, err := r.Hub.View()
	if err != nil {
		return requests
	}
	exports, err := view.Exports(ctx, view.Cluster)
	if err != nil {
		logf.FromContext(ctx).Error(err, "cannot list this cluster's exports on the hub")
	}
	for i := range exports {
		requests = append(requests, r.ofExported(ctx, &exports[i])...)
	}
	slices, err := view.SlicesOf(ctx, view.Cluster)
	if err != nil {
		logf.FromContext(ctx).Error(err, "cannot list this cluster's slices on the hub")
	}
	for i := range slices {
		requests = append(requests, r.ofPublished(ctx, &slices[i])...)
	}
	return requests
}

func (r *Reconciler) everyExport(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.exports(ctx)
}

func (r *Reconciler) exports(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	exports := &mcsv1beta1.ServiceExportList{}
	if err := r.Client.List(ctx, exports, options...); err != nil {
		logf.FromContext(ctx).Error(err, "cannot list ServiceExports")
		return nil
	}
	var requests []reconcile.Request
	for i := range exports.Items {
		requests = append(requests, request(exports.Items[i].Namespace, exports.Items[i].Name)...)
	}
	return requests
}

// exportedHere leaves out what has no ServiceExport. An error other than that is the reconcile's to meet.
func (r *Reconciler) exportedHere(ctx context.Context, requests []reconcile.Request) []reconcile.Request {
	var kept []reconcile.Request
	for _, request := range requests {
		err := r.Client.Get(ctx, request.NamespacedName, &mcsv1beta1.ServiceExport{}, client.UnsafeDisableDeepCopy)
		if !apierrors.IsNotFound(err) {
			kept = append(kept, request)
		}
	}
	return kept
}

// request is none for what is of no Service.
func request(namespace, name string) []reconcile.Request {
	if namespace == "" || name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: namespace, Name: name}}}
}
