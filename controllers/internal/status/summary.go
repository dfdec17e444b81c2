package status

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Summarize makes Ready say whether all needed conditions are True, and if not, what the first one
// that is not says. Stalled is there, and True, while Accepted refuses the object for good: only a
// change of the object or of another mends that. Tools that know nothing of our conditions wait for
// these two (kstatus). The result is the generation that all needed conditions have seen; zero if one
// of them is missing.
func Summarize(of client.Object, conditions *[]metav1.Condition, needed ...string) int64 {
	seen := of.GetGeneration()
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady}
	for _, name := range needed {
		c := meta.FindStatusCondition(*conditions, name)
		if c == nil {
			seen = 0
			c = &metav1.Condition{Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonPending, Message: "nothing is known yet"}
		}
		seen = min(seen, c.ObservedGeneration)
		if c.Status != metav1.ConditionTrue && ready.Status == metav1.ConditionTrue {
			ready.Status, ready.Reason, ready.Message = c.Status, c.Reason, name+": "+c.Message
		}
	}
	SetConditions(of, conditions, ready)
	stall(of, conditions)
	return seen
}

// stall sets Stalled, or removes it.
func stall(of client.Object, conditions *[]metav1.Condition) {
	accepted := meta.FindStatusCondition(*conditions, v1alpha1.ConditionAccepted)
	if accepted == nil || accepted.Status != metav1.ConditionFalse || accepted.Reason == v1alpha1.ReasonTargetNotFound {
		meta.RemoveStatusCondition(conditions, v1alpha1.ConditionStalled)
		return
	}
	SetConditions(of, conditions, metav1.Condition{
		Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: accepted.Reason, Message: accepted.Message,
	})
}

// PatchClusterSet is PatchShared for the ClusterSet, with the summary of what the controllers say.
func PatchClusterSet(ctx context.Context, c client.Client, have, want *v1alpha1.ClusterSet) error {
	needed := []string{v1alpha1.ConditionInstalled, v1alpha1.ConditionAccepted, v1alpha1.ConditionHubConnected}
	if have.Spec.DNS == v1alpha1.DNSManaged {
		needed = append(needed, v1alpha1.ConditionDNSReady)
	}
	if seen := Summarize(have, &want.Status.Conditions, needed...); seen > 0 {
		want.Status.ObservedGeneration = seen
	}
	return PatchShared(ctx, c, have, want)
}
