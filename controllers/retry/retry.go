// Package retry owns when a reconcile is tried again after an error. It does not try anything itself.
package retry

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// shortest and longest pause between two tries: an API server that comes back must not be waited for long.
	shortest = 5 * time.Millisecond
	longest  = 10 * time.Second
	// raceAfter is when to look again after having acted on a cache that was behind: it catches up in a few ms.
	raceAfter = 10 * time.Millisecond
)

// Options are a controller's, with so many reconciles at a time.
func Options(concurrent int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: concurrent,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](shortest, longest),
	}
}

// Result is what a reconcile returns for err: an error that only says that the cache was behind (the object was made,
// changed or deleted meanwhile) is no error but a reason to look again soon.
func Result(err error) (reconcile.Result, error) {
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		return reconcile.Result{RequeueAfter: raceAfter}, nil
	}
	return reconcile.Result{}, err
}
