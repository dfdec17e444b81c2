package clusterset

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// PolicyTarget is the namespace and name of the ServiceImport that the policy is for. It need not
// exist.
func PolicyTarget(p *v1alpha1.TrafficPolicy) types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Spec.TargetRef.Name}
}

// PolicyFor returns the TrafficPolicy that is in effect for the ServiceImport, nil if there is
// none. Of the policies for it the oldest wins, then the one whose name sorts first. The order of
// policies does not matter, and they may hold policies for other imports. A policy does not count
// while it is being deleted, nor if it would leave no cluster to answer: the next takes its place.
// No policy is in effect for a ServiceImport that nodes do not serve (Served).
func PolicyFor(si *mcsv1beta1.ServiceImport, policies []*v1alpha1.TrafficPolicy) *v1alpha1.TrafficPolicy {
	if !Served(si) {
		return nil
	}
	return firstOf(policies, func(p *v1alpha1.TrafficPolicy) bool { return isFor(p, si) && !silences(p, si) })
}

// JudgePolicy returns the condition Accepted of a TrafficPolicy whose target is si; nil means that
// the target does not exist. The condition is True for the one policy that PolicyFor returns, and
// for no other. policies are those for the same target.
func JudgePolicy(policy *v1alpha1.TrafficPolicy, si *mcsv1beta1.ServiceImport, policies []*v1alpha1.TrafficPolicy) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, ObservedGeneration: policy.Generation}
	target := PolicyTarget(policy)
	if si == nil {
		c.Reason, c.Message = v1alpha1.ReasonTargetNotFound, fmt.Sprintf("there is no ServiceImport %s: the policy takes effect "+
			"when a cluster exports the Service; if one does, check spec.targetRef.name", target)
		return c
	}
	if c.Reason, c.Message = targetFault(si); c.Reason != "" {
		return c
	}
	if silences(policy, si) {
		c.Reason, c.Message = v1alpha1.ReasonInvalid, fmt.Sprintf("every cluster that exports Service %s has weight 0 (%s), so that no "+
			"cluster would answer: the policy is not in effect; give one of them a weight above 0", target, strings.Join(Exporters(si), ", "))
		return c
	}
	return judged(c, policy, PolicyFor(si, append(slices.Clip(policies), policy)), "TrafficPolicy", fmt.Sprintf("ServiceImport %s", target))
}

// targetFault says why no policy is in effect for the ServiceImport; empty if nodes serve it.
func targetFault(si *mcsv1beta1.ServiceImport) (reason, message string) {
	name := si.Namespace + "/" + si.Name
	switch unservedFor(si) {
	case beingDeleted:
		return v1alpha1.ReasonTargetNotFound, fmt.Sprintf("ServiceImport %s is being deleted: the policy takes effect when a cluster "+
			"exports the Service again", name)
	case notOurs:
		return v1alpha1.ReasonTargetNotFound, fmt.Sprintf("tombolo did not make ServiceImport %s (it has no label %s=%s), and does not "+
			"direct its traffic: if it stands in the way of an import, delete it", name, v1alpha1.LabelManagedBy, v1alpha1.ManagedBy)
	case headless:
		return v1alpha1.ReasonTargetHeadless, fmt.Sprintf("ServiceImport %s is headless: clients get all endpoints from DNS and choose among "+
			"them, so that a policy has no effect; delete it, or export a Service that has a cluster IP", name)
	}
	return "", ""
}

// isFor tells whether the policy is for the ServiceImport and is not being deleted.
func isFor(p *v1alpha1.TrafficPolicy, si *mcsv1beta1.ServiceImport) bool {
	ref := p.Spec.TargetRef
	return p.DeletionTimestamp == nil && p.Namespace == si.Namespace && ref.Name == si.Name &&
		(ref.Group == "" || ref.Group == mcsv1beta1.GroupName) && (ref.Kind == "" || ref.Kind == mcsv1beta1.ServiceImportKindName)
}

// silences tells whether the policy would leave no cluster to answer: all clusters that export the
// Service have weight
// 0. While no cluster is known to export it, no policy silences it.
func silences(p *v1alpha1.TrafficPolicy, si *mcsv1beta1.ServiceImport) bool {
	drained := map[string]bool{}
	for _, w := range p.Spec.Weights {
		drained[string(w.Cluster)] = w.Weight <= 0
	}
	return len(si.Status.Clusters) > 0 && !slices.ContainsFunc(si.Status.Clusters, func(s mcsv1beta1.ClusterStatus) bool {
		return !drained[s.Cluster]
	})
}

// attached is a policy of either kind.
type attached interface {
	comparable
	metav1.Object
}

// firstOf returns the policy that takes precedence among those that count, nil if none does.
func firstOf[P attached](policies []P, counts func(P) bool) P {
	var none, first P
	for _, p := range policies {
		if counts(p) && (first == none || comesBefore(p, first)) {
			first = p
		}
	}
	return first
}

// judged completes the condition Accepted of a policy whose target is fine: winner is the policy of
// that kind that is in effect for the target, nil if there is none.
func judged[P attached](c metav1.Condition, policy, winner P, kind, target string) metav1.Condition {
	var none P
	switch {
	case winner == none: // it is being deleted
		c.Reason, c.Message = v1alpha1.ReasonInvalid, "the policy is being deleted, and no longer in effect"
	case winner.GetName() != policy.GetName():
		c.Reason, c.Message = v1alpha1.ReasonConflicted, fmt.Sprintf("%s %s/%s, which is for %s too, is in effect, "+
			"as %s: put both into one, or delete one of them", kind, winner.GetNamespace(), winner.GetName(), target, precedence(winner, policy))
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonAccepted, "in effect for "+target
	}
	return c
}

// comesBefore tells whether the policy takes precedence over another for the same target (GEP-713
// "Conflict resolution").
func comesBefore(p, other metav1.Object) bool {
	return cmp.Or(p.GetCreationTimestamp().Compare(other.GetCreationTimestamp().Time), cmp.Compare(p.GetName(), other.GetName())) < 0
}

// precedence says why the policy comes before the other.
func precedence(p, other metav1.Object) string {
	if p.GetCreationTimestamp().Time.Equal(other.GetCreationTimestamp().Time) {
		return "the two are equally old and its name comes first"
	}
	return "it is older"
}

// SchedulerOn is the scheduler that a node with that backend uses for s. A backend that lacks s
// replaces it. For another backend, such as auto, it is s itself.
func SchedulerOn(backend v1alpha1.DataplaneBackend, s v1alpha1.Scheduler) v1alpha1.Scheduler {
	switch {
	case backend == v1alpha1.BackendIPVS && s == v1alpha1.SchedulerRandom:
		return v1alpha1.SchedulerRoundRobin
	case backend == v1alpha1.BackendNFTables && s == v1alpha1.SchedulerLeastConnection:
		return v1alpha1.SchedulerRandom
	}
	return s
}
