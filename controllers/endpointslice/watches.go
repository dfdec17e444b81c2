package endpointslice

import (
	"context"
	"maps"
	"slices"

	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
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
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// SetUp adds the controller, and the indexes that it needs, to the manager.
func (r *Reconciler) SetUp(ctx context.Context, mgr ctrl.Manager) error {
	if err := Index(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	return retry.Controller(mgr, "endpointslice", concurrent).
		For(&discoveryv1.EndpointSlice{}, builder.WithPredicates(isOrWasOurs())).
		Watches(&discoveryv1.EndpointSlice{}, handler.EnqueueRequestsFromMapFunc(r.ofLocal), builder.WithPredicates(namesOtherNodes())).
		Watches(&mcsv1beta1.ServiceImport{}, r.onImport()).
		Watches(&v1alpha1.RemoteCluster{}, handler.EnqueueRequestsFromMapFunc(r.ofCluster),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.OnChange(r.everything)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.Member{}, r.ofCluster, predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.ExportedService{}, r.ofExport, predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.OnHeartbeat(r.missing)).
		WatchesRawSource(r.Hub.Watch(&coordinationv1.Lease{}, r.ofShares)).
		WatchesRawSource(r.Hub.Watch(&discoveryv1.EndpointSlice{}, r.published)).
		Complete(r)
}

// isOrWasOurs passes what happens to imported slices, and that one lost its label.
func isOrWasOurs() predicate.Predicate {
	p := predicate.NewPredicateFuncs(ours)
	p.UpdateFunc = func(e event.UpdateEvent) bool { return ours(e.ObjectOld) || ours(e.ObjectNew) }
	return p
}

// namesOtherNodes passes local slices that name a node for an address, or another node than before. What
// is not named any more goes from the hub, too, and that brings us back.
func namesOtherNodes() predicate.Predicate {
	isLocal := func(o client.Object) bool {
		return o.GetLabels()[discoveryv1.LabelServiceName] != "" && clusterset.SourceCluster(o.GetLabels()) == ""
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool {
			return isLocal(e.Object) && len(nodesOf(e.Object.(*discoveryv1.EndpointSlice))) > 0
		},
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			if !isLocal(e.ObjectNew) {
				return false
			}
			before, after := nodesOf(e.ObjectOld.(*discoveryv1.EndpointSlice)), nodesOf(e.ObjectNew.(*discoveryv1.EndpointSlice))
			for address, node := range after {
				if before[address] != node {
					return true
				}
			}
			return false
		},
	}
}

// ofLocal maps a local slice to what this cluster imports of its own Service.
func (r *Reconciler) ofLocal(ctx context.Context, obj client.Object) []reconcile.Request {
	view, err := r.Hub.View()
	if err != nil {
		return nil
	}
	return r.local(ctx, client.MatchingFields{indexExport: exportKey(view.Cluster, obj.GetNamespace(), obj.GetLabels()[discoveryv1.LabelServiceName])})
}

// onImport requests the slices that a change of a ServiceImport concerns: all its slices, or those
// of the clusters that came or went. If many clusters export one Service, requesting all slices
// each time one cluster comes would cost the square of their number.
func (r *Reconciler) onImport() handler.EventHandler {
	all := handler.EnqueueRequestsFromMapFunc(r.ofImport)
	return handler.Funcs{
		CreateFunc: all.Create,
		DeleteFunc: all.Delete,
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			before, after := e.ObjectOld.(*mcsv1beta1.ServiceImport), e.ObjectNew.(*mcsv1beta1.ServiceImport)
			if importChanged(before, after) {
				all.Update(ctx, e, q)
				return
			}
			for _, cluster := range cameOrWent(before.Status.Clusters, after.Status.Clusters) {
				for _, request := range r.ofClusterIn(ctx, v1alpha1.ClusterID(cluster), after.Namespace, after.Name) {
					q.Add(request)
				}
			}
		},
	}
}

// importChanged tells whether all slices of the ServiceImport may have to change.
func importChanged(before, after *mcsv1beta1.ServiceImport) bool {
	return before.UID != after.UID || mcs.Ours(before) != mcs.Ours(after) ||
		!before.DeletionTimestamp.Equal(after.DeletionTimestamp) ||
		!ptr.Equal(before.Spec.TrafficDistribution, after.Spec.TrafficDistribution) ||
		before.Spec.Type != after.Spec.Type ||
		!equality.Semantic.DeepEqual(before.Spec.Ports, after.Spec.Ports)
}

