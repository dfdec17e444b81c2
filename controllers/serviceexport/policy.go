package serviceexport

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Policy is what decides, beside a Service and its ServiceExport, whether this cluster may export it.
type Policy struct {
	Reader  client.Reader        // required, of this cluster
	Set     *v1alpha1.ClusterSet // nil: there is none
	Member  *v1alpha1.Member     // this cluster's; nil: it is not known, and forbids nothing
	Removed bool                 // the clusterset's admin has removed this cluster
	// Operator is the namespace that the operator runs in.
	Operator string // required
}

// Judge tells why the Service may not be exported, if so. service is nil if there is none.
// published: the hub has the export. It reads the namespace only if the ClusterSet has a selector.
// The error may be that the selector makes no sense; the fault is then one that does not depend on
// it.
func (p Policy) Judge(ctx context.Context, export *mcsv1beta1.ServiceExport, service *corev1.Service, published bool) (clusterset.ExportFault, error) {
	in := clusterset.ExportInput{Export: export, Service: service, Removed: p.Removed, Operator: p.Operator, Published: published || p.Member == nil}
	if p.Member != nil {
		in.Listed = p.Member.Spec.Namespaces
	}
	fault, err := clusterset.JudgeExport(in)
	if err != nil || fault != clusterset.ExportAllowed || p.Set == nil || p.Set.Spec.ExportNamespaces == nil {
		return fault, err
	}
	in.Selector = p.Set.Spec.ExportNamespaces
	in.Namespace, err = optional.Get[corev1.Namespace](ctx, p.Reader, client.ObjectKey{Name: export.Namespace})
	if err != nil {
		return fault, err
	}
	return clusterset.JudgeExport(in)
}
