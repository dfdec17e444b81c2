// Package trafficpolicy owns the status of TrafficPolicies: whether a policy is in effect, and if not, why. It decides
// nothing: which policy is in effect is api/v1alpha1's PolicyFor to say, and the dataplane's to carry out.
package trafficpolicy

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Reconciler keeps the condition Accepted of each TrafficPolicy.
type Reconciler struct {
	Client client.Client // required, of this cluster, cached, with the index that Index makes
}

// Reconcile writes the condition if it differs. A policy that is being deleted is left as it is.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	policy := &v1alpha1.TrafficPolicy{}
	if err := r.Client.Get(ctx, request.NamespacedName, policy); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if policy.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	accepted, err := r.accepted(ctx, policy)
	if err != nil {
		return reconcile.Result{}, err
	}
	want := policy.DeepCopy()
	if !meta.SetStatusCondition(&want.Status.Conditions, accepted) {
		return reconcile.Result{}, nil
	}
	// A merge patch replaces all conditions: others' must be as they were read.
	patch := client.MergeFromWithOptions(policy, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, want, patch); err != nil {
		return retry.Result(fmt.Errorf("writing the status of TrafficPolicy %s: %w", request, err))
	}
	return reconcile.Result{}, nil
}

// accepted is the condition as it should be.
func (r *Reconciler) accepted(ctx context.Context, policy *v1alpha1.TrafficPolicy) (metav1.Condition, error) {
	target := &mcsv1beta1.ServiceImport{}
	if err := r.Client.Get(ctx, clusterset.PolicyTarget(policy), target); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return metav1.Condition{}, fmt.Errorf("reading ServiceImport %s: %w", clusterset.PolicyTarget(policy), err)
		}
		target = nil
	}
	rivals, err := r.list(ctx, withTarget(policy.Namespace, policy.Spec.TargetRef.Name)...)
	if err != nil {
		return metav1.Condition{}, err
	}
	condition := clusterset.JudgePolicy(policy, target, rivals)
	if condition.Status == metav1.ConditionTrue {
		around, err := r.surroundings(ctx)
		if err != nil {
			return metav1.Condition{}, err
		}
		condition.Message += around.remarks(&policy.Spec, target)
	}
	return condition, nil
}

// list returns TrafficPolicies as they are in the cache: nobody may change them.
func (r *Reconciler) list(ctx context.Context, options ...client.ListOption) ([]*v1alpha1.TrafficPolicy, error) {
	list := &v1alpha1.TrafficPolicyList{}
	if err := r.Client.List(ctx, list, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		return nil, fmt.Errorf("listing TrafficPolicies: %w", err)
	}
	found := make([]*v1alpha1.TrafficPolicy, 0, len(list.Items))
	for i := range list.Items {
		found = append(found, &list.Items[i])
	}
	return found, nil
}

// surroundings are those of a policy that is in effect now.
func (r *Reconciler) surroundings(ctx context.Context) (surroundings, error) {
	set := &v1alpha1.ClusterSet{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return surroundings{}, fmt.Errorf("reading the ClusterSet: %w", err)
		}
		set = nil
	}
	remotes := &v1alpha1.RemoteClusterList{}
	if err := r.Client.List(ctx, remotes, client.UnsafeDisableDeepCopy); err != nil {
		return surroundings{}, fmt.Errorf("listing RemoteClusters: %w", err)
	}
	return newSurroundings(set, remotes.Items), nil
}
