//go:build integration

package operator_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// busy is a scene in which east and west export, both import, and both have a gateway.
func busy(t *testing.T) (*scene, *witness) {
	t.Helper()
	s := newScene(t, "east", "west")
	for i, name := range []string{"east", "west"} {
		m := s.members[name]
		m.gateway(t, name+"-gw")
		m.offer(t, "web", fmt.Sprintf("10.%d.0.1", i+1), fmt.Sprintf("10.%d.0.2", i+1))
		m.offer(t, name, fmt.Sprintf("10.%d.0.3", i+1))
		m.Make(t, members.Slice(m.namespace, name+"-2", name, fmt.Sprintf("10.%d.0.4", i+1)))
		m.export(t, "web")
		m.export(t, name)
	}
	s.wantBusy(t)
	s.settle(t)
	return s, s.witness(t)
}

func (s *scene) wantBusy(t *testing.T) {
	t.Helper()
	s.wantAll(t, "web", 4)
	s.wantAll(t, "east", 2)
	s.wantAll(t, "west", 2)
	s.members["east"].wantGateways(t, "west", 1)
	s.members["west"].wantGateways(t, "east", 1)
}

func (s *scene) wantHub(t *testing.T, reason string, parts ...string) {
	t.Helper()
	for _, m := range s.members {
		message := waitHub(t, m.Cluster, reason)
		for _, part := range parts {
			if !strings.Contains(message, part) {
				t.Errorf("%s: the message lacks %q: %s", m.Name(), part, message)
			}
		}
	}
}

// linger lets what would go wrong go wrong: longer than a watch takes to deliver and a probe to
// notice.
func linger() { time.Sleep(time.Second) }

// published are the kinds that members write on the hub.
func published() []client.Object {
	return []client.Object{&v1alpha1.ExportedService{}, &discoveryv1.EndpointSlice{}, &v1alpha1.GatewayNode{}, &coordinationv1.Lease{}}
}

// empty deletes all objects of these kinds from the hub's namespace.
func (s *scene) empty(t *testing.T, kinds ...client.Object) {
	t.Helper()
	for _, kind := range kinds {
		if err := s.hub.DeleteAllOf(t.Context(), kind, client.InNamespace(s.namespace)); err != nil {
			t.Fatal(err)
		}
	}
}

// A hub whose storage was lost, and which is set up again as it was: first everything goes, with
// the members' operators there or not, then the admin's part comes back.
func TestHubWiped(t *testing.T) {
	s, w := busy(t)
	before := s.members["west"].vips(t)
	approved := &v1alpha1.MemberList{}
	if err := s.hub.List(t.Context(), approved, client.InNamespace(s.namespace)); err != nil {
		t.Fatal(err)
	}
	s.empty(t, append([]client.Object{&v1alpha1.Member{}}, published()...)...)
	s.wantHub(t, v1alpha1.ReasonNotAMember, "stays")
	linger()
	w.none(t, "without Members")
	s.empty(t, published()...) // what was published between the two
	linger()
	w.none(t, "without anything")
	for _, m := range approved.Items[1:] { // the last first, so that one is there without the other for a while
		m.ResourceVersion, m.UID = "", ""
		s.hub.Make(t, &m)
	}
	linger()
	w.none(t, "with one Member")
	first := approved.Items[0]
	first.ResourceVersion, first.UID = "", ""
	s.hub.Make(t, &first)
	s.wantHub(t, v1alpha1.ReasonConnected)
	s.wantBusy(t)
	s.settle(t)
	w.none(t, "restored")
	if after := s.members["west"].vips(t); !maps.Equal(after, before) {
		t.Errorf("imports are %v, were %v", after, before)
	}
}

// What members published is lost while their operators are down; the first that is back must not
// believe it.
func TestHubWipedWhileOneIsDown(t *testing.T) {
	s, w := busy(t)
	east, west := s.members["east"], s.members["west"]
	east.stop(t)
	s.empty(t, published()...)
	linger()
	w.none(t, "east is down")
	west.stop(t)
	west.start(t)
	waitHub(t, west.Cluster, v1alpha1.ReasonConnected)
	linger()
	w.none(t, "west started again")
	east.start(t)
	s.wantBusy(t)
	s.settle(t)
	w.none(t, "east is back")
}

