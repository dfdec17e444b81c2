package serviceimport

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// obstacle is why nothing may be imported into a namespace: the reason of the event that says so.
// Empty means that Services may be imported.
type obstacle string

const (
	missing     obstacle = "NamespaceMissing"
	notSelected obstacle = "NamespaceNotSelected"
	// system means that the namespace is a system namespace, and there is no selector that selects it.
	// What is imported there since before this was asked for stays.
	system obstacle = "SystemNamespaceNotSelected"
	// unclear means that what is imported stays, and nothing is added.
	unclear obstacle = "InvalidSelector"
)

// obstacle returns what keeps a Service from being imported into the namespace. imported: it is there
// already.
func (r *Reconciler) obstacle(ctx context.Context, set *v1alpha1.ClusterSet, name string, imported bool) (obstacle, error) {
	namespace, err := optional.GetUndeleted[corev1.Namespace](ctx, r.Client, client.ObjectKey{Name: name})
	if err != nil || namespace == nil {
		return missing, err
	}
	selected, err := clusterset.Selected(set.Spec.ImportNamespaces, namespace)
	switch {
	case err != nil:
		logf.FromContext(ctx).V(1).Info("cannot tell which namespaces may import", "reason", err.Error())
		return unclear, nil
	case !selected:
		return notSelected, nil
	case !imported && r.unselectedSystem(set, name):
		return system, nil
	}
	return "", nil
}

// unselectedSystem tells whether the namespace is a system namespace that no selector selects.
func (r *Reconciler) unselectedSystem(set *v1alpha1.ClusterSet, name string) bool {
	return set.Spec.ImportNamespaces == nil && clusterset.SystemNamespace(name, r.Namespace)
}
