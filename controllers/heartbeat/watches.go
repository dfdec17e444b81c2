package heartbeat

import (
	"context"

	coordinationv1 "k8s.io/api/coordination/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
)

// SetUp adds the controller to the manager.
func (r *Reconciler) SetUp(_ context.Context, mgr ctrl.Manager) error {
	toTheOne := handler.EnqueueRequestsFromMapFunc(theOne)
	return retry.Controller(mgr, "heartbeat", 1).
		Watches(&mcsv1beta1.ServiceExport{}, toTheOne).
		Watches(&v1alpha1.GatewayNode{}, toTheOne, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.OnChange(theOne)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.ExportedService{}, r.ifOurs)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.GatewayNode{}, r.ifOurs, predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.Watch(&coordinationv1.Lease{}, r.ifOurs)).
		Complete(r)
}

// theOne maps every event to the one request.
func theOne(context.Context, client.Object) []reconcile.Request {
	return requests.Named("heartbeat")
}

func (r *Reconciler) ifOurs(ctx context.Context, obj client.Object) []reconcile.Request {
	if !r.Hub.Ours(obj) {
		return nil
	}
	return theOne(ctx, obj)
}