// A hub that is restored from a backup says what was true at that time, Leases and all.
func TestHubRestoredFromBackup(t *testing.T) {
	s, _ := busy(t)
	backup := s.backup(t)
	east, west := s.members["east"], s.members["west"]
	east.offer(t, "late", "10.1.0.9")
	east.export(t, "late")
	s.wantAll(t, "late", 1)
	s.settle(t)
	before := west.vips(t)
	w := s.witness(t)

	east.kill(t)
	west.kill(t)
	s.restore(t, backup)
	west.start(t)
	waitHub(t, west.Cluster, v1alpha1.ReasonConnected)
	linger()
	w.none(t, "west alone")
	s.restore(t, backup) // once more, before its eyes
	linger()
	w.none(t, "west alone, again")
	east.start(t)
	waitHub(t, east.Cluster, v1alpha1.ReasonConnected)
	s.wantBusy(t)
	s.wantAll(t, "late", 1)
	s.settle(t)
	w.none(t, "restored")
	if after := west.vips(t); !maps.Equal(after, before) {
		t.Errorf("imports are %v, were %v", after, before)
	}
}

// backup returns all that members have on the hub.
func (s *scene) backup(t *testing.T) []client.Object {
	t.Helper()
	var all []client.Object
	services, slices := &v1alpha1.ExportedServiceList{}, &discoveryv1.EndpointSliceList{}
	gateways, leases := &v1alpha1.GatewayNodeList{}, &coordinationv1.LeaseList{}
	for _, list := range []client.ObjectList{services, slices, gateways, leases} {
		if err := s.hub.List(t.Context(), list, client.InNamespace(s.namespace)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range services.Items {
		all = append(all, &services.Items[i])
	}
	for i := range slices.Items {
		all = append(all, &slices.Items[i])
	}
	for i := range gateways.Items {
		all = append(all, &gateways.Items[i])
	}
	for i := range leases.Items {
		all = append(all, &leases.Items[i])
	}
	return all
}

// restore makes the hub hold that, and nothing else of members.
func (s *scene) restore(t *testing.T, backup []client.Object) {
	t.Helper()
	s.empty(t, published()...)
	for _, obj := range backup {
		obj = obj.DeepCopyObject().(client.Object)
		obj.SetResourceVersion("")
		if err := s.hub.Create(t.Context(), obj); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
}

// tombolo's kinds go from the hub, with all that is of them, and come back.
func TestHubLosesKinds(t *testing.T) {
	s, w := busy(t)
	approved := &v1alpha1.MemberList{}
	if err := s.hub.List(t.Context(), approved, client.InNamespace(s.namespace)); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"gatewaynodes", "exportedservices", "members"} {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := s.hub.Get(t.Context(), client.ObjectKey{Name: kind + ".clusterset.tombolo.dev"}, crd); err != nil {
			t.Fatal(err)
		}
		if err := s.hub.Delete(t.Context(), crd); err != nil {
			t.Fatal(err)
		}
		s.wantHub(t, v1alpha1.ReasonCRDsMissing, "kubectl apply -k config/hub")
		linger()
		w.none(t, "without "+kind)
		crd.ResourceVersion, crd.Status = "", apiextensionsv1.CustomResourceDefinitionStatus{}
		members.Eventually(t, func() error { return s.hub.Create(t.Context(), crd) })
		if kind == "members" {
			s.wantHub(t, v1alpha1.ReasonNotAMember)
			for _, m := range approved.Items {
				m.ResourceVersion = ""
				s.hub.Make(t, &m)
			}
		}
		s.wantHub(t, v1alpha1.ReasonConnected)
		s.wantBusy(t)
		s.settle(t)
		w.none(t, kind+" restored")
	}
}

// A hub that refuses us, or that is another's, takes nothing away, and what changed meanwhile
// arrives afterwards.
func TestHubRefuses(t *testing.T) {
	s, w := busy(t)
	everywhere := func(rule members.Rule) func() {
		return func() {
			for _, m := range s.members {
				m.toHub.Rule("refuse", rule)
				m.toHub.EndConnections()
			}
		}
	}
	binding := &rbacv1.RoleBinding{}
	for i, step := range []struct {
		name, reason string
		begin, end   func()
	}{
		{"forbidden", v1alpha1.ReasonUnauthorized, func() {
			for name := range s.members {
				s.unbind(t, name, binding)
			}
		}, func() {
			for name := range s.members {
				s.bind(t, name, binding)
			}
		}},
		{"one kind forbidden", v1alpha1.ReasonUnauthorized, everywhere(members.Refuse(http.StatusForbidden, "endpointslices")), everywhere(nil)},
		{"unauthorized", v1alpha1.ReasonUnauthorized, everywhere(members.Refuse(http.StatusUnauthorized)), everywhere(nil)},
		{"too many requests", v1alpha1.ReasonUnreachable, everywhere(members.Refuse(http.StatusTooManyRequests)), everywhere(nil)},
		{"without label", v1alpha1.ReasonNotAuthoritative, func() { s.label(t, "") }, func() { s.label(t, members.SetID) }},
	} {
		step.begin()
		s.wantHub(t, step.reason)
		name := fmt.Sprintf("more-%d", i)
		s.members["east"].offer(t, name, fmt.Sprintf("10.1.1.%d", i))
		s.members["east"].export(t, name)
		linger()
		w.none(t, step.name)
		step.end()
		s.wantHub(t, v1alpha1.ReasonConnected)
		s.wantBusy(t)
		s.wantAll(t, name, 1)
		w.none(t, "after "+step.name)
	}
}

func (s *scene) unbind(t *testing.T, name string, template *rbacv1.RoleBinding) {
	t.Helper()
	account := clusterset.MemberServiceAccount(v1alpha1.ClusterID(name))
	if err := s.hub.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: account}, template); err != nil {
		t.Fatal(err)
	}
	if err := s.hub.Delete(t.Context(), template); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) bind(t *testing.T, name string, template *rbacv1.RoleBinding) {
	t.Helper()
	account := clusterset.MemberServiceAccount(v1alpha1.ClusterID(name))
	binding := &rbacv1.RoleBinding{ObjectMeta: members.Meta(s.namespace, account), RoleRef: template.RoleRef}
	binding.Subjects = []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: account}}
	s.hub.Make(t, binding)
}

