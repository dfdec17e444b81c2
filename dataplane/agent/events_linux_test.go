package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// recordedEvents keeps the events that were made, as "kind reason object: note".
type recordedEvents []string

func (s *recordedEvents) Eventf(regarding, _ runtime.Object, kind, reason, _, note string, args ...any) {
	*s = append(*s, fmt.Sprintf("%s %s %s: %s", kind, reason, regarding.(*corev1.Node).UID, fmt.Sprintf(note, args...)))
}

const skippedPrefix = "Warning ClustersetIPsSkipped worker: ServiceImport default/web is served except: "

func TestSkippedIsToldOnce(t *testing.T) {
	var events recordedEvents
	a := New(Config{NodeName: "worker", Events: &events})
	web := types.NamespacedName{Namespace: "default", Name: "web"}
	skip := func(what string) plan.Skipped { return plan.Skipped{What: what, Why: "because", Count: 1} }
	one := []plan.Skipped{skip("an endpoint")}
	many := []plan.Skipped{skip("a"), skip("b"), skip("c"), skip("d"), {What: "7 more", Why: "because", Count: 7}}
	for _, skipped := range [][]plan.Skipped{nil, one, slices.Clone(one), nil, one, many} {
		a.skips.put(web, plan.Output{Skipped: skipped})
		a.reportSkipped(v1alpha1.BackendIPVS, time.Now())
	}
	want := []string{
		skippedPrefix + "an endpoint: because",
		skippedPrefix + "an endpoint: because",
		skippedPrefix + "a: because, b: because, c: because, and 2 more",
	}
	if !slices.Equal(events, want) {
		t.Errorf("told %q, want %q", events, want)
	}
	if n := a.skips.count(v1alpha1.BackendIPVS); n != 11 {
		t.Errorf("%d are counted, want 11", n)
	}
	a.skips.put(web, plan.Output{})
	a.reportSkipped(v1alpha1.BackendIPVS, time.Now())
	if s := a.skips; len(s.planned)+len(s.reported)+len(s.fresh)+s.count(v1alpha1.BackendIPVS) != 0 {
		t.Errorf("still remembered: %+v", s)
	}
}

// relatedEvents keeps what events are related to.
type relatedEvents []string

func (s *relatedEvents) Eventf(_, related runtime.Object, _, _, action, _ string, _ ...any) {
	name := ""
	if si, ok := related.(*mcsv1beta1.ServiceImport); ok {
		name = si.Kind + " " + si.Namespace + "/" + si.Name
	}
	*s = append(*s, action+" "+name)
}

// TestEventsAreApart: the recorder keeps one note of events that are alike in all but that, so each
// ServiceImport and each part has its own.
func TestEventsAreApart(t *testing.T) {
	var events relatedEvents
	a := New(Config{NodeName: "worker", Events: &events})
	for _, name := range []string{"web", "db"} {
		a.skips.put(types.NamespacedName{Namespace: "default", Name: name}, plan.Output{Skipped: []plan.Skipped{{What: "x", Why: "y", Count: 1}}})
	}
	a.reportSkipped(v1alpha1.BackendIPVS, time.Now())
	for _, part := range []string{"services", "filter", "routes", "sysctls"} {
		if repairing[part] == "" {
			t.Errorf("a repair of %s has no action", part)
		}
		a.warn(reasonRepaired, repairing[part], "something")
	}
	want := []string{"Plan ServiceImport default/db", "Plan ServiceImport default/web", "RepairServices ", "RepairFilter ", "RepairRoutes ", "RepairSysctls "}
	if !slices.Equal(events, want) {
		t.Errorf("events %q, want %q", events, want)
	}
}

// TestSkippedIsNotToldTooOften: however many ServiceImports there are, few events come at once, and
// what was held back is counted.
func TestSkippedIsNotToldTooOften(t *testing.T) {
	var events recordedEvents
	a := New(Config{NodeName: "worker", Events: &events})
	now := time.Unix(1_000_000, 0)
	take := func(from, to int) {
		for i := range to - from {
			name := types.NamespacedName{Namespace: "default", Name: fmt.Sprintf("s%04d", from+i)}
			a.skips.put(name, plan.Output{Skipped: []plan.Skipped{{What: "x", Why: "y", Count: 1}}})
		}
		a.reportSkipped(v1alpha1.BackendIPVS, now)
	}
	take(0, 1000)
	if len(events) != eventBurst || a.skips.count(v1alpha1.BackendNFTables) != 1000 {
		t.Fatalf("%d events", len(events))
	}
	now = now.Add(eventPause - time.Second)
	take(1000, 1001)
	now = now.Add(time.Second)
	take(1001, 1003)
	if len(events) != eventBurst+1 || !strings.Contains(events[eventBurst], "default/s1001 is served except: x: y (976 earlier messages suppressed)") {
		t.Errorf("%d events, the last %s", len(events), events[len(events)-1])
	}
	now = now.Add(100 * eventPause)
	take(2000, 2100)
	if len(events) != 2*eventBurst+1 {
		t.Errorf("after a long time %d events", len(events))
	}
}

