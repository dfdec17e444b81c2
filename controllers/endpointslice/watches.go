package endpointslice

import (
	"context"
	"fmt"
	"maps"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
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
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch;create;update;patch;delete
// Slices are owned by their ServiceImport, with blockOwnerDeletion unset; the finalizers' right is not needed for it.
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=remoteclusters,verbs=get;list;watch

// concurrent slices are written at a time: the API server's answer, not our work, is what each waits for.
const concurrent = 16

// Indexes of the imported slices in the cache of this cluster.
const (
	indexService = "service" // by namespace/name
	indexCluster = "cluster" // by source cluster
	indexExport  = "export"  // by exportKey
)

func exportKey(cluster v1alpha1.ClusterID, namespace, name string) string {
	return string(cluster) + "/" + namespace + "/" + name
}

func byExport(obj client.Object) []string {
	if !ours(obj) {
		return nil
	}
	return []string{exportKey(clusterset.SourceCluster(obj.GetLabels()), obj.GetNamespace(), obj.GetLabels()[v1alpha1.LabelServiceName])}
}

func byService(obj client.Object) []string {
	if !ours(obj) {
		return nil
	}
	return []string{obj.GetNamespace() + "/" + obj.GetLabels()[v1alpha1.LabelServiceName]}
}

func byCluster(obj client.Object) []string {
	if !ours(obj) {
		return nil
	}
	return []string{string(clusterset.SourceCluster(obj.GetLabels()))}
}

// Index makes the indexes that the Reconciler needs.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	for field, values := range map[string]client.IndexerFunc{indexService: byService, indexCluster: byCluster, indexExport: byExport} {
		if err := indexer.IndexField(ctx, &discoveryv1.EndpointSlice{}, field, values); err != nil {
			return fmt.Errorf("indexing EndpointSlices by %s: %w", field, err)
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
		Named("endpointslice").
		WithOptions(retry.Options(concurrent)).
		For(&discoveryv1.EndpointSlice{}, builder.WithPredicates(isOrWasOurs())).
		Watches(&mcsv1beta1.ServiceImport{}, r.onImport()).
		Watches(&v1alpha1.RemoteCluster{}, handler.EnqueueRequestsFromMapFunc(r.ofCluster),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.OnChange(r.everything)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.Member{}, r.ofCluster, predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.ExportedService{}, r.ofExport, predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.OnHeartbeat(r.missing)).
		WatchesRawSource(r.Hub.Watch(&discoveryv1.EndpointSlice{}, r.published)).
		Complete(r)
}

// isOrWasOurs lets through what happens to imported slices, and that one lost its label.
func isOrWasOurs() predicate.Predicate {
	p := predicate.NewPredicateFuncs(ours)
	p.UpdateFunc = func(e event.UpdateEvent) bool { return ours(e.ObjectOld) || ours(e.ObjectNew) }
	return p
}

// onImport asks for the slices that a change of a ServiceImport concerns: all of it, or those of the clusters that came
// or went. With many clusters that export one Service, asking for all of them each time one comes would be their square.
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

// importChanged tells whether all slices of the ServiceImport may have to be others.
func importChanged(before, after *mcsv1beta1.ServiceImport) bool {
	return before.UID != after.UID || mcs.Ours(before) != mcs.Ours(after) ||
		!before.DeletionTimestamp.Equal(after.DeletionTimestamp) ||
		!ptr.Equal(before.Spec.TrafficDistribution, after.Spec.TrafficDistribution) ||
		before.Spec.Type != after.Spec.Type ||
		!equality.Semantic.DeepEqual(before.Spec.Ports, after.Spec.Ports)
}

// cameOrWent are the clusters that are in one of the lists only.
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
	namespace := obj.GetLabels()[v1alpha1.LabelNamespace]
	if namespace == "" {
		return nil
	}
	return []reconcile.Request{request(namespace, obj.GetName())}
}

