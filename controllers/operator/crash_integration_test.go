//go:build integration

package operator_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// maxCrashPoints is more than the scenario has writes: it ends when it gets through.
const maxCrashPoints = 60

// An operator that is killed at any of its writes, at home or to the hub, leaves nothing that its
// successor does not bring to the same end: for every n the operator's n-th write, and all that
// comes after, is lost.
func TestCrashAtAnyWrite(t *testing.T) {
	s := newScene(t, "east", "west")
	east, west := s.members["east"], s.members["west"]
	foreign := members.Slice(s.namespace, "foreign-1", "foreign", "10.1.0.99")
	east.Make(t, foreign)
	west.offer(t, "web", "10.2.0.1")
	west.offer(t, "stays", "10.2.0.2")
	west.export(t, "stays")
	east.offer(t, "web", "10.1.0.1")
	s.wantAll(t, "stays", 1)
	s.settle(t)
	vips := map[string]string{}
	for n := 1; ; n++ {
		if n > maxCrashPoints {
			t.Fatalf("the scenario has more than %d writes", maxCrashPoints)
		}
		east.stop(t)
		crash := members.CrashAt(n)
		east.toHub.Under(crash)
		east.toOwn.Under(crash)
		east.forgetLeader(t)
		east.operator = east.run(t, east.ownConfig, nil)
		crashed := s.scenario(t, crash, vips)
		if t.Failed() {
			t.Fatalf("after a crash at write %d", n)
		}
		if !crashed {
			t.Logf("%d crash points", n-1)
			east.toHub.Under(nil)
			east.toOwn.Under(nil)
			break
		}
	}
	if err := east.Get(t.Context(), client.ObjectKeyFromObject(foreign), foreign); err != nil || len(foreign.Endpoints) != 1 {
		t.Errorf("what is somebody else's was touched: %v", err)
	}
}

