package trafficpolicy

import (
	"context"
	"slices"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// SetUp adds the controller, and the index that it needs, to the manager.
func (r *Reconciler) SetUp(ctx context.Context, mgr ctrl.Manager) error {
	if err := Index(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	return retry.Controller(mgr, "trafficpolicy", concurrent).
		For(&v1alpha1.TrafficPolicy{}).
		Watches(&v1alpha1.TrafficPolicy{}, handler.EnqueueRequestsFromMapFunc(r.rivals), builder.WithPredicates(requests.SpecChanged())).
		Watches(&mcsv1beta1.ServiceImport{}, handler.EnqueueRequestsFromMapFunc(r.ofTarget), builder.WithPredicates(importChanged())).
		Watches(&v1alpha1.RemoteCluster{}, handler.EnqueueRequestsFromMapFunc(r.everything), builder.WithPredicates(requests.RegionChanged())).
		Watches(&v1alpha1.ClusterSet{}, handler.EnqueueRequestsFromMapFunc(r.everything), builder.WithPredicates(clusterSetChanged())).
		Complete(r)
}

// importChanged passes what may change whether a policy for the ServiceImport is in effect, and the
// remarks on such a policy.
func importChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*mcsv1beta1.ServiceImport), e.ObjectNew.(*mcsv1beta1.ServiceImport)
		return before.Spec.Type != after.Spec.Type || staysOnNode(before) != staysOnNode(after) ||
			!slices.Equal(clusterset.Exporters(before), clusterset.Exporters(after)) ||
			before.Labels[v1alpha1.LabelManagedBy] != after.Labels[v1alpha1.LabelManagedBy] ||
			before.Annotations[v1alpha1.AnnotationDerivedService] != after.Annotations[v1alpha1.AnnotationDerivedService] ||
			!before.DeletionTimestamp.Equal(after.DeletionTimestamp)
	}}
}

// clusterSetChanged passes what may change the surroundings.
func clusterSetChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.ClusterSet), e.ObjectNew.(*v1alpha1.ClusterSet)
		return before.UID != after.UID || before.Spec.Dataplane.Backend != after.Spec.Dataplane.Backend ||
			before.Status.Region != after.Status.Region || (before.Status.Index == 0) != (after.Status.Index == 0)
	}}
}

// rivals maps a TrafficPolicy to all policies for the same target.
func (r *Reconciler) rivals(ctx context.Context, obj client.Object) []reconcile.Request {
	target := clusterset.PolicyTarget(obj.(*v1alpha1.TrafficPolicy))
	return r.policies(ctx, withTarget(target.Namespace, target.Name)...)
}

// ofTarget maps a ServiceImport to the policies for it.
func (r *Reconciler) ofTarget(ctx context.Context, obj client.Object) []reconcile.Request {
	return r.policies(ctx, withTarget(obj.GetNamespace(), obj.GetName())...)
}

// everything maps any object to all policies.
func (r *Reconciler) everything(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.policies(ctx)
}

func (r *Reconciler) policies(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	return requests.List(ctx, r.Client, &v1alpha1.TrafficPolicyList{}, options...)
}
