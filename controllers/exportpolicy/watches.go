package exportpolicy

import (
	"context"

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
)

// SetUp adds the controller to the manager.
func (r *Reconciler) SetUp(_ context.Context, mgr ctrl.Manager) error {
	inNamespace := handler.EnqueueRequestsFromMapFunc(r.inNamespace)
	everything := handler.EnqueueRequestsFromMapFunc(r.everything)
	return retry.Controller(mgr, "exportpolicy", concurrent).
		For(&v1alpha1.ExportPolicy{}).
		Watches(&v1alpha1.ExportPolicy{}, inNamespace, builder.WithPredicates(requests.SpecChanged())).
		Watches(&mcsv1beta1.ServiceExport{}, inNamespace, builder.WithPredicates(existence())).
		Watches(&v1alpha1.RemoteCluster{}, everything, builder.WithPredicates(requests.RegionChanged())).
		Watches(&v1alpha1.ClusterSet{}, everything, builder.WithPredicates(clusterSetChanged())).
		Complete(r)
}

// existence passes what changes whether an object is there. A deletion with finalizers counts.
func existence() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return (e.ObjectOld.GetDeletionTimestamp() == nil) != (e.ObjectNew.GetDeletionTimestamp() == nil)
	}}
}

// clusterSetChanged passes what may change which cluster this one is.
func clusterSetChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.ClusterSet), e.ObjectNew.(*v1alpha1.ClusterSet)
		return before.UID != after.UID || before.Status.Region != after.Status.Region || (before.Status.Index == 0) != (after.Status.Index == 0)
	}}
}

// inNamespace maps any object to the policies of its namespace that it may concern: those for the same
// ServiceExport.
func (r *Reconciler) inNamespace(ctx context.Context, obj client.Object) []reconcile.Request {
	target := obj.GetName()
	if policy, ok := obj.(*v1alpha1.ExportPolicy); ok {
		target = policy.Spec.TargetRef.Name
	}
	sameTarget := func(_ context.Context, policy client.Object) []reconcile.Request {
		if policy.(*v1alpha1.ExportPolicy).Spec.TargetRef.Name != target {
			return nil
		}
		return requests.For(policy.GetNamespace(), policy.GetName())
	}
	return requests.Map(ctx, r.Client, &v1alpha1.ExportPolicyList{}, sameTarget, client.InNamespace(obj.GetNamespace()))
}

func (r *Reconciler) everything(ctx context.Context, _ client.Object) []reconcile.Request {
	return requests.List(ctx, r.Client, &v1alpha1.ExportPolicyList{})
}
