// Package retry owns when a reconcile is tried again after an error. It does not try anything itself.
package retry

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// The shortest and the longest pause between two tries: a cache that is behind catches up in a few ms, and an API
// server that comes back must not be waited for long.
const (
	shortest = 5 * time.Millisecond
	longest  = 10 * time.Second
)

// Options are a controller's, with so many reconciles at a time.
func Options(concurrent int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: concurrent,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](shortest, longest),
	}
}

// Behind tells whether err only says that the cache was behind: the object was made, changed or deleted meanwhile.
func Behind(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

// Result is what a reconcile returns for err: that the cache was behind is no error, but a reason to try again.
func Result(err error) (reconcile.Result, error) {
	if Behind(err) {
		return Again(), nil
	}
	return reconcile.Result{}, err
}

// Again is what a reconcile returns that waits for what no single event tells: it is tried again, at once and then with
// growing pauses.
func Again() reconcile.Result {
	return reconcile.Result{Requeue: true} //nolint:staticcheck // RequeueAfter has no growing pauses
}
