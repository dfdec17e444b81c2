//go:build integration

package operator_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var (
	fullSize = flag.Bool("full", false, "flood with 1,280,000 destinations and as many exports as -exports says")
	exports  = flag.Int("exports", 70_000, "exports of the flood at full size")
	program  = flag.String("program", "", "the program that TestFloodAtFullSize runs; empty: it is built")
	timed    = flag.Bool("timed", false, "fail if the p99 of changes under the flood is more than twice the quiet one: for a machine that does nothing else")
)

// size is how much a hostile member publishes. What is small is what two cores carry beside the API
// servers of three clusters.
type size struct {
	exports   int
	ports     int // of one Service
	endpoints int // of the same Service
	limits    v1alpha1.MemberLimits
	quiet     int // changes of an honest member before the flood
	heal      time.Duration
}

// While one member floods the hub, what the others change still arrives. When the flood ends, all
// heals.
func TestFlood(t *testing.T) {
	s := newScene(t, "east", "north")
	s.flood(t, size{exports: 400, ports: 256, endpoints: 500, limits: v1alpha1.MemberLimits{Exports: 100, EndpointsPerService: 400}, quiet: 20, heal: 2 * time.Minute})
}

// The same with as much as fills an etcd, against the operator as it is installed: in a process of its
// own that stays below its memory limit.
func TestFloodAtFullSize(t *testing.T) {
	if !*fullSize {
		t.Skip("takes a quarter of an hour: -args -full")
	}
	s := newScene(t, "east", "north")
	north := s.members["north"]
	north.stop(t)
	process := north.startProcess(t)
	s.flood(t, size{exports: *exports, ports: 256, endpoints: 5000, quiet: 200, heal: 15 * time.Minute})
	process.wantBelowLimit(t)
}

func (s *scene) flood(t *testing.T, z size) {
	t.Helper()
	east := s.members["east"]
	east.offer(t, "web", "10.1.0.1")
	east.export(t, "web")
	s.wantAll(t, "web", 1)
	w := s.witness(t)
	changes := s.changes(t)
	for range z.quiet {
		changes.next(t)
	}
	quiet := changes.summary()

	h := s.hostile(t, "west", v1alpha1.MemberSpec{Index: 3, CIDRs: []v1alpha1.CIDR{"10.3.0.0/16"}, Limits: z.limits})
	s.wantRemote(t, "west", func(rc *v1alpha1.RemoteCluster) error {
		if len(rc.Spec.CIDRs) != 1 {
			return fmt.Errorf("west is not in use yet: %+v", rc.Spec)
		}
		return nil
	})
	for _, m := range s.members {
		m.lines.forget()
	}
	ctx, end := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	flood.Go(func() { h.flip(ctx, t) })
	flood.Go(func() { h.flap(ctx, t) })
	flooded, late := make(chan struct{}), lateness()
	flood.Go(func() {
		defer close(flooded)
		h.publishLarge(ctx, t, z)
		h.publishMany(ctx, t, z.exports)
	})
	for done := false; !done || changes.count() < 10; {
		changes.next(t)
		select {
		case <-flooded:
			done = true
		default:
		}
	}
	t.Logf("quiet:           %s", quiet)
	flooding := changes.summary()
	t.Logf("under the flood: %s", flooding)
	t.Logf("a goroutine that only sleeps is late by %s", late())
	if flooding.operators.p50 > flooding.all.p50/2 {
		t.Errorf("under the flood the operators take most of the time: %v of %v", flooding.operators.p50, flooding.all.p50)
	}
	if *timed && flooding.all.p99 > 2*quiet.all.p99 {
		t.Errorf("p99 is %v under the flood and %v without", flooding.all.p99, quiet.all.p99)
	}
	s.wantToldOfFlood(t, z)
	end()
	flood.Wait()
	s.wantWithinLimits(t, z)
	w.forgetOf("/flood-") // one that was just imported may turn out to be beyond the limit
	w.forgetOf("/west.")  // so may its endpoints
	w.none(t, "under the flood")
	s.healed(t, z.heal)
	for range 5 {
		changes.next(t)
	}
	for name, m := range s.members {
		m.lines.wantShort(t, name, int(h.made.Load()))
	}
}

