//go:build integration

package operator_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// setPorts gives the member's Service these ports.
func (m *member) setPorts(t *testing.T, name string, ports ...corev1.ServicePort) {
	t.Helper()
	service := &corev1.Service{ObjectMeta: members.Meta(m.namespace, name)}
	members.Update(t, m, service, func() { service.Spec.Ports = ports })
}

// wantPorts waits until these members import these ports, such as http/80.
func (s *scene) wantPorts(t *testing.T, name string, want []string, who ...*member) {
	t.Helper()
	for _, m := range who {
		members.Eventually(t, func() error {
			var have []string
			if imported := serviceImport(t, m.Cluster, s.namespace, name); imported != nil {
				for _, p := range imported.Spec.Ports {
					have = append(have, fmt.Sprintf("%s/%d", p.Name, p.Port))
				}
			}
			if !slices.Equal(have, want) {
				return fmt.Errorf("%s imports ports %v, want %v", m.Name(), have, want)
			}
			return nil
		})
	}
}

// The Member of a dead cluster is deleted, and not marked as removed. Its endpoints stay, and what the
// others say is followed, until the Member is there again, marked.
func TestDeadMemberIsDeleted(t *testing.T) {
	s := newScene(t, "east", "west", "north")
	east, west, north := s.members["east"], s.members["west"], s.members["north"]
	for i, m := range []*member{east, west, north} {
		m.offer(t, "web", fmt.Sprintf("10.%d.0.1", i+1))
	}
	for _, m := range []*member{north, west, east} { // the dead one's is the oldest
		m.export(t, "web")
		s.wantExported(t, m, "web")
	}
	s.wantAll(t, "web", 3)
	s.settle(t)
	before := west.vips(t)

	north.kill(t)
	if err := s.hub.Delete(t.Context(), &v1alpha1.Member{ObjectMeta: members.Meta(s.namespace, "north")}); err != nil {
		t.Fatal(err)
	}
	remote := &v1alpha1.RemoteCluster{}
	members.Eventually(t, func() error {
		if err := west.Get(t.Context(), client.ObjectKey{Name: "north"}, remote); err != nil {
			return err
		}
		if c := meta.FindStatusCondition(remote.Status.Conditions, v1alpha1.ConditionAccepted); c == nil || c.Reason != v1alpha1.ReasonNotAMember {
			return fmt.Errorf("west says of north: %+v", c)
		}
		return nil
	})
	http := func(port int32) corev1.ServicePort { return corev1.ServicePort{Name: "http", Port: port} }
	metrics := corev1.ServicePort{Name: "metrics", Port: 9090}
	for _, m := range []*member{east, west} {
		m.setPorts(t, "web", http(80), metrics)
	}
	s.wantPorts(t, "web", []string{"http/80", "metrics/9090"}, east, west)
	for _, m := range []*member{east, west} {
		m.setPorts(t, "web", http(8080), metrics)
	}
	s.wantPorts(t, "web", []string{"http/8080", "metrics/9090"}, east, west)
	for _, m := range []*member{east, west} {
		if err := s.sees(t, "web", 3, m); err != nil {
			t.Errorf("endpoints of the dead cluster went: %v", err)
		}
		ready := meta.FindStatusCondition(serviceImport(t, m.Cluster, s.namespace, "web").Status.Conditions, "Ready")
		if ready == nil || !strings.Contains(ready.Message, "the hub has no Member north") {
			t.Errorf("%s: Ready does not say what is held: %+v", m.Name(), ready)
		}
	}
	if after := west.vips(t); after["web"] != before["web"] {
		t.Errorf("the clusterset IP was %s, is %s", before["web"], after["web"])
	}

	spec := memberSpec(3)
	spec.Removed = true
	s.hub.Make(t, &v1alpha1.Member{ObjectMeta: members.Meta(s.namespace, "north"), Spec: spec})
	members.Eventually(t, func() error { return s.sees(t, "web", 2, east, west) })
	s.wantPorts(t, "web", []string{"http/8080", "metrics/9090"}, east, west)
}

// wantExported waits until the hub shows the member's export.
func (s *scene) wantExported(t *testing.T, m *member, name string) {
	t.Helper()
	members.Eventually(t, func() error {
		list := &v1alpha1.ExportedServiceList{}
		if err := s.hub.List(t.Context(), list, client.InNamespace(s.namespace), client.MatchingLabels{v1alpha1.LabelSourceCluster: m.Name()}); err != nil {
			return err
		}
		if !slices.ContainsFunc(list.Items, func(e v1alpha1.ExportedService) bool { return e.Spec.Name == name }) {
			return fmt.Errorf("%s has not exported %s yet", m.Name(), name)
		}
		return nil
	})
}
