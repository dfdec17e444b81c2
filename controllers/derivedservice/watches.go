package derivedservice

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
)

// Indexes of the EndpointSlices in the cache of this cluster.
const (
	indexImport  = "derivedservice.import"  // imported ones, by the name of their ServiceImport
	indexDerived = "derivedservice.service" // those of derived Services, by the name of their Service
)

// Index makes the indexes that the Reconciler needs.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	return requests.Index(ctx, indexer, &discoveryv1.EndpointSlice{}, map[string]client.IndexerFunc{
		indexImport:  func(obj client.Object) []string { return orNone(importOf(obj)) },
		indexDerived: func(obj client.Object) []string { return orNone(serviceOf(obj)) },
	})
}

func orNone(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}

// importOf is the name of an imported slice's ServiceImport; empty for other slices. Slices in a
// hub's namespace are published, not imported.
func importOf(obj client.Object) string {
	labels := obj.GetLabels()
	if _, published := labels[v1alpha1.LabelNamespace]; published || labels[discoveryv1.LabelManagedBy] != v1alpha1.ManagedBy {
		return ""
	}
	return labels[v1alpha1.LabelServiceName]
}

// serviceOf is the name of the derived Service that a slice of ours belongs to; empty for other
// slices.
func serviceOf(obj client.Object) string {
	if obj.GetLabels()[discoveryv1.LabelManagedBy] != v1alpha1.ManagedBy {
		return ""
	}
	return obj.GetLabels()[discoveryv1.LabelServiceName]
}

// SetUp adds the controller, and the indexes that it needs, to the manager.
func (r *Reconciler) SetUp(ctx context.Context, mgr ctrl.Manager) error {
	if err := Index(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	toOwner := handler.EnqueueRequestForOwner(mgr.GetScheme(), mgr.GetRESTMapper(), &mcsv1beta1.ServiceImport{}, handler.OnlyControllerOwner())
	return retry.Controller(mgr, "derivedservice", concurrent).
		For(&mcsv1beta1.ServiceImport{}).
		Watches(&corev1.Service{}, toOwner).
		Watches(&discoveryv1.EndpointSlice{}, handler.EnqueueRequestsFromMapFunc(r.ofSlice)).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.inNamespace), builder.WithPredicates(labelsChanged())).
		Watches(&v1alpha1.RemoteCluster{}, handler.EnqueueRequestsFromMapFunc(r.derived), builder.WithPredicates(reachableChanged())).
		Watches(&v1alpha1.ClusterSet{}, handler.EnqueueRequestsFromMapFunc(r.everything), builder.WithPredicates(optionsChanged())).
		Complete(r)
}

func labelsChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return !maps.Equal(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels())
	}}
}

func reachableChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return unreachable(e.ObjectOld.(*v1alpha1.RemoteCluster)) != unreachable(e.ObjectNew.(*v1alpha1.RemoteCluster))
	}}
}

func unreachable(rc *v1alpha1.RemoteCluster) bool {
	return meta.IsStatusConditionFalse(rc.Status.Conditions, v1alpha1.ConditionReachable)
}

func optionsChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.ClusterSet).Spec, e.ObjectNew.(*v1alpha1.ClusterSet).Spec
		return !equality.Semantic.DeepEqual(before.DerivedServices, after.DerivedServices)
	}}
}

// on tells whether there are derived Services to keep in step. That they are turned off is an event of
// the ClusterSet.
func (r *Reconciler) on(ctx context.Context) bool {
	set, err := optional.ClusterSet(ctx, r.Client)
	return err == nil && set != nil && set.Spec.DerivedServices != nil
}

// ofSlice maps an imported slice, or one of a derived Service, to its ServiceImport.
func (r *Reconciler) ofSlice(ctx context.Context, obj client.Object) []reconcile.Request {
	name, service := importOf(obj), serviceOf(obj)
	if name == "" && service == "" || !r.on(ctx) {
		return nil
	}
	if service == "" {
		return requests.For(obj.GetNamespace(), name)
	}
	found, err := optional.Get[corev1.Service](ctx, r.Client, client.ObjectKey{Namespace: obj.GetNamespace(), Name: service})
	if err != nil || found == nil {
		return nil
	}
	return ofService(ctx, found)
}

// ofService maps a derived Service to its ServiceImport.
func ofService(_ context.Context, service client.Object) []reconcile.Request {
	if owner := metav1.GetControllerOf(service); owner != nil && owner.Kind == mcsv1beta1.ServiceImportKindName {
		return requests.For(service.GetNamespace(), owner.Name)
	}
	return nil
}

// derived maps any object to all ServiceImports that have a derived Service.
func (r *Reconciler) derived(ctx context.Context, _ client.Object) []reconcile.Request {
	return requests.Map(ctx, r.Client, &corev1.ServiceList{}, ofService, client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})
}

func (r *Reconciler) inNamespace(ctx context.Context, obj client.Object) []reconcile.Request {
	if !r.on(ctx) {
		return nil
	}
	return requests.List(ctx, r.Client, &mcsv1beta1.ServiceImportList{}, client.InNamespace(obj.GetName()))
}

func (r *Reconciler) everything(ctx context.Context, _ client.Object) []reconcile.Request {
	return requests.List(ctx, r.Client, &mcsv1beta1.ServiceImportList{})
}
