package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// toldEvents keeps the events that were made, as "kind reason object: note".
type toldEvents []string

func (s *toldEvents) Eventf(regarding, _ runtime.Object, kind, reason, _, note string, args ...any) {
	*s = append(*s, fmt.Sprintf("%s %s %s: %s", kind, reason, regarding.(*corev1.Node).UID, fmt.Sprintf(note, args...)))
}

func TestSkippedIsToldOnce(t *testing.T) {
	var events toldEvents
	a := New(Config{NodeName: "worker", Events: &events})
	web := types.NamespacedName{Namespace: "default", Name: "web"}
	one := []plan.Skipped{{What: "endpoint 127.0.0.1 of cluster east", Why: "it is a loopback address"}}
	many := []plan.Skipped{{What: "a", Why: "1"}, {What: "b", Why: "2"}, {What: "c", Why: "3"}, {What: "d", Why: "4"}, {What: "e", Why: "5"}}
	for _, skipped := range [][]plan.Skipped{nil, one, slices.Clone(one), nil, one, many} {
		a.skipped(web, skipped)
	}
	const prefix = "Warning ClustersetIPsSkipped worker: ServiceImport default/web is served but for: "
	want := []string{
		prefix + "endpoint 127.0.0.1 of cluster east: it is a loopback address",
		prefix + "endpoint 127.0.0.1 of cluster east: it is a loopback address",
		prefix + "a: 1, b: 2, c: 3, and 2 more",
	}
	if !slices.Equal(events, want) {
		t.Errorf("told %q, want %q", events, want)
	}
	a.skipped(web, nil)
	if len(a.node.skipped) != 0 {
		t.Errorf("still remembered: %v", a.node.skipped)
	}
}

func TestEvents(t *testing.T) {
	New(Config{NodeName: "worker"}).event("Warning", reasonRepaired, "Repair", "nobody listens") // and nothing happens
	var events toldEvents
	New(Config{NodeName: "worker", Events: &events}).event("Warning", reasonRepaired, "Repair", "100 % "+strings.Repeat("x", 2000))
	if len(events) != 1 || !strings.HasPrefix(events[0], "Warning ClustersetIPsRepaired worker: 100 % xxx") || len(events[0]) > maxNote+100 {
		t.Errorf("events %q", events)
	}
}
