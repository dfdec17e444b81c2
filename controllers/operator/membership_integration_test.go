//go:build integration

package operator_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// remove sets Member.spec.removed.
func (s *scene) remove(t *testing.T, name string, removed bool) {
	t.Helper()
	member := &v1alpha1.Member{ObjectMeta: members.Meta(s.namespace, name)}
	members.Update(t, s.hub, member, func() { member.Spec.Removed = removed })
}

// A member that is removed takes all that is imported from it along, everywhere, and loses all that
// it imports; nothing else goes, and all comes back with it. One that is merely absent takes
// nothing along.
func TestMemberRemovedAndAbsent(t *testing.T) {
	s := newScene(t, "east", "west", "north")
	east, west, north := s.members["east"], s.members["west"], s.members["north"]
	for i, m := range []*member{east, west, north} {
		m.offer(t, "web", fmt.Sprintf("10.%d.0.1", i+1))
		m.offer(t, m.Name(), fmt.Sprintf("10.%d.0.2", i+1))
		m.export(t, "web")
		m.export(t, m.Name())
	}
	whole := func() {
		s.wantAll(t, "web", 3)
		for _, name := range []string{"east", "west", "north"} {
			s.wantAll(t, name, 1)
		}
	}
	whole()
	s.settle(t)
	before := west.vips(t)

	s.remove(t, "east", true)
	waitHub(t, east.Cluster, v1alpha1.ReasonRemoved)
	members.Eventually(t, func() error { return s.sees(t, "web", 2, west, north) })
	members.Eventually(t, func() error { return s.sees(t, "east", 0, west, north) })
	for _, name := range []string{"web", "east", "west", "north"} {
		members.Eventually(t, func() error { return s.sees(t, name, 0, east) })
	}
	after := west.vips(t)
	delete(before, "east")
	if !maps.Equal(after, before) {
		t.Errorf("west imports %v, had %v", after, before)
	}
	remote := &v1alpha1.RemoteCluster{}
	members.Eventually(t, func() error {
		if err := west.Get(t.Context(), client.ObjectKey{Name: "east"}, remote); client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Errorf("west still has RemoteCluster east: %w", err)
		}
		return nil
	})
	s.remove(t, "east", false)
	waitHub(t, east.Cluster, v1alpha1.ReasonConnected)
	whole()
	s.settle(t)

	w := s.witness(t)
	member := &v1alpha1.Member{ObjectMeta: members.Meta(s.namespace, "east")}
	if err := s.hub.Delete(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	waitHub(t, east.Cluster, v1alpha1.ReasonNotAMember)
	linger()
	w.none(t, "the Member is absent")
	s.hub.Make(t, &v1alpha1.Member{ObjectMeta: members.Meta(s.namespace, "east"), Spec: memberSpec(1)})
	waitHub(t, east.Cluster, v1alpha1.ReasonConnected)
	whole()
	w.none(t, "the Member is back")
}

// A newcomer whose CIDRs or index another has is refused, and takes nothing from those that are
// there.
func TestNewcomerOverlaps(t *testing.T) {
	s, w := busy(t)
	for _, tt := range []struct {
		name string
		spec v1alpha1.MemberSpec
	}{
		{"aaa-overlap", v1alpha1.MemberSpec{Index: 9, CIDRs: []v1alpha1.CIDR{"10.1.128.0/17"}}},
		{"aaa-index", v1alpha1.MemberSpec{Index: 1, CIDRs: []v1alpha1.CIDR{"10.77.0.0/16"}}},
	} {
		s.hub.Make(t, &v1alpha1.Member{ObjectMeta: members.Meta(s.namespace, tt.name), Spec: tt.spec})
		members.Eventually(t, func() error {
			remote := &v1alpha1.RemoteCluster{}
			if err := s.members["west"].Get(t.Context(), client.ObjectKey{Name: tt.name}, remote); err != nil {
				return err
			}
			if !meta.IsStatusConditionFalse(remote.Status.Conditions, v1alpha1.ConditionAccepted) || len(remote.Spec.CIDRs) > 0 {
				return fmt.Errorf("%s is %+v with %v", tt.name, remote.Status.Conditions, remote.Spec.CIDRs)
			}
			return nil
		})
	}
	s.wantBusy(t)
	w.none(t, "with newcomers")
}