// cameOrWent are the clusters that are in only one of the lists.
func cameOrWent(before, after []mcsv1beta1.ClusterStatus) []string {
	change := map[string]int{}
	for _, s := range before {
		change[s.Cluster]--
	}
	for _, s := range after {
		change[s.Cluster]++
	}
	maps.DeleteFunc(change, func(_ string, n int) bool { return n == 0 })
	return slices.Sorted(maps.Keys(change))
}

// imported maps a slice on the hub to the one that is imported for it.
func imported(_ context.Context, obj client.Object) []reconcile.Request {
	return requests.For(obj.GetLabels()[v1alpha1.LabelNamespace], obj.GetName())
}

// ofImport maps a ServiceImport to all slices that are its own or should be.
func (r *Reconciler) ofImport(ctx context.Context, obj client.Object) []reconcile.Request {
	all := r.local(ctx, client.MatchingFields{indexService: obj.GetNamespace() + "/" + obj.GetName()})
	for _, status := range obj.(*mcsv1beta1.ServiceImport).Status.Clusters {
		all = append(all, r.onHub(ctx, hub.OfService(v1alpha1.ClusterID(status.Cluster), obj.GetNamespace(), obj.GetName()))...)
	}
	return all
}

// ofExport maps a cluster's export to its Service's slices. Two things may have changed: whether it
// exposes a port as the ServiceImport has it, and which slices it has.
func (r *Reconciler) ofExport(ctx context.Context, obj client.Object) []reconcile.Request {
	spec := obj.(*v1alpha1.ExportedService).Spec
	return r.ofClusterIn(ctx, clusterset.SourceCluster(obj.GetLabels()), spec.Namespace, spec.Name)
}

// ofClusterIn are the slices of a cluster's Service, those that are imported and those that are on
// the hub.
func (r *Reconciler) ofClusterIn(ctx context.Context, cluster v1alpha1.ClusterID, namespace, name string) []reconcile.Request {
	return append(r.local(ctx, client.MatchingFields{indexExport: exportKey(cluster, namespace, name)}),
		r.onHub(ctx, hub.OfService(cluster, namespace, name))...)
}

// missing maps the Lease of a cluster to what is imported from it and not on the hub: we may
// believe that now.
func (r *Reconciler) missing(ctx context.Context, lease client.Object) []reconcile.Request {
	view, err := r.Hub.View()
	if err != nil {
		return nil
	}
	cluster := clusterset.SourceCluster(lease.GetLabels())
	published, err := view.SlicesOf(ctx, cluster)
	if err != nil {
		return nil
	}
	names := make(map[string]bool, len(published))
	for i := range published {
		names[published[i].Name] = true
	}
	return slices.DeleteFunc(r.local(ctx, client.MatchingFields{indexCluster: string(cluster)}),
		func(request reconcile.Request) bool { return names[request.Name] })
}

// ofCluster maps a RemoteCluster or Member to all slices of that cluster. If it is this cluster's
// own, it maps to all slices that there are, because this cluster's region and zones decide whose
// zones are the same.
func (r *Reconciler) ofCluster(ctx context.Context, obj client.Object) []reconcile.Request {
	if view, err := r.Hub.View(); err == nil && obj.GetName() == string(view.Cluster) {
		return r.everything(ctx, obj)
	}
	r.recount(ctx, v1alpha1.ClusterID(obj.GetName())) // its Member may have other limits
	return append(r.local(ctx, client.MatchingFields{indexCluster: obj.GetName()}),
		r.onHub(ctx, hub.OfCluster(v1alpha1.ClusterID(obj.GetName())))...)
}

// everything maps any object to all slices that are imported and all that are published.
func (r *Reconciler) everything(ctx context.Context, _ client.Object) []reconcile.Request {
	r.shares.forget()
	return append(r.local(ctx), r.onHub(ctx)...)
}

// onHub are the imported slices for those on the hub.
func (r *Reconciler) onHub(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	return r.Hub.Requests(ctx, &discoveryv1.EndpointSliceList{}, imported, options...)
}

// local are the imported slices that there are.
func (r *Reconciler) local(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	return requests.Map(ctx, r.Client, &discoveryv1.EndpointSliceList{}, itselfIfOurs, options...)
}

func itselfIfOurs(_ context.Context, slice client.Object) []reconcile.Request {
	if !ours(slice) || clusterset.SourceCluster(slice.GetLabels()) == "" {
		return nil
	}
	return requests.For(slice.GetNamespace(), slice.GetName())
}
