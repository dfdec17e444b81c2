package clusterset

import (
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Served tells whether nodes serve the ServiceImport: tombolo made it, it has clusterset IPs, and
// it is not being deleted.
func Served(si *mcsv1beta1.ServiceImport) bool { return unservedFor(si) == "" }

// unservedReason is why nodes do not serve a ServiceImport; empty if they do.
type unservedReason string

const (
	beingDeleted unservedReason = "being deleted"
	notOurs      unservedReason = "not ours"
	headless     unservedReason = "headless"
)

func unservedFor(si *mcsv1beta1.ServiceImport) unservedReason {
	switch {
	case si.DeletionTimestamp != nil:
		return beingDeleted
	case si.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy:
		return notOurs
	case si.Spec.Type != mcsv1beta1.ClusterSetIP:
		return headless
	}
	return ""
}

// Exporters are the cluster IDs of those that export the Service, in the order of the
// ServiceImport's status.
func Exporters(si *mcsv1beta1.ServiceImport) []string {
	ids := make([]string, 0, len(si.Status.Clusters))
	for _, s := range si.Status.Clusters {
		ids = append(ids, s.Cluster)
	}
	return ids
}
