package transitaddress

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
)

// SetUp adds the controller to the manager. One reconcile at a time, because addresses are assigned
// one by one.
func (r *Reconciler) SetUp(_ context.Context, mgr ctrl.Manager) error {
	return retry.Controller(mgr, "nodeaddress", 1).
		For(&v1alpha1.ClusterSet{}).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(requests.TheClusterSet), builder.WithPredicates(annotationChanged())).
		Complete(r)
}

// annotationChanged passes nodes that are created, deleted, or have another annotation.
func annotationChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		const key = v1alpha1.AnnotationTransitAddress
		return e.ObjectOld.GetAnnotations()[key] != e.ObjectNew.GetAnnotations()[key]
	}}
}
