package clusterset

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// namespacesShown is how many bytes of a Member's namespaces a message shows.
const namespacesShown = 200

// SystemNamespace tells whether the namespace belongs to the cluster itself: default, kube-*, and
// those of tombolo. operator is the operator's own one, empty if it is not known. Services are
// exported from such a namespace, and imported into it, only if an admin names it.
func SystemNamespace(name, operator string) bool {
	return name == metav1.NamespaceDefault || strings.HasPrefix(name, "kube-") || name == v1alpha1.DefaultNamespace || operator != "" && name == operator
}

// Approval is whether a Member lets its cluster export from a namespace.
type Approval int

// The approvals.
const (
	Approved Approval = iota
	// Unlisted: the Member lists no namespaces, and this is a system namespace. What was exported
	// from there before Members could list namespaces stays.
	Unlisted
	// Unapproved: the Member lists other namespaces. Nothing stays.
	Unapproved
)

// ApprovalOf is the one rule for the namespaces from which a member may export: those that
// Member.spec.namespaces lists or, if it lists none, all but system namespaces. operator is the
// namespace of the exporting cluster's operator, empty if it is not known. The hub's admission
// policies say the same (config/hub).
func ApprovalOf(listed []v1alpha1.NamespacePattern, namespace, operator string) Approval {
	if len(listed) == 0 {
		if SystemNamespace(namespace, operator) {
			return Unlisted
		}
		return Approved
	}
	for _, pattern := range listed {
		prefix, open := strings.CutSuffix(string(pattern), "*")
		if namespace == string(pattern) || open && strings.HasPrefix(namespace, prefix) {
			return Approved
		}
	}
	return Unapproved
}

// Explain is a sentence on why the cluster may not export from the namespace, with the remedy; empty
// if it may.
func (a Approval) Explain(cluster v1alpha1.ClusterID, listed []v1alpha1.NamespacePattern, namespace string) string {
	switch a {
	case Unlisted:
		return fmt.Sprintf("namespace %s is a system namespace, and Member.spec.namespaces of %s does not list it: "+
			"have the clusterset's admin list all namespaces that the cluster may export from", namespace, cluster)
	case Unapproved:
		texts := make([]string, 0, len(listed))
		for _, pattern := range listed {
			texts = append(texts, string(pattern))
		}
		return fmt.Sprintf("namespace %s is not among Member.spec.namespaces of %s (%s): have the clusterset's admin add it",
			namespace, cluster, Clip(strings.Join(texts, ", "), namespacesShown))
	}
	return ""
}

// Selected tells whether a selector of ClusterSet.spec (exportNamespaces, importNamespaces) selects
// the namespace. No selector selects all namespaces, and so does an empty one. A namespace that
// does not exist, nil, is never selected. The error is that the selector cannot be parsed.
func Selected(selector *metav1.LabelSelector, namespace *corev1.Namespace) (bool, error) {
	if namespace == nil {
		return false, nil
	}
	if selector == nil {
		return true, nil
	}
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false, fmt.Errorf("reading selector %s of ClusterSet: %w", metav1.FormatLabelSelector(selector), err)
	}
	return parsed.Matches(labels.Set(namespace.Labels)), nil
}
