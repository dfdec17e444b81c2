package mcs

import (
	"maps"
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// ServiceImportFor is the ServiceImport namespace/name of a merged import. vips are its clusterset
// IPs, in the order of the import's families. Its families are then those that have an address, so
// that the two lists match. Without addresses, or if it is headless, it has all families of the
// import.
func ServiceImportFor(namespace, name string, merged Import, vips []netip.Addr) *mcsv1beta1.ServiceImport {
	labels := maps.Clone(merged.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[v1alpha1.LabelManagedBy] = v1alpha1.ManagedBy
	wanted := &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   namespace,
			Name:        name,
			Labels:      labels,
			Annotations: maps.Clone(merged.Annotations),
		},
		Spec: *merged.Spec.DeepCopy(),
	}
	if merged.Spec.Type == mcsv1beta1.Headless || len(vips) == 0 {
		return wanted
	}
	wanted.Spec.IPFamilies = nil
	for _, vip := range vips {
		wanted.Spec.IPs = append(wanted.Spec.IPs, vip.String())
		wanted.Spec.IPFamilies = append(wanted.Spec.IPFamilies, clusterset.FamilyOf(vip))
	}
	return wanted
}

// ClusterStatuses is status.clusters for these clusters.
func ClusterStatuses(clusters []v1alpha1.ClusterID) []mcsv1beta1.ClusterStatus {
	statuses := make([]mcsv1beta1.ClusterStatus, 0, len(clusters))
	for _, c := range clusters {
		statuses = append(statuses, mcsv1beta1.ClusterStatus{Cluster: string(c)})
	}
	return statuses
}

// ImportsFrom tells whether the ServiceImport lists the cluster among its exporters. Nothing is
// imported for it from other clusters.
func ImportsFrom(serviceImport *mcsv1beta1.ServiceImport, cluster v1alpha1.ClusterID) bool {
	for _, s := range serviceImport.Status.Clusters {
		if s.Cluster == string(cluster) {
			return true
		}
	}
	return false
}