// An operator that starts while the hub is down keeps what there is; what changes meanwhile waits,
// here and there, and arrives. A member that is back after a day finds its own Lease old and the
// hub changed, and is in step.
func TestOperatorsDownAndHubDown(t *testing.T) {
	s, w := busy(t)
	east, west := s.members["east"], s.members["west"]
	east.toHub.Cut()
	east.kill(t)
	east.start(t)
	waitHub(t, east.Cluster, v1alpha1.ReasonUnreachable)
	s.wantBusy(t)
	east.offer(t, "queued", "10.1.0.7")
	east.export(t, "queued")
	linger()
	w.none(t, "without hub")
	east.kill(t) // and now nothing for a day

	gone := &mcsv1beta1.ServiceExport{ObjectMeta: members.Meta(s.namespace, "east")}
	if err := east.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	west.offer(t, "meanwhile", "10.2.0.7")
	west.export(t, "meanwhile")
	waitImported(t, west.Cluster, s.namespace, "meanwhile", 1)
	w.none(t, "while east is away")
	day := func() time.Time { return time.Now().Add(24 * time.Hour) }
	east.toHub.Heal()
	east.operator = east.run(t, east.ownConfig, day)
	waitHub(t, east.Cluster, v1alpha1.ReasonConnected)
	s.wantAll(t, "queued", 1)
	s.wantAll(t, "meanwhile", 1)
	s.wantAll(t, "web", 4)
	s.wantAll(t, "east", 0)
	s.wantAll(t, "west", 2)
}

// Members whose clocks differ judge each other no differently.
func TestClocksApart(t *testing.T) {
	s := newScene(t, "east", "west")
	east, west := s.members["east"], s.members["west"]
	for m, shift := range map[*member]time.Duration{east: 10 * time.Minute, west: -10 * time.Minute} {
		m.stop(t)
		m.operator = m.run(t, m.ownConfig, func() time.Time { return time.Now().Add(shift) })
		waitHub(t, m.Cluster, v1alpha1.ReasonConnected)
	}
	for i, m := range []*member{east, west} {
		m.offer(t, "web", fmt.Sprintf("10.%d.0.1", i+1))
		m.export(t, "web")
		m.offer(t, m.Name(), fmt.Sprintf("10.%d.0.2", i+1))
	}
	w := s.witness(t)
	s.wantAll(t, "web", 2)
	for range 3 {
		for _, m := range []*member{east, west} {
			export := m.export(t, m.Name())
			s.wantAll(t, m.Name(), 1)
			w.none(t, "while both export")
			if err := m.Delete(t.Context(), export); err != nil {
				t.Fatal(err)
			}
			members.Eventually(t, func() error { return s.sees(t, m.Name(), 0, east, west) })
			w.forget()
		}
	}
	s.wantAll(t, "web", 2)
}

// What somebody changes or deletes by hand, on the hub or at home, is put right; what is not ours
// is left alone.
func TestDriftIsRepaired(t *testing.T) {
	s, _ := busy(t)
	west := s.members["west"]
	foreign := &mcsv1beta1.ServiceImport{ObjectMeta: members.Meta(s.namespace, "foreign"), Spec: mcsv1beta1.ServiceImportSpec{
		Type: mcsv1beta1.ClusterSetIP, IPs: []string{"244.0.9.9"}, Ports: []mcsv1beta1.ServicePort{{Port: 1}},
	}}
	west.Make(t, foreign)
	for _, tt := range []struct {
		name  string
		spoil func() error
	}{
		{"hub slices emptied", func() error { return s.each(t, s.hub, func(o *discoveryv1.EndpointSlice) { o.Endpoints = nil }) }},
		{"hub slices without labels", func() error {
			return s.each(t, s.hub, func(o *discoveryv1.EndpointSlice) { o.Labels = nil })
		}},
		{"hub objects deleted", func() error {
			s.empty(t, published()...)
			return nil
		}},
		{"imported slices emptied", func() error {
			return s.each(t, west.Cluster, func(o *discoveryv1.EndpointSlice) {
				if o.Labels[v1alpha1.LabelSourceCluster] != "" {
					o.Endpoints = nil
				}
			})
		}},
		{"imports deleted", func() error {
			return west.DeleteAllOf(t.Context(), &mcsv1beta1.ServiceImport{}, client.InNamespace(s.namespace),
				client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})
		}},
	} {
		before := west.ips(t)
		if err := tt.spoil(); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		members.Eventually(t, func() error {
			for service, n := range map[string]int{"web": 4, "east": 2, "west": 2} {
				if err := s.sees(t, service, n, s.members["east"], west); err != nil {
					return fmt.Errorf("%s: %w", tt.name, err)
				}
			}
			return nil
		})
		if after := west.ips(t); !maps.Equal(after, before) {
			t.Errorf("%s: imports are %v, were %v", tt.name, after, before)
		}
	}
	if got := serviceImport(t, west.Cluster, s.namespace, "foreign"); got == nil || got.UID != foreign.UID || got.Spec.Ports[0].Port != 1 {
		t.Errorf("what is somebody else's was touched: %+v", got)
	}
}

// each edits every EndpointSlice of the namespace.
func (s *scene) each(t *testing.T, c *members.Cluster, edit func(*discoveryv1.EndpointSlice)) error {
	t.Helper()
	list := &discoveryv1.EndpointSliceList{}
	if err := c.List(t.Context(), list, client.InNamespace(s.namespace)); err != nil {
		return err
	}
	for i := range list.Items {
		members.Update(t, c, &list.Items[i], func() { edit(&list.Items[i]) })
	}
	return nil
}
