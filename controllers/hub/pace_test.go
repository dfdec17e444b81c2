package hub

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// recorder is a queue that remembers what was added how, and how often an object was mapped.
type recorder struct {
	priorityqueue.PriorityQueue[reconcile.Request]

	mu                 sync.Mutex
	low, added, mapped map[string]int // guarded by mu
	priority           map[string]int // guarded by mu; the last one
}

func newRecorder() *recorder {
	return &recorder{low: map[string]int{}, added: map[string]int{}, mapped: map[string]int{}, priority: map[string]int{}}
}

func (r *recorder) Add(request reconcile.Request) {
	r.AddWithOpts(priorityqueue.AddOpts{}, request)
}

func (r *recorder) AddWithOpts(o priorityqueue.AddOpts, requests ...reconcile.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, request := range requests {
		r.added[request.Name]++
		r.priority[request.Name] = ptr.Deref(o.Priority, 0)
		if o.Priority != nil && *o.Priority < 0 {
			r.low[request.Name]++
		}
	}
}

// toItself maps an object to itself.
func (r *recorder) toItself(_ context.Context, obj client.Object) []reconcile.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mapped[obj.GetName()]++
	return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(obj)}}
}

func newPaced() (*pace, *recorder) {
	q := newRecorder()
	return newPace(handler.EnqueueRequestsFromMapFunc(q.toItself)), q
}

func exportNamed(cluster, name string) *v1alpha1.ExportedService {
	return &v1alpha1.ExportedService{ObjectMeta: metav1.ObjectMeta{Namespace: "hub", Name: name, Labels: map[string]string{v1alpha1.LabelSourceCluster: cluster}}}
}

// changed is an event of an object that has changed.
func changed(cluster, name string) event.UpdateEvent {
	before, after := exportNamed(cluster, name), exportNamed(cluster, name)
	before.ResourceVersion, after.ResourceVersion = "1", "2"
	return event.UpdateEvent{ObjectOld: before, ObjectNew: after}
}

// One object that is changed 100 times a second costs a few reconciles a second, and is not even
// looked at more often. Its last state is looked at. Another one does not wait for it.
func TestFlippedObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := newPaced()
		for range 1000 {
			p.Update(t.Context(), changed("west", "flip"), q)
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		const most = objectBurst + 10*(objectRate+1) + 1
		if q.added["flip"] > most || q.mapped["flip"] > 2*most { // an update maps the old and the new
			t.Errorf("of 1000 changes in 10 s, %d were reconciled, and the object was mapped %d times", q.added["flip"], q.mapped["flip"])
		}
		before := q.added["flip"]
		p.Update(t.Context(), changed("west", "flip"), q)
		time.Sleep(2 * wait)
		synctest.Wait()
		if q.added["flip"] == before || len(p.waiting) != 0 {
			t.Error("the last change is lost")
		}
		p.Update(t.Context(), changed("west", "b"), q)
		p.Update(t.Context(), changed("east", "a"), q)
		if q.low["a"] != 0 || q.added["a"] != 1 || q.added["b"] != 1 {
			t.Error("others waited")
		}
	})
}

// An object that is deleted while its changes wait is looked at once more.
func TestFlippedObjectGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := newPaced()
		for range 2 * objectBurst {
			p.Update(t.Context(), changed("west", "flip"), q)
		}
		before := q.added["flip"]
		p.Delete(t.Context(), event.DeleteEvent{Object: exportNamed("west", "flip")}, q)
		time.Sleep(2 * wait)
		synctest.Wait()
		if q.added["flip"] != before+1 {
			t.Errorf("added %d times more", q.added["flip"]-before)
		}
	})
}

// A cluster that changes thousands of objects comes after the others, and what is remembered of it
// does not grow for ever.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := newPaced()
		for i := range 3 * sweepAt {
			p.Create(t.Context(), event.CreateEvent{Object: exportNamed("west", fmt.Sprint(i))}, q)
			time.Sleep(time.Millisecond)
		}
		last := fmt.Sprint(3*sweepAt - 1)
		if q.low[last] != 1 || q.added[last] != 1 {
			t.Errorf("the last of the flood was added %d times, %d of them low", q.added[last], q.low[last])
		}
		if len(p.objects) > sweepAt+1 {
			t.Errorf("%d objects are remembered", len(p.objects))
		}
		p.Create(t.Context(), event.CreateEvent{Object: exportNamed("east", "honest")}, q)
		if q.low["honest"] != 0 || q.added["honest"] != 1 {
			t.Error("an honest cluster's change comes late")
		}
	})
}

// Clusters take turns: the more a cluster has changed, the later its next change comes. One that has
// changed nothing of late comes first, and so does the former after a while.
func TestClustersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := newPaced()
		create := func(cluster, name string) int {
			p.Create(t.Context(), event.CreateEvent{Object: exportNamed(cluster, name)}, q)
			return q.priority[name]
		}
		for i := range 2 * clusterBurst {
			want := max(-(i+1)/turn, handler.LowPriority)
			if got := create("west", fmt.Sprint(i)); got != want {
				t.Fatalf("change %d has priority %d, want %d", i, got, want)
			}
		}
		if got := create("east", "honest"); got != 0 {
			t.Errorf("another cluster's change has priority %d", got)
		}
		time.Sleep(clusterBurst / clusterRate * time.Second)
		if got := create("west", "later"); got != 0 {
			t.Errorf("a change after a while has priority %d", got)
		}
	})
}

// What the hub shows at first counts for nobody.
func TestInitialList(t *testing.T) {
	p, q := newPaced()
	for i := range 2 * clusterBurst {
		p.Create(t.Context(), event.CreateEvent{Object: exportNamed("west", fmt.Sprint(i)), IsInInitialList: true}, q)
	}
	p.Update(t.Context(), changed("west", "b"), q)
	if q.low["b"] != 0 || q.added["b"] != 1 || len(p.objects) != 1 {
		t.Errorf("the first change waits, with %d objects", len(p.objects))
	}
}
