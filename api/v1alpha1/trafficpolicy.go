package v1alpha1

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// Target is the namespace and name of the ServiceImport that the policy is for, which need not be there.
func (p *TrafficPolicy) Target() types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Spec.TargetRef.Name}
}

// PolicyFor returns the TrafficPolicy that is in effect for the ServiceImport, nil if none is. Of those that are for it
// the oldest is, then the one whose name comes first, whatever the order of policies, which may hold others'. One that is
// being deleted does not count, nor one that would leave nobody to answer: the next takes its place. Nothing is in effect
// for a ServiceImport that has no clusterset IP to serve: a headless one, one that tombolo did not make, one that goes.
// Operator and dataplane both ask here.
func PolicyFor(si *mcsv1beta1.ServiceImport, policies []*TrafficPolicy) *TrafficPolicy {
	if _, why := unserved(si); why != "" {
		return nil
	}
	var first *TrafficPolicy
	for _, p := range policies {
		if p.isFor(si) && !p.silences(si) && (first == nil || p.comesBefore(first)) {
			first = p
		}
	}
	return first
}

// JudgePolicy returns the condition Accepted of a TrafficPolicy whose target is si; nil: the target is not there. It is
// True for the one policy that PolicyFor returns, and for no other. policies are those for the same target.
func JudgePolicy(policy *TrafficPolicy, si *mcsv1beta1.ServiceImport, policies []*TrafficPolicy) metav1.Condition {
	c := metav1.Condition{Type: ConditionAccepted, Status: metav1.ConditionFalse, ObservedGeneration: policy.Generation}
	target := policy.Target()
	if si == nil {
		c.Reason, c.Message = ReasonTargetNotFound, fmt.Sprintf("there is no ServiceImport %s: the policy takes effect "+
			"when a cluster exports the Service; if one does, see whether spec.targetRef.name is right", target)
		return c
	}
	if c.Reason, c.Message = unserved(si); c.Reason != "" {
		return c
	}
	if policy.silences(si) {
		c.Reason, c.Message = ReasonInvalid, fmt.Sprintf("every cluster that exports Service %s has weight 0 (%s), so that nobody "+
			"would answer: the policy is not in effect; give one of them a weight above 0", target, strings.Join(Exporters(si), ", "))
		return c
	}
	switch winner := PolicyFor(si, append(slices.Clip(policies), policy)); {
	case winner == nil: // it is being deleted
		c.Reason, c.Message = ReasonInvalid, "the policy is being deleted, and no longer in effect"
	case winner.Name != policy.Name:
		c.Reason, c.Message = ReasonConflicted, fmt.Sprintf("TrafficPolicy %s/%s, which is for ServiceImport %s too, is in effect, "+
			"as %s: put both into one, or delete one of them", winner.Namespace, winner.Name, target, winner.precedence(policy))
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, ReasonAccepted, fmt.Sprintf("in effect for ServiceImport %s", target)
	}
	return c
}

// unserved says why no policy is in effect for the ServiceImport; empty: one may be.
func unserved(si *mcsv1beta1.ServiceImport) (reason, message string) {
	name := si.Namespace + "/" + si.Name
	switch {
	case si.DeletionTimestamp != nil:
		return ReasonTargetNotFound, fmt.Sprintf("ServiceImport %s is being deleted: the policy takes effect when a cluster "+
			"exports the Service again", name)
	case si.Labels[LabelManagedBy] != ManagedBy:
		return ReasonTargetNotFound, fmt.Sprintf("ServiceImport %s is not tombolo's (it has no label %s=%s), so that its traffic is "+
			"none of tombolo's business: if it stands in the way of an import, delete it", name, LabelManagedBy, ManagedBy)
	case si.Spec.Type != mcsv1beta1.ClusterSetIP:
		return ReasonTargetHeadless, fmt.Sprintf("ServiceImport %s is headless: clients get all endpoints from DNS and choose among "+
			"them, so that a policy has no effect; delete it, or export a Service that has a cluster IP", name)
	}
	return "", ""
}

// isFor tells whether the policy is for the ServiceImport, and is to stay.
func (p *TrafficPolicy) isFor(si *mcsv1beta1.ServiceImport) bool {
	ref := p.Spec.TargetRef
	return p.DeletionTimestamp == nil && p.Namespace == si.Namespace && ref.Name == si.Name &&
		(ref.Group == "" || ref.Group == mcsv1beta1.GroupName) && (ref.Kind == "" || ref.Kind == mcsv1beta1.ServiceImportKindName)
}

// silences tells whether the policy would leave nobody to answer: all clusters that export the Service have weight 0.
// While nobody is known to export it, no policy does.
func (p *TrafficPolicy) silences(si *mcsv1beta1.ServiceImport) bool {
	drained := map[string]bool{}
	for _, w := range p.Spec.Weights {
		drained[string(w.Cluster)] = w.Weight <= 0
	}
	return len(si.Status.Clusters) > 0 && !slices.ContainsFunc(si.Status.Clusters, func(s mcsv1beta1.ClusterStatus) bool {
		return !drained[s.Cluster]
	})
}

// comesBefore tells whether the policy takes precedence over another for the same target (GEP-713 "Conflict resolution").
func (p *TrafficPolicy) comesBefore(other *TrafficPolicy) bool {
	return cmp.Or(p.CreationTimestamp.Compare(other.CreationTimestamp.Time), cmp.Compare(p.Name, other.Name)) < 0
}

// precedence says why the policy comes before the other.
func (p *TrafficPolicy) precedence(other *TrafficPolicy) string {
	if p.CreationTimestamp.Equal(&other.CreationTimestamp) {
		return "the two are equally old and its name comes first"
	}
	return "it is older"
}

// Exporters are the cluster IDs of those that export the Service, in the order of the ServiceImport's status.
func Exporters(si *mcsv1beta1.ServiceImport) []string {
	ids := make([]string, 0, len(si.Status.Clusters))
	for _, s := range si.Status.Clusters {
		ids = append(ids, s.Cluster)
	}
	return ids
}
