package clusterset

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// ExportInput is what decides whether a Service may be exported.
type ExportInput struct {
	// Export is the ServiceExport.
	Export *mcsv1beta1.ServiceExport // required
	// Service of that name; nil: there is none.
	Service *corev1.Service
	// Removed is true if the clusterset's admin has removed this cluster.
	Removed bool
	// Selector is ClusterSet.spec.exportNamespaces; nil: all namespaces may export.
	Selector *metav1.LabelSelector
	// Namespace of the export; nil: it does not exist. It is not read if Selector is nil.
	Namespace *corev1.Namespace
	// Listed are the namespaces that this cluster's Member lists, and Operator is that of the
	// operator (ApprovalOf).
	Listed   []v1alpha1.NamespacePattern
	Operator string
	// Published: the hub has the export. Then it stays if its namespace is Unlisted.
	Published bool
}

// ExportFault is why a Service may not be exported.
type ExportFault string

// The faults. ExportAllowed: there is none.
const (
	ExportAllowed     ExportFault = ""
	ExportDeleted     ExportFault = "Deleted"     // the ServiceExport is being deleted
	ExportInvalid     ExportFault = "Invalid"     // the Service cannot be exported, see ValidateExport
	ExportRemoved     ExportFault = "Removed"     // this cluster is no member any more
	ExportNotSelected ExportFault = "NotSelected" // the ClusterSet does not let the namespace export
	ExportNotApproved ExportFault = "NotApproved" // the Member does not let the cluster export from the namespace
)

// JudgeExport is the one rule for what may be exported. The error is that the ClusterSet's selector
// cannot be parsed: then what has been exported stays.
func JudgeExport(in ExportInput) (ExportFault, error) {
	switch {
	case in.Export.DeletionTimestamp != nil:
		return ExportDeleted, nil
	case !exportable(in.Export, in.Service):
		return ExportInvalid, nil
	case in.Removed:
		return ExportRemoved, nil
	}
	switch ApprovalOf(in.Listed, in.Export.Namespace, in.Operator) {
	case Unapproved:
		return ExportNotApproved, nil
	case Unlisted:
		if !in.Published {
			return ExportNotApproved, nil
		}
	}
	if in.Selector == nil {
		return ExportAllowed, nil
	}
	selected, err := Selected(in.Selector, in.Namespace)
	if err != nil || selected {
		return ExportAllowed, err
	}
	return ExportNotSelected, nil
}

func exportable(export *mcsv1beta1.ServiceExport, service *corev1.Service) bool {
	_, _, valid := ValidateExport(export.Namespace, export.Name, service)
	return valid
}

// ValidateExport tells whether the Service of the ServiceExport namespace/name can be exported: the
// reason and message of the condition Valid, and whether it is true (KEP-1645, "Exporting
// Services"). service is nil if there is none. A Service that is being deleted counts as none.
func ValidateExport(namespace, name string, service *corev1.Service) (mcsv1beta1.ServiceExportConditionReason, string, bool) {
	switch {
	case service == nil || service.DeletionTimestamp != nil:
		return mcsv1beta1.ServiceExportReasonNoService, fmt.Sprintf(
			"there is no Service %s/%s: create it, or delete the ServiceExport", namespace, name), false
	case service.Spec.Type == corev1.ServiceTypeExternalName:
		return mcsv1beta1.ServiceExportReasonInvalidServiceType, fmt.Sprintf(
			"Service %s/%s is of type ExternalName, which has no endpoints to export: "+
				"use ClusterIP, NodePort, LoadBalancer or a headless Service", namespace, name), false
	}
	return mcsv1beta1.ServiceExportReasonValid, "the Service can be exported", true
}
