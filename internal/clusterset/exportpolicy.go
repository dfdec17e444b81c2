package clusterset

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// InAudience tells whether an export is for the cluster, which is in that region. An export without
// an audience is for all members. The exporting cluster always imports its own exports; that is for
// the caller to say.
func InAudience(audience *v1alpha1.ExportAudience, cluster v1alpha1.ClusterID, region string) bool {
	return audience == nil || slices.Contains(audience.Clusters, cluster) ||
		region != "" && slices.Contains(audience.Regions, region)
}

// ExportPolicyTarget is the namespace and name of the ServiceExport that the policy is for. It need
// not exist.
func ExportPolicyTarget(p *v1alpha1.ExportPolicy) types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Spec.TargetRef.Name}
}

// ExportPolicyFor returns the ExportPolicy that is in effect for the ServiceExport of that name, nil
// if there is none: then the export is for all members. Of the policies for it the oldest wins, then
// the one whose name sorts first. A policy that is being deleted does not count. The order of policies
// does not matter, and they may hold policies for other exports.
func ExportPolicyFor(export types.NamespacedName, policies []*v1alpha1.ExportPolicy) *v1alpha1.ExportPolicy {
	return firstOf(policies, func(p *v1alpha1.ExportPolicy) bool { return isForExport(p, export) })
}

// AudienceOf is the audience of the ServiceExport of that name: that of the policy in effect. nil means
// all members.
func AudienceOf(export types.NamespacedName, policies []*v1alpha1.ExportPolicy) *v1alpha1.ExportAudience {
	if p := ExportPolicyFor(export, policies); p != nil {
		return p.Spec.ExportAudience.DeepCopy()
	}
	return nil
}

// JudgeExportPolicy returns the condition Accepted of an ExportPolicy whose target is export; nil means
// that the target does not exist. It is True for the one policy that is in effect. policies are those
// for the same target.
func JudgeExportPolicy(policy *v1alpha1.ExportPolicy, export *mcsv1beta1.ServiceExport, policies []*v1alpha1.ExportPolicy) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, ObservedGeneration: policy.Generation}
	target := ExportPolicyTarget(policy)
	if export == nil || export.DeletionTimestamp != nil {
		c.Reason, c.Message = v1alpha1.ReasonTargetNotFound, fmt.Sprintf("there is no ServiceExport %s: the policy takes effect as soon as "+
			"there is one; if there is, check spec.targetRef.name", target)
		return c
	}
	return judged(c, policy, ExportPolicyFor(target, append(slices.Clip(policies), policy)), "ExportPolicy", fmt.Sprintf("ServiceExport %s", target))
}

// isForExport tells whether the policy is for the ServiceExport and is not being deleted.
func isForExport(p *v1alpha1.ExportPolicy, export types.NamespacedName) bool {
	ref := p.Spec.TargetRef
	return p.DeletionTimestamp == nil && ExportPolicyTarget(p) == export &&
		(ref.Group == "" || ref.Group == mcsv1beta1.GroupName) && (ref.Kind == "" || ref.Kind == mcsv1beta1.ServiceExportKindName)
}