// scenario exports, imports and withdraws, and has the operator followed by another once it has
// crashed. It tells whether it has. vips are the clusterset IPs that Services had before: they are
// derived from the name.
func (s *scene) scenario(t *testing.T, crash *members.Crash, vips map[string]string) bool {
	t.Helper()
	east, west := s.members["east"], s.members["west"]
	crashed := false
	succeed := func() {
		select {
		case <-crash.Come():
			if !crashed {
				crashed = true
				east.kill(t)
				east.start(t)
			}
		default:
		}
	}
	var asked time.Time
	eventually := func(check func() error) {
		members.Eventually(t, func() error {
			succeed()
			if crashed && time.Since(asked) > time.Second {
				east.renewHeartbeat(t)
				west.renewHeartbeat(t)
				asked = time.Now()
			}
			return check()
		})
	}
	ours, theirs := members.Export(s.namespace, "web"), members.Export(s.namespace, "web")
	if err := east.Create(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	eventually(func() error { return s.sees(t, "web", 1, east, west) })
	if err := west.Create(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	eventually(func() error { return s.sees(t, "web", 2, east, west) })
	eventually(func() error { return exported(t, east, "web") })
	for _, m := range s.members {
		for name, ip := range m.ips(t) {
			if before := vips[name]; before != "" && before != ip {
				t.Errorf("%s: the clusterset IP of %s is %s, was %s", m.Name(), name, ip, before)
			}
			vips[name] = ip
		}
	}
	for m, export := range map[*member]*mcsv1beta1.ServiceExport{east: ours, west: theirs} {
		if err := m.Delete(t.Context(), export); err != nil {
			t.Fatal(err)
		}
	}
	eventually(func() error { return s.sees(t, "web", 0, east, west) })
	eventually(func() error { return s.noneOf(t, "web") })
	succeed()
	return crashed
}

// renewHeartbeat makes the member renew its Lease on the hub at once, as a Lease that somebody has
// edited. An operator that has just started believes a Lease only once it was renewed, which would
// otherwise take up to 10 s.
func (m *member) renewHeartbeat(t *testing.T) {
	t.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: members.Meta(m.namespace, clusterset.LeaseName(v1alpha1.ClusterID(m.Name())))}
	edit := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"renewTime":null}}`))
	if err := clusters[members.HubName].Patch(t.Context(), lease, edit); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
}

// sees is an error unless these members import that many ready endpoints of the Service, and have
// an import of it if there are any.
func (s *scene) sees(t *testing.T, name string, want int, members ...*member) error {
	t.Helper()
	for _, m := range members {
		ready, err := imported(t.Context(), m.Cluster, s.namespace, name)
		if err != nil {
			return err
		}
		if has := serviceImport(t, m.Cluster, s.namespace, name) != nil; len(ready) != want || has != (want > 0) {
			return fmt.Errorf("%s imports %v for %s, import %t; want %d", m.Name(), ready, name, has, want)
		}
	}
	return nil
}

// exported is an error unless the member's export of the Service says that it is.
func exported(t *testing.T, m *member, name string) error {
	t.Helper()
	export := &mcsv1beta1.ServiceExport{}
	if err := m.Get(t.Context(), client.ObjectKey{Namespace: m.namespace, Name: name}, export); err != nil {
		return err
	}
	if !meta.IsStatusConditionTrue(export.Status.Conditions, "Ready") {
		return fmt.Errorf("%s: conditions of %s are %+v", m.Name(), name, export.Status.Conditions)
	}
	return nil
}

// noneOf is an error while anything of the Service is left on the hub or imported anywhere.
func (s *scene) noneOf(t *testing.T, name string) error {
	t.Helper()
	services, slices := &v1alpha1.ExportedServiceList{}, &discoveryv1.EndpointSliceList{}
	if err := s.hub.List(t.Context(), services, client.InNamespace(s.namespace)); err != nil {
		return err
	}
	for _, e := range services.Items {
		if e.Spec.Name == name {
			return fmt.Errorf("%s is left on the hub", e.Name)
		}
	}
	if err := s.hub.List(t.Context(), slices, client.InNamespace(s.namespace), client.MatchingLabels{v1alpha1.LabelServiceName: name}); err != nil {
		return err
	}
	for _, m := range s.members {
		left := &discoveryv1.EndpointSliceList{}
		if err := m.List(t.Context(), left, client.InNamespace(s.namespace), client.MatchingLabels{v1alpha1.LabelServiceName: name}); err != nil {
			return err
		}
		slices.Items = append(slices.Items, left.Items...)
	}
	if len(slices.Items) > 0 {
		return fmt.Errorf("%d slices of %s are left, such as %s", len(slices.Items), name, slices.Items[0].Name)
	}
	return nil
}

// ips are the clusterset IPs that the member has, by name.
func (m *member) ips(t *testing.T) map[string]string {
	t.Helper()
	list := &mcsv1beta1.ServiceImportList{}
	if err := m.List(t.Context(), list, client.InNamespace(m.namespace)); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, i := range list.Items {
		found[i.Name] = fmt.Sprint(i.Spec.IPs)
	}
	return found
}

// Two operators that both lead, as after a pause of one of them, write what one would, and then no
// more.
func TestTwoOperators(t *testing.T) {
	s := newScene(t, "east", "west")
	east := s.members["east"]
	gate, config := members.NewOwnGate(t, east.Cluster)
	gate.Rule("leader", members.Renamed("leases", "tombolo-operator", "tombolo-operato2"))
	second := east.run(t, config, nil)
	t.Cleanup(func() {
		second.cancel()
		if err := <-second.done; err != nil {
			t.Errorf("the second operator: %v", err)
		}
	})
	members.Eventually(t, func() error {
		lease := &coordinationv1.Lease{}
		if err := east.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultNamespace, Name: "tombolo-operato2"}, lease); err != nil {
			return err
		}
		if gate.Leases() < 2 {
			return errors.New("the second operator does not lead yet")
		}
		return nil
	})
	time.Sleep(2 * time.Second) // its controllers start after that
	const services = 10
	for i := range services {
		for m, address := range map[*member]string{east: "10.1.0.%d", s.members["west"]: "10.2.0.%d"} {
			name := fmt.Sprintf("web-%d", i)
			m.offer(t, name, fmt.Sprintf(address, i))
			m.export(t, name)
		}
	}
	for i := range services {
		s.wantAll(t, fmt.Sprintf("web-%d", i), 2)
	}
	s.settle(t)
	writes := len(gate.Writes())
	t.Logf("the second operator asked for %d writes at home", writes)
	if writes == 0 || writes > 50*services {
		t.Errorf("the second operator asked for %d writes at home for %d imports", writes, services)
	}
	used := map[string]string{}
	for name, ip := range east.ips(t) {
		if other := used[ip]; other != "" {
			t.Errorf("%s and %s share %s", name, other, ip)
		}
		used[ip] = name
	}
	if len(used) != services {
		t.Errorf("%d clusterset IPs for %d Services", len(used), services)
	}
}
