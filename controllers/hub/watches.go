package hub

import (
	"context"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/internal/clusterset"
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
	requests handler.MapFunc
}

// Watch returns a source of requests for a controller. It maps each event of the hub's objects of
// that kind to requests. A new connection delivers all its objects again. What was deleted while
// there was no connection shows in OnChange only.
func (h *Hub) Watch(kind client.Object, requests handler.MapFunc, predicates ...predicate.Predicate) source.Source {
	return source.Func(func(ctx context.Context, q queue) error {
		return h.subscribe(&subscription{ctx, q, kind, newPace(handler.EnqueueRequestsFromMapFunc(requests)), predicates})
	})
}

// OnChange returns a source of requests for a controller: those that requests returns, for no
// object, whenever the connection or its status has changed. They must cover what the controller
// keeps in its own cluster.
func (h *Hub) OnChange(requests handler.MapFunc) source.Source {
	return source.Func(func(ctx context.Context, q queue) error {
		h.listen(&listener{ctx, q, requests})
		return nil
	})
}

func (l *listener) notify() {
	for _, request := range l.requests(l.ctx, nil) {
		l.queue.Add(request)
	}
}

// Requests returns the requests that each object in the hub's cache is mapped to: none while there
// is nothing to learn from the hub. An error is logged (package requests).
func (h *Hub) Requests(ctx context.Context, list client.ObjectList, toRequests handler.MapFunc, options ...client.ListOption) []reconcile.Request {
	view, err := h.View()
	if err != nil {
		return nil
	}
	return requests.Map(ctx, view.Reader, list, toRequests, append(options, client.InNamespace(view.Namespace))...)
}

// Ours tells whether this cluster published the hub's object. It is false while there is nothing to
// learn from the hub.
func (h *Hub) Ours(obj client.Object) bool {
	view, err := h.View()
	return err == nil && clusterset.SourceCluster(obj.GetLabels()) == view.Cluster
}
