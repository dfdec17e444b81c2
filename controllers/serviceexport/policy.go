package serviceexport

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Allowed tells whether the ClusterSet lets the namespace export. It reads the namespace only if
// that matters. The error may be that the ClusterSet's selector makes no sense.
func Allowed(ctx context.Context, reader client.Reader, set *v1alpha1.ClusterSet, name string) (bool, error) {
	if set.Spec.ExportNamespaces == nil {
		return true, nil
	}
	namespace, err := optional.Get[corev1.Namespace](ctx, reader, client.ObjectKey{Name: name})
	if err != nil {
		return false, err
	}
	return clusterset.Selected(set.Spec.ExportNamespaces, namespace)
}