// TestCrowded: what nftables has no slots for is told where nftables serves, and only there.
func TestCrowded(t *testing.T) {
	var events recordedEvents
	a := New(Config{NodeName: "worker", Events: &events})
	huge := plan.VirtualService{Key: plan.Key{Address: netip.MustParseAddr("244.0.0.7"), Protocol: serviceport.TCP, Port: 80}}
	for i := range nftables.MaxSlots + 3 {
		huge.Destinations = append(huge.Destinations, plan.Destination{Address: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), Port: 80, Weight: 1})
	}
	huge.Destinations[0].Weight = 0 // it needs no slot
	a.skips.put(types.NamespacedName{Namespace: "default", Name: "web"}, plan.Output{Services: []plan.VirtualService{huge}})
	for _, by := range []v1alpha1.DataplaneBackend{v1alpha1.BackendIPVS, v1alpha1.BackendNFTables, v1alpha1.BackendIPVS, v1alpha1.BackendNFTables} {
		a.reportSkipped(by, time.Now())
		count, ports := a.skips.count(by), fmt.Sprint(a.skips.crowdedPorts(by))
		if want := by == v1alpha1.BackendNFTables; want != (count == 2) || want != (ports == "[TCP 244.0.0.7:80]") {
			t.Errorf("%s: %d, %s", by, count, ports)
		}
	}
	huge.Scheduler = v1alpha1.SchedulerConsistentHash
	for by, want := range map[v1alpha1.DataplaneBackend]string{
		v1alpha1.BackendNFTables: "[2 endpoints of TCP 244.0.0.7:80]", v1alpha1.BackendIPVS: "[5 endpoints of TCP 244.0.0.7:80]",
	} {
		var got []string
		for _, c := range backend.CrowdedOf([]plan.VirtualService{huge}, by) {
			got = append(got, c.Skipped.What)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s by hash: %s, want %s", by, got, want)
		}
	}
	told := skippedPrefix + "2 endpoints of TCP 244.0.0.7:80: nftables shares the flows to a port among 4096 endpoints at most: " +
		"let trafficDistribution or a TrafficPolicy choose fewer, or serve with IPVS"
	if !slices.Equal(events, []string{told, told}) {
		t.Errorf("told %q", events)
	}
}

func TestEvents(t *testing.T) {
	New(Config{NodeName: "worker"}).warn(reasonRepaired, "Repair", "nobody listens") // and nothing happens
	var events recordedEvents
	New(Config{NodeName: "worker", Events: &events}).warn(reasonRepaired, "Repair", "100 % "+strings.Repeat("x", 2000))
	if len(events) != 1 || !strings.HasPrefix(events[0], "Warning ClustersetIPsRepaired worker: 100 % xxx") || len(events[0]) > maxNote+100 {
		t.Errorf("events %q", events)
	}
}

// TestRemarks: what a backend remarks is in the condition, and in one event.
func TestRemarks(t *testing.T) {
	var events recordedEvents
	a := New(Config{NodeName: "worker", Events: &events})
	a.reportRemarks(a.services.backend.Remarks()) // nothing serves yet
	for _, remarks := range [][]string{nil, {"no room (IPv6)"}, {"no room (IPv6)"}, nil, {"no room (IPv4 and IPv6)"}} {
		a.reportRemarks(remarks)
		if says := a.summary(remarks); strings.Contains(says, "no room") != (remarks != nil) {
			t.Errorf("remarks %q: the condition says %q", remarks, says)
		}
	}
	const prefix = "Warning ClustersetIPsFull worker: no room "
	if !slices.Equal(events, []string{prefix + "(IPv6)", prefix + "(IPv4 and IPv6)"}) {
		t.Errorf("events %q", events)
	}
}
