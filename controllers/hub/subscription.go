package hub

import (
	"context"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// subscription is a controller's interest in one kind on the hub. It outlives connections.
type subscription struct {
	ctx        context.Context //nolint:containedctx // the controller's, which source.Source hands over once
	queue      queue
	kind       client.Object
	handler    handler.EventHandler
	predicates []predicate.Predicate
}

// listener is a controller's interest in the connection itself.
type listener struct {
	ctx      context.Context //nolint:containedctx // as above
	queue    queue
	requests func(context.Context) []reconcile.Request
}

// Watch returns a source of requests for a controller: those that requests maps each event of the hub's objects of that
// kind to. A new connection delivers all its objects again; what went meanwhile shows in OnChange only.
func (h *Hub) Watch(kind client.Object, requests handler.MapFunc, predicates ...predicate.Predicate) source.Source {
	return source.Func(func(ctx context.Context, q queue) error {
		return h.subscribe(&subscription{ctx, q, kind, handler.EnqueueRequestsFromMapFunc(requests), predicates})
	})
}

// OnChange returns a source of requests for a controller: those that requests returns whenever the connection, or what
// is known about it, has changed. They cover what the controller keeps in its own cluster.
func (h *Hub) OnChange(requests func(context.Context) []reconcile.Request) source.Source {
	return source.Func(func(ctx context.Context, q queue) error {
		h.listen(&listener{ctx, q, requests})
		return nil
	})
}

func (l *listener) notify() {
	for _, request := range l.requests(l.ctx) {
		l.queue.Add(request)
	}
}
