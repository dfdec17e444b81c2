package exportpolicy

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
)

// SetUp adds the controller to the manager.
func (r *Reconciler) SetUp(_ context.Context, mgr ctrl.Manager) error {
	inNamespace := handler.EnqueueRequestsFromMapFunc(r.inNamespace)
	everything := handler.EnqueueRequestsFromMapFunc(r.everything)
	return retry.Controller(mgr, "exportpolicy", concurrent).
		For(&v1alpha1.ExportPolicy{}).
		Watches(&v1alpha1.ExportPolicy{}, inNamespace, builder.WithPredicates(Changed())).
		Watches(&mcsv1beta1.ServiceExport{}, inNamespace, builder.WithPredicates(existence())).
		Watches(&v1alpha1.RemoteCluster{}, everything, builder.WithPredicates(regionChanged())).
		Watches(&v1alpha1.ClusterSet{}, everything, builder.WithPredicates(clusterSetChanged())).
		Complete(r)
}

// Changed passes what may change which of the policies for a ServiceExport is in effect, and what it
// says.
func Changed() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() || e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration()
	}}
}

// existence passes what changes whether an object is there. A deletion with finalizers counts.
func existence() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return (e.ObjectOld.GetDeletionTimestamp() == nil) != (e.ObjectNew.GetDeletionTimestamp() == nil)
	}}
}

// regionChanged passes what may change which clusters and regions there are.
func regionChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.(*v1alpha1.RemoteCluster).Spec.Region != e.ObjectNew.(*v1alpha1.RemoteCluster).Spec.Region
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
	all := requests.List(ctx, r.Client, &v1alpha1.ExportPolicyList{}, client.InNamespace(obj.GetNamespace()))
	return slices.DeleteFunc(all, func(request reconcile.Request) bool {
		policy := &v1alpha1.ExportPolicy{}
		err := r.Client.Get(ctx, request.NamespacedName, policy, client.UnsafeDisableDeepCopy)
		return err == nil && policy.Spec.TargetRef.Name != target
	})
}

func (r *Reconciler) everything(ctx context.Context, _ client.Object) []reconcile.Request {
	return requests.List(ctx, r.Client, &v1alpha1.ExportPolicyList{})
}
