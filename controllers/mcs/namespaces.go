package mcs

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Selected tells whether a selector of ClusterSet.spec (exportNamespaces, importNamespaces) selects the namespace. No
// selector selects all namespaces, an empty one, too; a nil namespace, one that is not there, is never selected. The
// error is that the selector makes no sense.
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
