package hub

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// recorder is a queue that remembers what was added how.
type recorder struct {
	priorityqueue.PriorityQueue[reconcile.Request]
	waited, low, added map[string]int
}

func newRecorder() *recorder {
	return &recorder{waited: map[string]int{}, low: map[string]int{}, added: map[string]int{}}
}

func (r *recorder) AddWithOpts(o priorityqueue.AddOpts, requests ...reconcile.Request) {
	for _, request := range requests {
		r.added[request.Name]++
		if o.After > 0 {
			r.waited[request.Name]++
		}
		if o.Priority != nil && *o.Priority < 0 {
			r.low[request.Name]++
		}
	}
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

func toItself(_ context.Context, obj client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(obj)}}
}

// One object that is changed 100 times a second costs a few reconciles a second, and another one
// does not wait for it.
func TestFlippedObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := newPace(handler.EnqueueRequestsFromMapFunc(toItself)), newRecorder()
		for range 1000 {
			p.Update(t.Context(), changed("west", "flip"), q)
			time.Sleep(10 * time.Millisecond)
		}
		if atOnce := q.added["flip"] - q.waited["flip"]; atOnce > objectBurst+10*objectRate+1 {
			t.Errorf("of 1000 changes in 10 s, %d were reconciled at once", atOnce)
		}
		if q.waited["flip"] == 0 {
			t.Error("no change waited")
		}
		p.Update(t.Context(), changed("west", "b"), q)
		p.Update(t.Context(), changed("east", "a"), q)
		if q.waited["a"]+q.low["a"]+q.waited["b"] != 0 || q.added["a"] != 1 || q.added["b"] != 1 {
			t.Error("others waited")
		}
	})
}

// A cluster that changes thousands of objects comes after the others, and what is remembered of it
// does not grow for ever.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := newPace(handler.EnqueueRequestsFromMapFunc(toItself)), newRecorder()
		for i := range 3 * sweepAt {
			p.Create(t.Context(), event.CreateEvent{Object: exportNamed("west", fmt.Sprint(i))}, q)
			time.Sleep(time.Millisecond)
		}
		last := fmt.Sprint(3*sweepAt - 1)
		if q.low[last] != 1 || q.added[last] != 1 || q.waited[last] != 0 {
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

// What the hub shows at first counts for nobody.
func TestInitialList(t *testing.T) {
	p, q := newPace(handler.EnqueueRequestsFromMapFunc(toItself)), newRecorder()
	for i := range 2 * clusterBurst {
		p.Create(t.Context(), event.CreateEvent{Object: exportNamed("west", fmt.Sprint(i)), IsInInitialList: true}, q)
	}
	p.Update(t.Context(), changed("west", "b"), q)
	if q.low["b"]+q.waited["b"] != 0 || len(p.objects) != 1 {
		t.Errorf("the first change waits, with %d objects", len(p.objects))
	}
}
