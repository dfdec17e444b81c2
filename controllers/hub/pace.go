package hub

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// What may change at once, and from then on in a second, before events wait. A roll-out changes one
// slice a few times a second, and a cluster that restarts all its pods a few hundred slices.
const (
	objectBurst, objectRate   = 50, 5
	clusterBurst, clusterRate = 2000, 100
	// wait is how long the requests of an object beyond its rate wait. All of its changes meanwhile
	// become one reconcile.
	wait = time.Second
	// sweepAt is how many objects are remembered before those that are quiet again are forgotten.
	sweepAt = 4096
)

// pace limits what the changes of others cost us. An object that changes all the time is reconciled
// about as often as objectRate says. A cluster that changes more than clusterRate comes after the
// others. Nothing is lost: requests only wait, or come later. It is safe for concurrent use.
type pace struct {
	handler.EventHandler

	mu       sync.Mutex
	objects  map[client.ObjectKey]*rate.Limiter   // guarded by mu
	clusters map[v1alpha1.ClusterID]*rate.Limiter // guarded by mu; as many as there are members
}

func newPace(inner handler.EventHandler) *pace {
	return &pace{EventHandler: inner, objects: map[client.ObjectKey]*rate.Limiter{}, clusters: map[v1alpha1.ClusterID]*rate.Limiter{}}
}

// Create implements handler.EventHandler. What the hub shows at first is not a change.
func (p *pace) Create(ctx context.Context, e event.CreateEvent, q queue) {
	if !e.IsInInitialList {
		q = p.queue(e.Object, q)
	}
	p.EventHandler.Create(ctx, e, q)
}

// Update implements handler.EventHandler.
func (p *pace) Update(ctx context.Context, e event.UpdateEvent, q queue) {
	p.EventHandler.Update(ctx, e, p.queue(e.ObjectNew, q))
}

// Delete implements handler.EventHandler.
func (p *pace) Delete(ctx context.Context, e event.DeleteEvent, q queue) {
	p.EventHandler.Delete(ctx, e, p.queue(e.Object, q))
}

// queue is the queue for the requests of a change of the object.
func (p *pace) queue(obj client.Object, q queue) queue {
	priorities, ok := q.(priorityqueue.PriorityQueue[reconcile.Request])
	if !ok {
		return q
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	opts := priorityqueue.AddOpts{}
	if !allow(p.objects, client.ObjectKeyFromObject(obj), objectRate, objectBurst) {
		opts.After = wait
	}
	if !allow(p.clusters, clusterset.SourceCluster(obj.GetLabels()), clusterRate, clusterBurst) {
		opts.Priority = new(handler.LowPriority)
	}
	if len(p.objects) > sweepAt {
		sweep(p.objects)
	}
	return pacedQueue{priorities, opts}
}

func allow[K comparable](limiters map[K]*rate.Limiter, key K, perSecond rate.Limit, burst int) bool {
	if limiters[key] == nil {
		limiters[key] = rate.NewLimiter(perSecond, burst)
	}
	return limiters[key].Allow()
}

// sweep forgets what has been quiet for so long that forgetting it changes nothing.
func sweep[K comparable](limiters map[K]*rate.Limiter) {
	for key, limiter := range limiters {
		if limiter.Tokens() >= float64(limiter.Burst()) {
			delete(limiters, key)
		}
	}
}

// pacedQueue adds requests as opts say.
type pacedQueue struct {
	priorityqueue.PriorityQueue[reconcile.Request]
	opts priorityqueue.AddOpts
}

// Add implements workqueue.TypedInterface.
func (q pacedQueue) Add(request reconcile.Request) { q.PriorityQueue.AddWithOpts(q.opts, request) }

// AddWithOpts implements priorityqueue.PriorityQueue, for requests that come later than others
// anyway.
func (q pacedQueue) AddWithOpts(o priorityqueue.AddOpts, requests ...reconcile.Request) {
	o.After = max(o.After, q.opts.After)
	if o.Priority == nil {
		o.Priority = q.opts.Priority
	}
	q.PriorityQueue.AddWithOpts(o, requests...)
}
