package serviceimport

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports/status,verbs=get;update;patch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets;remoteclusters,verbs=get;list;watch

// concurrent imports are written at a time: the API server's answer, not our work, is what each waits for.
const concurrent = 16

// indexCluster finds ServiceImports by the clusters that they are imported from.
const indexCluster = "status.clusters"

func byCluster(obj client.Object) []string {
	var ids []string
	for _, status := range obj.(*mcsv1beta1.ServiceImport).Status.Clusters {
		ids = append(ids, status.Cluster)
	}
	return ids
}

// Index makes the indexes that the Reconciler needs.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	for field, values := range map[string]client.IndexerFunc{indexIP: byIP, indexCluster: byCluster} {
		if err := indexer.IndexField(ctx, &mcsv1beta1.ServiceImport{}, field, values); err != nil {
			return fmt.Errorf("indexing ServiceImports by %s: %w", field, err)
		}
	}
	return nil
}

// SetUp adds the controller, and the indexes that it needs, to the manager.
func (r *Reconciler) SetUp(ctx context.Context, mgr ctrl.Manager) error {
	if err := Index(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("serviceimport").
		WithOptions(retry.Options(concurrent)).
		For(&mcsv1beta1.ServiceImport{}).
		Watches(&mcsv1beta1.ServiceImport{}, handler.EnqueueRequestsFromMapFunc(r.sharing)).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.inNamespace), builder.WithPredicates(namespaceChanged())).
		Watches(&v1alpha1.RemoteCluster{}, handler.EnqueueRequestsFromMapFunc(r.exportedBy), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.ClusterSet{}, handler.EnqueueRequestsFromMapFunc(r.everything), builder.WithPredicates(clusterSetChanged())).
		WatchesRawSource(r.Hub.OnChange(func(ctx context.Context) []reconcile.Request { return r.everything(ctx, nil) })).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.ExportedService{}, r.screened)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.Member{}, r.exportedBy, predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.OnHeartbeat(r.heldOf)).
		Complete(r)
}

// namespaceChanged lets through what may change whether Services are imported into the namespace.
func namespaceChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() || !maps.Equal(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels())
	}}
}

// clusterSetChanged lets through what may change which clusterset IPs are given out, and where Services are imported.
func clusterSetChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.ClusterSet), e.ObjectNew.(*v1alpha1.ClusterSet)
		return (verdict(before) == nil) != (verdict(after) == nil) || refusedAddresses(before) != refusedAddresses(after) ||
			!slices.Equal(before.Spec.VIPCIDRs, after.Spec.VIPCIDRs) ||
			!equality.Semantic.DeepEqual(before.Spec.ImportNamespaces, after.Spec.ImportNamespaces)
	}}
}

// service maps an ExportedService to its Service.
func service(_ context.Context, obj client.Object) []reconcile.Request {
	spec := obj.(*v1alpha1.ExportedService).Spec
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: spec.Namespace, Name: spec.Name}}}
}

// screened maps an ExportedService to its Service, and takes note of whether it can be used. One that is not named after
// what it says it exports is nobody's.
func (r *Reconciler) screened(ctx context.Context, obj client.Object) []reconcile.Request {
	export := obj.(*v1alpha1.ExportedService)
	var skipped []screen.Skipped
	if why := screen.Export(export); why != nil && r.onHub(ctx, export) {
		skipped = append(skipped, *why)
	}
	cluster := clusterset.SourceCluster(export.Labels)
	r.Intake.Note(cluster, "ExportedService "+export.Name, skipped...)
	if export.Name != clusterset.HubName(cluster, export.Spec.Namespace, export.Spec.Name) {
		return nil
	}
	return service(ctx, obj)
}

// onHub tells whether the object is there: an event does not say that it tells of the end.
func (r *Reconciler) onHub(ctx context.Context, obj client.Object) bool {
	view, err := r.Hub.View()
	return err == nil && view.Reader.Get(ctx, client.ObjectKeyFromObject(obj), &v1alpha1.ExportedService{}) == nil
}

// sharing maps a ServiceImport to all others that hold one of its addresses: one of two operators, while there are two,
// may have given it out for a second time.
func (r *Reconciler) sharing(ctx context.Context, obj client.Object) []reconcile.Request {
	var requests []reconcile.Request
	for _, addr := range byIP(obj) {
		if all := r.imports(ctx, client.MatchingFields{indexIP: addr}); len(all) > 1 {
			requests = append(requests, all...)
		}
	}
	return requests
}

// inNamespace maps a namespace to all that is imported there, and all that is exported from namespaces of that name.
func (r *Reconciler) inNamespace(ctx context.Context, obj client.Object) []reconcile.Request {
	requests := r.imports(ctx, client.InNamespace(obj.GetName()))
	view, err := r.Hub.View()
	if err != nil {
		return requests
	}
	found, err := view.ExportsIn(ctx, obj.GetName())
	if err != nil {
		logf.FromContext(ctx).Error(err, "cannot list exports")
	}
	return append(requests, services(ctx, found)...)
}

// exportedBy maps a Member or RemoteCluster to all that the cluster exports, and all that is imported from it.
func (r *Reconciler) exportedBy(ctx context.Context, obj client.Object) []reconcile.Request {
	cluster := v1alpha1.ClusterID(obj.GetName())
	var requests []reconcile.Request
	if view, err := r.Hub.View(); err == nil {
		found, err := view.Exports(ctx, cluster)
		if err != nil {
			logf.FromContext(ctx).Error(err, "cannot list exports", "cluster", cluster)
		}
		requests = services(ctx, found)
	}
	return append(requests, r.imports(ctx, client.MatchingFields{indexCluster: obj.GetName()})...)
}

// heldOf maps a Lease to what is imported from its cluster and no longer exported: the Lease may confirm it.
func (r *Reconciler) heldOf(ctx context.Context, obj client.Object) []reconcile.Request {
	view, err := r.Hub.View()
	if err != nil {
		return nil
	}
	cluster := clusterset.SourceCluster(obj.GetLabels())
	imported := r.imports(ctx, client.MatchingFields{indexCluster: string(cluster)})
	return slices.DeleteFunc(imported, func(request reconcile.Request) bool {
		export, err := view.Export(ctx, cluster, request.Namespace, request.Name)
		return err == nil && export != nil
	})
}

// everything is all that is imported and all that is exported.
func (r *Reconciler) everything(ctx context.Context, _ client.Object) []reconcile.Request {
	requests := r.imports(ctx)
	view, err := r.Hub.View()
	if err != nil {
		return requests
	}
	found, err := view.AllExports(ctx)
	if err != nil {
		logf.FromContext(ctx).Error(err, "cannot list exports")
	}
	return append(requests, services(ctx, found)...)
}

// imports are the ServiceImports that there are.
func (r *Reconciler) imports(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	list := &mcsv1beta1.ServiceImportList{}
	if err := r.Client.List(ctx, list, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		logf.FromContext(ctx).Error(err, "cannot list ServiceImports")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

func services(ctx context.Context, found []v1alpha1.ExportedService) []reconcile.Request {
	var requests []reconcile.Request
	for i := range found {
		requests = append(requests, service(ctx, &found[i])...)
	}
	return requests
}
