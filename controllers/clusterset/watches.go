package clusterset

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/inuse"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
)

// SetUp adds the controller to the manager.
func (r *Reconciler) SetUp(_ context.Context, mgr ctrl.Manager) error {
	toTheOne := handler.EnqueueRequestsFromMapFunc(requests.TheClusterSet)
	return retry.Controller(mgr, "clusterset", 1).
		For(&v1alpha1.ClusterSet{}).
		Watches(&v1alpha1.RemoteCluster{}, toTheOne, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Node{}, toTheOne, builder.WithPredicates(inuse.NodeChanged())).
		WatchesRawSource(r.Hub.OnChange(requests.TheClusterSet)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.Member{}, requests.TheClusterSet, predicate.GenerationChangedPredicate{})).
		Complete(r)
}
