package screen

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Reasons to skip something that a cluster publishes.
const (
	SkippedExport        = "InvalidExport"        // an ExportedService
	SkippedNamespace     = "UnapprovedNamespace"  // an ExportedService from a namespace that its cluster may not export from
	SkippedBudget        = "TooManyExports"       // ExportedServices beyond Limits.Exports
	SkippedSlice         = "InvalidSlice"         // an EndpointSlice as a whole
	SkippedPort          = "InvalidPort"          // a port of an EndpointSlice, or a part of one
	SkippedAddress       = "InvalidAddress"       // an endpoint whose address no other cluster can reach, or that cannot be parsed
	SkippedUnapproved    = "UnapprovedAddress"    // an endpoint outside its cluster's approved CIDRs
	SkippedEndpointField = "InvalidEndpointField" // a field of an endpoint that is used without it
	SkippedTooMany       = "TooManyEndpoints"     // endpoints of a Service beyond Limits.EndpointsPerService
	SkippedTaken         = "TakenAddress"         // an endpoint of a hand-written slice whose address is somebody else's
	SkippedExternal      = "ExternalAddress"      // an endpoint of a hand-written slice that is no pod of the Service's namespace
	SkippedVIP           = "NoClusterSetIP"       // a Service whose cluster has taken its share of the clusterset IPs
	SkippedSlices        = "TooManySlices"        // slices and endpoints beyond Limits.Slices and Limits.Endpoints
	SkippedGateway       = "InvalidGateway"       // a GatewayNode, or an endpoint of one
)

const (
	// maxExportedAnnotations is how many bytes of annotations a ServiceImport accepts from an
	// export: half of what the API server accepts, as others annotate it too.
	maxExportedAnnotations = validation.TotalAnnotationSizeLimitB / 2
	// maxAffinitySeconds is one day (core/v1 ClientIPConfig.TimeoutSeconds).
	maxAffinitySeconds = 86400
	// maxPorts of one export, as many as ExportedService admits.
	maxPorts = 256
	// valueShown is how many bytes of a wrong value a message shows, listShown how many of a list
	// or of another's error.
	valueShown = 80
	listShown  = 200
)

// Skipped is something that a cluster publishes and that is not used. Everything else is used all
// the same.
type Skipped struct {
	// Reason is one of the constants above.
	Reason string
	// Message names the object, the value and the remedy.
	Message string
	// Count of the things that are skipped, at least 1.
	Count int
}

// Export tells why an export must not be merged; nil: our API server accepts the ServiceImport that
// it leads to.
//
// Where a newer member knows more than we do, we use what we understand. mcs.Merge leaves out ports
// of unknown protocols and unknown families. An unknown affinity, traffic policy or distribution is
// passed on, where it means the default. An unknown type cannot be passed on, and does not say how
// the Service is reached.
func Export(export *v1alpha1.ExportedService) *Skipped {
	cluster, spec := clusterset.SourceCluster(export.Labels), &export.Spec
	why := func(format string, values ...any) *Skipped {
		return &Skipped{SkippedExport, fmt.Sprintf("ExportedService %s (Service %s/%s): ", export.Name, clusterset.Clip(spec.Namespace, valueShown),
			clusterset.Clip(spec.Name, valueShown)) + fmt.Sprintf(format, values...) + "; correct or delete it, or update the operator of cluster " + string(cluster), 1}
	}
	switch {
	case len(utilvalidation.IsDNS1123Label(spec.Namespace)) > 0:
		return why("spec.namespace %s is not a DNS label", quote(spec.Namespace))
	case len(utilvalidation.IsDNS1123Label(spec.Name)) > 0:
		return why("spec.name %s is not a DNS label", quote(spec.Name))
	case export.Name != clusterset.HubName(cluster, spec.Namespace, spec.Name):
		return why("it is not named %s, as what cluster %s exports under that name is", clusterset.HubName(cluster, spec.Namespace, spec.Name), cluster)
	case spec.ExportedAt.IsZero():
		return why("spec.exportedAt is missing")
	case spec.Type != mcsv1beta1.ClusterSetIP && spec.Type != mcsv1beta1.Headless:
		return why("spec.type %s is neither ClusterSetIP nor Headless", quote(string(spec.Type)))
	case len(spec.Ports) > maxPorts:
		return why("spec.ports has %d items, more than %d", len(spec.Ports), maxPorts)
	}
	for _, p := range spec.Ports {
		if fault := portFault(p.Name, p.Port); fault != "" {
			return why("spec.ports: %s", fault)
		}
	}
	if c := spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		if s := *c.ClientIP.TimeoutSeconds; s < 1 || s > maxAffinitySeconds {
			return why("spec.sessionAffinityConfig.clientIP.timeoutSeconds %d is not from 1 to %d", s, maxAffinitySeconds)
		}
	}
	if fault := metadataFault(spec); fault != "" {
		return why("%s", fault)
	}
	return nil
}

// Namespace tells why a member's export of a Service in that namespace does not count; nil if it
// does. imported: this cluster imports it already, as it may since before Members could list
// namespaces. Unlike a malformed export, one that does not count is not held either: the
// clusterset's admin has said so.
func Namespace(member *v1alpha1.Member, namespace, name string, imported bool) *Skipped {
	approval := clusterset.ApprovalOf(member.Spec.Namespaces, namespace, "")
	if approval == clusterset.Approved || approval == clusterset.Unlisted && imported {
		return nil
	}
	cluster := v1alpha1.ClusterID(member.Name)
	return &Skipped{SkippedNamespace, fmt.Sprintf("ExportedService %s (Service %s/%s): %s", clusterset.HubName(cluster, namespace, name),
		clusterset.Clip(namespace, valueShown), clusterset.Clip(name, valueShown),
		approval.Explain(cluster, member.Spec.Namespaces, clusterset.Clip(namespace, valueShown))), 1}
}

// Kept tells whether a member's export of a Service in that namespace counts only because this cluster
// imports it already (Namespace).
func Kept(member *v1alpha1.Member, namespace string) bool {
	return clusterset.ApprovalOf(member.Spec.Namespaces, namespace, "") == clusterset.Unlisted
}

func metadataFault(spec *v1alpha1.ExportedServiceSpec) string {
	labels, annotations := field.NewPath("spec", "exportedLabels"), field.NewPath("spec", "exportedAnnotations")
	errs := metav1validation.ValidateLabels(spec.ExportedLabels, labels)
	if len(errs) == 0 {
		errs = validation.ValidateAnnotations(spec.ExportedAnnotations, annotations)
	}
	if len(errs) > 0 {
		return clusterset.Clip(errs[0].Error(), listShown)
	}
	size := 0
	for key, value := range spec.ExportedAnnotations {
		size += len(key) + len(value)
	}
	if size > maxExportedAnnotations {
		return fmt.Sprintf("spec.exportedAnnotations has %d bytes, more than %d", size, maxExportedAnnotations)
	}
	return ""
}

// portFault says what is wrong with a port's name, which may be empty, and its number; empty if
// nothing is.
func portFault(name string, number int32) string {
	switch {
	case name != "" && len(utilvalidation.IsDNS1123Label(name)) > 0:
		return fmt.Sprintf("name %s is not a DNS label", quote(name))
	case len(utilvalidation.IsValidPortNum(int(number))) > 0:
		return fmt.Sprintf("port %d is not from 1 to 65535", number)
	}
	return ""
}

func quote(value string) string { return fmt.Sprintf("%q", clusterset.Clip(value, valueShown)) }
