package skipped

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
)

func skipped(reason, message string, count int) screen.Skipped {
	return screen.Skipped{Reason: reason, Message: message, Count: count}
}

func TestSummary(t *testing.T) {
	l := New()
	if diff := cmp.Diff(Summary{}, l.Of("west")); diff != "" {
		t.Errorf("of nothing (-want +got):\n%s", diff)
	}
	l.Note("west", "EndpointSlice d", skipped("A", "d", 1))
	l.Note("west", "EndpointSlice b", skipped("A", "b", 1), skipped("B", "b again", 2))
	l.Note("west", "EndpointSlice c", skipped("A", "c", 1))
	l.Note("west", "EndpointSlice a", skipped("A", "a", 1))
	l.Note("west", "EndpointSlice fine")
	l.Note("north", "EndpointSlice a", skipped("A", "north", 1))
	if diff := cmp.Diff(Summary{Objects: 4, Examples: []string{"a", "b", "c"}}, l.Of("west")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, object := range []string{"a", "b", "c", "d"} {
		l.Note("west", "EndpointSlice "+object)
	}
	if diff := cmp.Diff(Summary{Settled: true}, l.Of("west")); diff != "" {
		t.Errorf("of what healed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Summary{Objects: 1, Examples: []string{"north"}}, l.Of("north")); diff != "" {
		t.Errorf("of another cluster (-want +got):\n%s", diff)
	}
}

// gather returns the metrics as "name reason" and value; of a gauge the reason is empty.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			reason := ""
			for _, label := range m.GetLabel() {
				if label.GetName() == "reason" {
					reason = label.GetValue()
				}
			}
			got[family.GetName()+" "+reason] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}

func TestMetrics(t *testing.T) {
	l := New()
	registry := prometheus.NewRegistry()
	if err := l.Register(registry); err != nil {
		t.Fatal(err)
	}
	l.Note("west", "a", skipped("A", "", 2))
	l.Note("west", "a", skipped("A", "", 2)) // seen again
	l.Note("west", "a", skipped("A", "", 1), skipped("A", "", 2), skipped("B", "", 5))
	l.Note("west", "a", skipped("A", "", 1)) // some healed
	l.Note("west", "b", skipped("A", "", 1))
	want := map[string]float64{"tombolo_import_skipped_total A": 4, "tombolo_import_skipped_total B": 5, "tombolo_import_skipped_objects ": 2}
	if diff := cmp.Diff(want, gather(t, registry)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	l.Note("west", "b")
	want["tombolo_import_skipped_objects "] = 1
	if diff := cmp.Diff(want, gather(t, registry)); diff != "" {
		t.Errorf("when one has healed (-want +got):\n%s", diff)
	}
	l.Forget("west")
	delete(want, "tombolo_import_skipped_objects ")
	if diff := cmp.Diff(want, gather(t, registry)); diff != "" || l.Of("west").Objects != 0 {
		t.Errorf("of a forgotten cluster (-want +got):\n%s", diff)
	}
	if err := l.Register(registry); err == nil {
		t.Error("registered twice")
	}
}

func TestLogIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		l := New()
		l.Log = funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
		for i := range 1000 {
			l.Note("west", fmt.Sprint("EndpointSlice ", i), skipped("A", "why", 1))
			l.Note("north", "EndpointSlice a", skipped("A", "why", 1)) // over and over
		}
		if len(lines) != 2 {
			t.Errorf("wrote %d lines, want one for each cluster: %q", len(lines), lines)
		}
		time.Sleep(logPause)
		l.Note("west", "ExportedService x", skipped("B", "because", 3))
		want := `"level"=0 "msg"="skipped what a cluster publishes" "cluster"="west" "object"="ExportedService x" "reason"="B" "message"="because" "count"=3 "unsaid"=999`
		if diff := cmp.Diff(want, lines[len(lines)-1]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A thousand changes are one request; a note that changes nothing is none.
func TestOnChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New()
		l.Note("early", "a", skipped("A", "", 1))
		q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
		defer q.ShutDown()
		if err := l.OnChange().Start(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		for i := range 1000 {
			l.Note("west", fmt.Sprint(i), skipped("A", "", 1))
		}
		time.Sleep(2 * gathering)
		synctest.Wait()
		got := map[string]bool{}
		for q.Len() > 0 {
			item, _ := q.Get()
			got[item.Name] = true
			q.Done(item)
		}
		if diff := cmp.Diff(map[string]bool{"early": true, "west": true}, got); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		l.Note("west", "1", skipped("A", "", 1))
		l.Note("north", "fine")
		time.Sleep(2 * gathering)
		synctest.Wait()
		if q.Len() != 0 {
			t.Errorf("%d requests though nothing changed", q.Len())
		}
		if l.Of("north").Settled || l.Settling() == 0 {
			t.Error("settled at once")
		}
		time.Sleep(settling)
		if !l.Of("north").Settled || l.Settling() != 0 {
			t.Error("never settled")
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	l := New()
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for n := range 100 {
				l.Note("west", fmt.Sprint(i, n), skipped("A", "", 1))
				l.Of("west")
				l.Note("west", fmt.Sprint(i, n))
			}
		})
	}
	wait.Wait()
	if got := l.Of("west").Objects; got != 0 {
		t.Errorf("%d objects are left", got)
	}
}
