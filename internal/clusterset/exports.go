package clusterset

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
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
