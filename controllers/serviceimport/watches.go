package serviceimport

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// SetUp adds the controller, and the indexes that it needs, to the manager.
func (r *Reconciler) SetUp(ctx context.Context, mgr ctrl.Manager) error {
	if err := Index(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	return retry.Controller(mgr, "serviceimport", concurrent).
		For(&mcsv1beta1.ServiceImport{}).
		Watches(&mcsv1beta1.ServiceImport{}, handler.EnqueueRequestsFromMapFunc(r.sharing)).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.inNamespace), builder.WithPredicates(namespaceChanged())).
		Watches(&v1alpha1.RemoteCluster{}, handler.EnqueueRequestsFromMapFunc(r.exportedBy), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.ClusterSet{}, handler.EnqueueRequestsFromMapFunc(r.everything), builder.WithPredicates(clusterSetChanged())).
		WatchesRawSource(r.Hub.OnChange(r.everything)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.ExportedService{}, r.screen)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.Member{}, r.exportedBy, predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.OnHeartbeat(r.heldOf)).
		Complete(r)
}

// namespaceChanged passes what may change whether Services are imported into the namespace.
func namespaceChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() || !maps.Equal(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels())
	}}
}

// clusterSetChanged passes what may change which clusterset IPs are assigned, and where Services
// are imported.
func clusterSetChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.ClusterSet), e.ObjectNew.(*v1alpha1.ClusterSet)
		return (acceptance(before) == nil) != (acceptance(after) == nil) || addressesRefused(before) != addressesRefused(after) ||
			!slices.Equal(clusterset.VIPBlocks(before), clusterset.VIPBlocks(after)) ||
			!equality.Semantic.DeepEqual(before.Spec.ImportNamespaces, after.Spec.ImportNamespaces)
	}}
}

// ofExport maps an ExportedService to its Service.
func ofExport(_ context.Context, obj client.Object) []reconcile.Request {
	spec := obj.(*v1alpha1.ExportedService).Spec
	return requests.For(spec.Namespace, spec.Name)
}

// sharing maps a ServiceImport to all others that hold one of its addresses. While there are two
// operators, both may have assigned it.
func (r *Reconciler) sharing(ctx context.Context, obj client.Object) []reconcile.Request {
	var all []reconcile.Request
	for _, addr := range byIP(obj) {
		if holders := r.imports(ctx, client.MatchingFields{indexIP: addr}); len(holders) > 1 {
			all = append(all, holders...)
		}
	}
	return all
}

// inNamespace maps a namespace to all that is imported there, and to all that is exported from
// namespaces of that name.
func (r *Reconciler) inNamespace(ctx context.Context, obj client.Object) []reconcile.Request {
	return append(r.imports(ctx, client.InNamespace(obj.GetName())), r.exports(ctx, hub.FromNamespace(obj.GetName()))...)
}

// exportedBy maps a Member or RemoteCluster to all that the cluster exports, and all that is
// imported from it. It screens the exports again: the Member may let the cluster export from other
// namespaces now. This cluster's own Member is mapped to everything.
func (r *Reconciler) exportedBy(ctx context.Context, obj client.Object) []reconcile.Request {
	all := append(r.Hub.Requests(ctx, &v1alpha1.ExportedServiceList{}, r.screen, hub.OfCluster(v1alpha1.ClusterID(obj.GetName()))),
		r.imports(ctx, client.MatchingFields{indexCluster: obj.GetName()})...)
	if view, err := r.Hub.View(); err == nil && obj.GetName() == string(view.Cluster) {
		all = append(all, r.everything(ctx, obj)...) // for which region an export is may concern us
	}
	return all
}

// heldOf maps a Lease to what is imported from its cluster and no longer exported: the Lease may
// confirm it. It also maps to what may be imported now that the cluster exports less.
func (r *Reconciler) heldOf(ctx context.Context, obj client.Object) []reconcile.Request {
	view, err := r.Hub.View()
	if err != nil {
		return nil
	}
	cluster := clusterset.SourceCluster(obj.GetLabels())
	all := r.withinBudget(ctx, cluster)
	imported := r.imports(ctx, client.MatchingFields{indexCluster: string(cluster)})
	return append(all, slices.DeleteFunc(imported, func(request reconcile.Request) bool {
		export, err := view.Export(ctx, cluster, request.Namespace, request.Name)
		return err == nil && export != nil
	})...)
}

// withinBudget maps a cluster that exported too much to what may have room now: with each of its
// heartbeats, and once more after the last one with too much or with one that found no room.
func (r *Reconciler) withinBudget(ctx context.Context, cluster v1alpha1.ClusterID) []reconcile.Request {
	beyond := r.screenBudget(ctx, cluster)
	before, missed := r.exceeded.swap(cluster, len(beyond)), r.missedBudget(cluster)
	if before == len(beyond) && !missed {
		return nil
	}
	return r.Hub.Requests(ctx, &v1alpha1.ExportedServiceList{}, func(ctx context.Context, obj client.Object) []reconcile.Request {
		if beyond[obj.GetName()] {
			return nil
		}
		return ofExport(ctx, obj)
	}, hub.OfCluster(cluster))
}

// everything maps any object to all that is imported, all that is exported, and all that was reported
// as not imported: the export may have gone while there was no connection.
func (r *Reconciler) everything(ctx context.Context, _ client.Object) []reconcile.Request {
	return slices.Concat(r.imports(ctx), r.exports(ctx), r.reported.services())
}

// imports are the ServiceImports that there are.
func (r *Reconciler) imports(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	return requests.List(ctx, r.Client, &mcsv1beta1.ServiceImportList{}, options...)
}

// exports are the Services that the hub has exports of.
func (r *Reconciler) exports(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	return r.Hub.Requests(ctx, &v1alpha1.ExportedServiceList{}, ofExport, options...)
}
