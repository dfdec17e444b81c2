package dns

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/fields"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
)

// CacheObjects say what the operator's cache holds for this package: of each kind, the one object
// that the operator may read.
func CacheObjects() map[client.Object]cache.ByObject {
	named := func(name string) fields.Selector { return fields.OneTermEqualSelector("metadata.name", name) }
	one := map[string]cache.Config{Namespace: {FieldSelector: named(Name)}}
	return map[client.Object]cache.ByObject{
		&corev1.ConfigMap{}:          {Namespaces: one},
		&appsv1.Deployment{}:         {Namespaces: one},
		&rbacv1.ClusterRoleBinding{}: {Field: named(Binding)},
	}
}

// SetUp adds the controller to the manager, whose cache must be that of CacheObjects.
func (r *Reconciler) SetUp(_ context.Context, mgr ctrl.Manager) error {
	toTheOne := handler.EnqueueRequestsFromMapFunc(requests.TheClusterSet)
	return retry.Controller(mgr, "dns", 1).
		For(&v1alpha1.ClusterSet{}).
		Watches(&corev1.ConfigMap{}, toTheOne).
		Watches(&appsv1.Deployment{}, toTheOne, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&rbacv1.ClusterRoleBinding{}, toTheOne).
		Complete(r)
}
