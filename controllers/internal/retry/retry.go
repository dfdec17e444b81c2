// Package retry owns when a reconcile is tried again after an error. It does not try anything
// itself.
package retry

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// The shortest and the longest pause between two tries. A cache that is behind catches up in a few
// ms. When an API server comes back, nobody should wait long for it.
const (
	shortest = 5 * time.Millisecond
	longest  = 10 * time.Second
)

// Controller returns the builder of a controller that runs so many reconciles at a time.
func Controller(mgr ctrl.Manager, name string, concurrent int) *builder.Builder {
	return ctrl.NewControllerManagedBy(mgr).Named(name).WithOptions(controller.Options{
		MaxConcurrentReconciles: concurrent,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](shortest, longest),
	})
}

// Behind tells whether err only says that the cache was behind: somebody has created, changed or
// deleted the object meanwhile.
func Behind(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

// Result is what a reconcile returns for err. That the cache was behind is no error, but a reason
// to try again.
func Result(err error) (reconcile.Result, error) {
	if Behind(err) {
		return Again(), nil
	}
	return reconcile.Result{}, err
}

// Again is what a reconcile returns if no single event says when it can go on. It is tried again at
// once, and then with growing pauses.
func Again() reconcile.Result {
	return reconcile.Result{Requeue: true} //nolint:staticcheck // RequeueAfter has no growing pauses
}
