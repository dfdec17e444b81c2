// Package trafficpolicy owns the status of TrafficPolicies: whether a policy is in effect, and if
// not, why. It decides nothing: package internal/clusterset says which policy is in effect, and the
// dataplane carries it out.
package trafficpolicy

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/peers"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/internal/status"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=trafficpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=trafficpolicies/status,verbs=update;patch
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets;remoteclusters,verbs=get;list;watch

// concurrent policies are written at a time: each waits for the API server's answer.
const concurrent = 4

// Reconciler maintains the conditions of each TrafficPolicy.
type Reconciler struct {
	Client client.Client // required, of this cluster, cached, with the index that Index makes
}

// Reconcile writes the conditions if they differ. A policy that is being deleted is left as it is.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	policy, err := optional.GetUndeleted[v1alpha1.TrafficPolicy](ctx, r.Client, request.NamespacedName)
	if err != nil || policy == nil {
		return reconcile.Result{}, err
	}
	accepted, err := r.accepted(ctx, policy)
	if err != nil {
		return reconcile.Result{}, err
	}
	want := policy.DeepCopy()
	status.SetConditions(policy, &want.Status.Conditions, accepted)
	want.Status.ObservedGeneration = status.Summarize(policy, &want.Status.Conditions, v1alpha1.ConditionAccepted)
	return retry.Result(status.PatchShared(ctx, r.Client, policy, want))
}

// accepted is the condition as it should be.
func (r *Reconciler) accepted(ctx context.Context, policy *v1alpha1.TrafficPolicy) (metav1.Condition, error) {
	target, err := optional.Get[mcsv1beta1.ServiceImport](ctx, r.Client, clusterset.PolicyTarget(policy))
	if err != nil {
		return metav1.Condition{}, err
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

// list returns TrafficPolicies as they are in the cache: the caller must not change them.
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

// surroundings are what a policy that is in effect now depends on.
func (r *Reconciler) surroundings(ctx context.Context) (surroundings, error) {
	set, remotes, err := peers.Read(ctx, r.Client)
	if err != nil {
		return surroundings{}, err
	}
	return newSurroundings(set, remotes), nil
}
