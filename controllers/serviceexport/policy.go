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

// Judge tells why the Service may not be exported, if so. set is the ClusterSet, nil if there is
// none, and service is nil if there is none. It reads the namespace only if the ClusterSet has a
// selector. The error may be that the selector makes no sense; the fault is then one that does not
// depend on it.
func Judge(ctx context.Context, reader client.Reader, set *v1alpha1.ClusterSet, removed bool,
	export *mcsv1beta1.ServiceExport, service *corev1.Service) (clusterset.ExportFault, error) {
	in := clusterset.ExportInput{Export: export, Service: service, Removed: removed}
	fault, err := clusterset.JudgeExport(in)
	if err != nil || fault != clusterset.ExportAllowed || set == nil || set.Spec.ExportNamespaces == nil {
		return fault, err
	}
	in.Selector = set.Spec.ExportNamespaces
	in.Namespace, err = optional.Get[corev1.Namespace](ctx, reader, client.ObjectKey{Name: export.Namespace})
	if err != nil {
		return fault, err
	}
	return clusterset.JudgeExport(in)
}
