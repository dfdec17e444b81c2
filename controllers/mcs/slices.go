package mcs

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// SliceLabels are the labels of every slice that tombolo writes. The headless one keeps kube-proxy
// from reading it.
func SliceLabels(cluster v1alpha1.ClusterID, service string, more map[string]string) map[string]string {
	labels := map[string]string{
		v1alpha1.LabelServiceName:   service,
		v1alpha1.LabelSourceCluster: string(cluster),
		discoveryv1.LabelManagedBy:  v1alpha1.ManagedBy,
		corev1.IsHeadlessService:    "",
	}
	for key, value := range more {
		labels[key] = value
	}
	return labels
}