// published maps a slice on the hub to the one that is imported for it, and to all of its Service where there are so many
// endpoints that what one slice holds decides how many are taken of others.
func (r *Reconciler) published(ctx context.Context, obj client.Object) []reconcile.Request {
	requests := imported(ctx, obj)
	view, err := r.Hub.View()
	if err != nil {
		return requests
	}
	labels := obj.GetLabels()
	siblings, err := view.Slices(ctx, clusterset.SourceCluster(labels), labels[v1alpha1.LabelNamespace], labels[v1alpha1.LabelServiceName])
	if err != nil {
		logf.FromContext(ctx).Error(err, "cannot list the slices of a Service", "cluster", clusterset.SourceCluster(labels))
	}
	total := len(obj.(*discoveryv1.EndpointSlice).Endpoints) // as it is or was
	for i := range siblings {
		total += len(siblings[i].Endpoints)
	}
	if total > screen.MaxEndpoints {
		requests = append(requests, allImported(ctx, siblings)...)
	}
	return requests
}

// ofImport maps a ServiceImport to all slices that are or should be its own.
func (r *Reconciler) ofImport(ctx context.Context, obj client.Object) []reconcile.Request {
	requests := r.local(ctx, client.MatchingFields{indexService: obj.GetNamespace() + "/" + obj.GetName()})
	for _, status := range obj.(*mcsv1beta1.ServiceImport).Status.Clusters {
		requests = append(requests, r.onHub(ctx, v1alpha1.ClusterID(status.Cluster), obj.GetNamespace(), obj.GetName())...)
	}
	return requests
}

// ofExport maps a cluster's export to its Service's slices: whether it exposes a port as the ServiceImport has it may have
// changed, and which slices it has.
func (r *Reconciler) ofExport(ctx context.Context, obj client.Object) []reconcile.Request {
	spec := obj.(*v1alpha1.ExportedService).Spec
	return r.ofClusterIn(ctx, clusterset.SourceCluster(obj.GetLabels()), spec.Namespace, spec.Name)
}

// ofClusterIn are the slices of a cluster's Service, those that are imported and those that are on the hub.
func (r *Reconciler) ofClusterIn(ctx context.Context, cluster v1alpha1.ClusterID, namespace, name string) []reconcile.Request {
	requests := r.local(ctx, client.MatchingFields{indexExport: exportKey(cluster, namespace, name)})
	return append(requests, r.onHub(ctx, cluster, namespace, name)...)
}

// onHub are those that the hub has slices for.
func (r *Reconciler) onHub(ctx context.Context, cluster v1alpha1.ClusterID, namespace, name string) []reconcile.Request {
	view, err := r.Hub.View()
	if err != nil {
		return nil
	}
	found, err := view.Slices(ctx, cluster, namespace, name)
	if err != nil {
		logf.FromContext(ctx).Error(err, "cannot list the slices of an export", "cluster", cluster)
	}
	return allImported(ctx, found)
}

// missing maps the Lease of a cluster to what is imported from it and not on the hub: that may now be believed.
func (r *Reconciler) missing(ctx context.Context, lease client.Object) []reconcile.Request {
	view, err := r.Hub.View()
	if err != nil {
		return nil
	}
	requests := r.local(ctx, client.MatchingFields{indexCluster: string(clusterset.SourceCluster(lease.GetLabels()))})
	return slices.DeleteFunc(requests, func(request reconcile.Request) bool {
		published, err := view.Slice(ctx, request.Name)
		return err == nil && published != nil
	})
}

// ofCluster maps a RemoteCluster or Member to all slices of that cluster, and to all that there are if it is this one's,
// because this cluster's place in the world decides whose zones are the same.
func (r *Reconciler) ofCluster(ctx context.Context, obj client.Object) []reconcile.Request {
	view, err := r.Hub.View()
	if err == nil && obj.GetName() == string(view.Cluster) {
		return r.everything(ctx)
	}
	requests := r.local(ctx, client.MatchingFields{indexCluster: obj.GetName()})
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
	if err := r.Client.List(ctx, list, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		logf.FromContext(ctx).Error(err, "cannot list imported slices")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if s := &list.Items[i]; ours(s) && clusterset.SourceCluster(s.Labels) != "" {
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
