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

// So many changes pass at once, and so many in each second after that. Beyond it an object's changes
// wait, and a cluster's come last. A roll-out changes one slice a few times a second, and a cluster that
// restarts all its pods changes a few hundred slices.
const (
	objectBurst, objectRate   = 50, 5
	clusterBurst, clusterRate = 2000, 20
	// turn is how many changes of a cluster have the same priority. It is a little more than a
	// controller has workers, so that another cluster's change waits for one round of them. After
	// clusterBurst changes the priority is handler.LowPriority.
	turn = -clusterBurst / handler.LowPriority
	// wait is how long a change of an object beyond its rate waits. All of its changes meanwhile
	// become one.
	wait = time.Second
	// sweepAt is how many objects are remembered before those that are quiet again are forgotten.
	sweepAt = 4096
)

// pace limits what the changes of others cost us. An object that changes all the time is looked at
// about as often as objectRate says, because one change may concern thousands of objects. Clusters take turns: the more a cluster has changed of late, the later its next
// change comes, and one that changes more than clusterRate for long comes last. So a cluster with many
// changes does not keep the workers from another's, even if each write takes long. Nothing is lost:
// changes only wait, or come later. It is safe for concurrent use.
type pace struct {
	inner handler.EventHandler

	mu       sync.Mutex
	objects  map[client.ObjectKey]*rate.Limiter      // guarded by mu
	clusters map[v1alpha1.ClusterID]*rate.Limiter    // guarded by mu; as many as there are members
	waiting  map[client.ObjectKey]*event.UpdateEvent // guarded by mu; from the first state to the last one
}

func newPace(inner handler.EventHandler) *pace {
	return &pace{inner: inner, objects: map[client.ObjectKey]*rate.Limiter{}, clusters: map[v1alpha1.ClusterID]*rate.Limiter{},
		waiting: map[client.ObjectKey]*event.UpdateEvent{}}
}

// Create implements handler.EventHandler. What the hub shows at first is not a change.
func (p *pace) Create(ctx context.Context, e event.CreateEvent, q queue) {
	switch {
	case e.IsInInitialList:
		p.inner.Create(ctx, e, q)
	case !p.later(ctx, e.Object, e.Object, q):
		p.inner.Create(ctx, e, p.queue(e.Object, q))
	}
}

// Update implements handler.EventHandler.
func (p *pace) Update(ctx context.Context, e event.UpdateEvent, q queue) {
	if !p.later(ctx, e.ObjectOld, e.ObjectNew, q) {
		p.inner.Update(ctx, e, p.queue(e.ObjectNew, q))
	}
}

// Delete implements handler.EventHandler.
func (p *pace) Delete(ctx context.Context, e event.DeleteEvent, q queue) {
	if !p.later(ctx, e.Object, e.Object, q) {
		p.inner.Delete(ctx, e, p.queue(e.Object, q))
	}
}

// Generic implements handler.EventHandler.
func (p *pace) Generic(ctx context.Context, e event.GenericEvent, q queue) {
	p.inner.Generic(ctx, e, q)
}

// later tells whether the change waits because the object changes too often. It is then handled after
// wait, as one with the object's other changes until then.
func (p *pace) later(ctx context.Context, before, after client.Object, q queue) bool {
	key := client.ObjectKeyFromObject(after)
	p.mu.Lock()
	defer p.mu.Unlock()
	if waiting := p.waiting[key]; waiting != nil {
		waiting.ObjectNew = after
		return true
	}
	allowed := allow(p.objects, key, objectRate, objectBurst)
	if len(p.objects) > sweepAt {
		sweep(p.objects)
	}
	if allowed {
		return false
	}
	p.waiting[key] = &event.UpdateEvent{ObjectOld: before, ObjectNew: after}
	time.AfterFunc(wait, func() {
		p.mu.Lock()
		e := *p.waiting[key]
		delete(p.waiting, key)
		p.mu.Unlock()
		if ctx.Err() == nil {
			p.inner.Update(ctx, e, p.queue(e.ObjectNew, q))
		}
	})
	return true
}

// queue is the queue for the requests of a change of the object.
func (p *pace) queue(obj client.Object, q queue) queue {
	priorities, ok := q.(priorityqueue.PriorityQueue[reconcile.Request])
	if !ok {
		return q
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	cluster := clusterset.SourceCluster(obj.GetLabels())
	allow(p.clusters, cluster, clusterRate, clusterBurst)
	changed := clusterBurst - int(p.clusters[cluster].Tokens())
	return turnQueue{priorities, max(-changed/turn, handler.LowPriority)}
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

// turnQueue adds requests with that priority.
type turnQueue struct {
	priorityqueue.PriorityQueue[reconcile.Request]

	priority int
}

// Add implements workqueue.TypedInterface.
func (q turnQueue) Add(request reconcile.Request) {
	q.AddWithOpts(priorityqueue.AddOpts{}, request)
}

// AddWithOpts implements priorityqueue.PriorityQueue.
func (q turnQueue) AddWithOpts(o priorityqueue.AddOpts, requests ...reconcile.Request) {
	if o.Priority == nil {
		o.Priority = &q.priority
	}
	q.PriorityQueue.AddWithOpts(o, requests...)
}