// wantToldOfFlood waits until every honest member imports as much as the hostile one may have, and
// says what it leaves out.
func (s *scene) wantToldOfFlood(t *testing.T, z size) {
	t.Helper()
	limits := screen.LimitsOf(&v1alpha1.Member{Spec: v1alpha1.MemberSpec{Limits: z.limits}})
	for _, m := range s.members {
		deadline := time.Now().Add(z.heal)
		for left := s.imports(t, m); left < limits.Exports; left = s.imports(t, m) {
			if time.Now().After(deadline) {
				t.Fatalf("%s has %d imports, want the %d that a cluster may have", m.Name(), left, limits.Exports)
			}
			time.Sleep(time.Second)
		}
	}
	s.wantRemote(t, "west", func(rc *v1alpha1.RemoteCluster) error {
		told := meta.FindStatusCondition(rc.Status.Conditions, v1alpha1.ConditionContentAccepted)
		if told == nil || !strings.Contains(told.Message, "patch member west") {
			return fmt.Errorf("ContentAccepted is %+v", told)
		}
		return nil
	})
}

// wantWithinLimits fails the test if a member imports more than it may from the hostile one.
func (s *scene) wantWithinLimits(t *testing.T, z size) {
	t.Helper()
	limits := screen.LimitsOf(&v1alpha1.Member{Spec: v1alpha1.MemberSpec{Limits: z.limits}})
	for _, m := range s.members {
		if have, most := s.imports(t, m), limits.Exports+1+honestServices; have > most {
			t.Errorf("%s has %d imports, want %d at most", m.Name(), have, most)
		}
	}
}

// healed removes the hostile member, and waits until the others have only what is theirs.
func (s *scene) healed(t *testing.T, patience time.Duration) {
	t.Helper()
	s.remove(t, "west", true)
	start := time.Now()
	s.removeFlood(t)
	s.wantAll(t, "web", 1)
	for _, m := range s.members {
		deadline := time.Now().Add(patience)
		for left := s.imports(t, m); left != 1+honestServices; left = s.imports(t, m) {
			if time.Now().After(deadline) {
				t.Fatalf("%s has %d imports after the flood, want %d", m.Name(), left, 1+honestServices)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	t.Logf("all is as before %v after the member was removed", time.Since(start).Round(time.Second))
}

// imports is how many Services the member imports into the scene's namespace.
func (s *scene) imports(t *testing.T, m *member) int {
	t.Helper()
	list := &mcsv1beta1.ServiceImportList{}
	if err := m.List(t.Context(), list, client.InNamespace(s.namespace)); err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}

// The hub with its quota takes no more than that from a hostile member, and goes on serving the
// others.
func TestFloodAgainstQuota(t *testing.T) {
	s := newScene(t, "east", "north")
	east := s.members["east"]
	east.offer(t, "web", "10.1.0.1")
	east.export(t, "web")
	s.wantAll(t, "web", 1)
	changes := s.changes(t)
	changes.next(t)
	const exports = "count/exportedservices.clusterset.tombolo.dev"
	quota := &corev1.ResourceQuota{Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{exports: resource.MustParse("50")}}}
	quota.Namespace, quota.Name = s.namespace, "tombolo-members"
	s.hub.Make(t, quota)
	members.UpdateStatus(t, s.hub, quota, func() { // as the hub's kube-controller-manager does
		quota.Status = corev1.ResourceQuotaStatus{Hard: quota.Spec.Hard, Used: corev1.ResourceList{exports: *resource.NewQuantity(1+honestServices, resource.DecimalSI)}}
	})
	h := s.hostile(t, "west", v1alpha1.MemberSpec{Index: 3, CIDRs: []v1alpha1.CIDR{"10.3.0.0/16"}})
	taken := 0
	for i := range 100 {
		err := h.Create(t.Context(), h.exportOf(s.namespace, fmt.Sprint("flood-", i)))
		switch {
		case err == nil:
			taken++
		case !strings.Contains(err.Error(), "exceeded quota"):
			t.Fatal(err)
		}
	}
	if taken == 0 || taken > 50 {
		t.Errorf("the hub took %d of 100 exports, want fewer than the quota of 50", taken)
	}
	changes.next(t) // what exists goes on changing
}