func (s *scene) label(t *testing.T, id string) {
	t.Helper()
	namespace := &corev1.Namespace{}
	if err := s.hub.Get(t.Context(), client.ObjectKey{Name: s.namespace}, namespace); err != nil {
		t.Fatal(err)
	}
	namespace.Labels[v1alpha1.LabelClusterSet] = id
	if id == "" {
		delete(namespace.Labels, v1alpha1.LabelClusterSet)
	}
	if err := s.hub.Update(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
}

// A list that is answered with status 200 and holds nothing, or not all, deletes nothing. Without
// the Members everything stays anyway, so most of these lies show them.
func TestHubShowsLess(t *testing.T) {
	s, w := busy(t)
	west := s.members["west"]
	for _, lie := range []struct {
		name  string
		keep  func([]json.RawMessage) []json.RawMessage
		kinds []string
	}{
		{"nothing at all", members.None, []string{"endpointslices", "exportedservices", "gatewaynodes", "leases", "members"}},
		{"nothing but Members and Leases", members.None, []string{"endpointslices", "exportedservices", "gatewaynodes"}},
		{"the first half", members.Half, []string{"endpointslices", "exportedservices", "gatewaynodes"}},
		{"the second half", members.SecondHalf, []string{"endpointslices", "exportedservices", "gatewaynodes"}},
		{"half of the slices", members.Half, []string{"endpointslices"}},
	} {
		var told atomic.Int32
		west.toHub.Rule("lie", members.Lists(&told, lie.keep, lie.kinds...))
		west.toHub.EndConnections()
		members.Eventually(t, func() error {
			if int(told.Load()) < len(lie.kinds) {
				return fmt.Errorf("%s: %d lists were told", lie.name, told.Load())
			}
			return nil
		})
		linger()
		w.none(t, lie.name)
		west.toHub.Rule("lie", nil)
		s.reconnect(t) // it lists anew
		s.wantBusy(t)
		w.none(t, "after "+lie.name)
	}
}

// reconnect makes all members lose the hub and find it again. The hub refuses at once what they
// ask: a hub that does not answer would be lost only after two probes of 3 s.
func (s *scene) reconnect(t *testing.T) {
	t.Helper()
	for _, m := range s.members {
		m.toHub.Rule("lost", members.Refuse(http.StatusServiceUnavailable))
		m.toHub.EndConnections()
	}
	s.wantHub(t, v1alpha1.ReasonUnreachable)
	for _, m := range s.members {
		m.toHub.Rule("lost", nil)
	}
	s.wantHub(t, v1alpha1.ReasonConnected)
}

// Lists and watches that end in the middle are no lists.
func TestHubEndsMidList(t *testing.T) {
	s, w := busy(t)
	west := s.members["west"]
	for _, after := range []int{1, 900} {
		var ended atomic.Int32
		west.toHub.Rule("end", members.EndMidList(after, &ended, "endpointslices", "exportedservices", "gatewaynodes", "members"))
		west.toHub.EndConnections()
		members.Eventually(t, func() error {
			if ended.Load() < 4 {
				return fmt.Errorf("%d lists were ended", ended.Load())
			}
			return nil
		})
		linger()
		w.none(t, fmt.Sprintf("ended after %d bytes", after))
		west.toHub.Rule("end", nil)
		waitHub(t, west.Cluster, v1alpha1.ReasonConnected)
		s.wantBusy(t)
		w.none(t, fmt.Sprintf("after those that ended after %d bytes", after))
	}
}
