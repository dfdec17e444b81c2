//go:build integration

package operator_test

import (
	"context"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// A second cluster under an ID that is in use writes and deletes nothing, and is told which cluster
// uses the ID. Then the ID moves to it, and the first is the one that is refused.
func TestClusterIDInUse(t *testing.T) {
	s := newScene(t, "east", "north")
	east, north := s.members["east"], s.members["north"]
	east.offer(t, "web", "10.1.0.1")
	east.export(t, "web")
	s.wantAll(t, "web", 1)
	s.settle(t)

	second := s.joinAs(t, "west", "east")
	second.offer(t, "other", "10.1.0.2")
	second.export(t, "other")
	second.start(t)
	message := waitHub(t, second.Cluster, v1alpha1.ReasonClusterIDInUse)
	for _, part := range []string{systemUID(t, east.Cluster), systemUID(t, second.Cluster), s.namespace + "/east.identity"} {
		if !strings.Contains(message, part) {
			t.Errorf("the message lacks %q: %s", part, message)
		}
	}
	w := s.witness(t)
	linger()
	if writes := second.toHub.Writes(); len(writes) > 0 || second.toHub.Leases() > 1 { // one Lease: it tried to claim
		t.Errorf("the second cluster wrote on the hub: %v, %d Leases", writes, second.toHub.Leases())
	}
	w.none(t, "a second cluster came")
	east.offer(t, "more", "10.1.0.3")
	east.export(t, "more")
	s.wantAll(t, "more", 1)
	if err := s.sees(t, "more", 0, second); err != nil {
		t.Errorf("the second cluster imports: %v", err)
	}

	east.stop(t)
	lease := &coordinationv1.Lease{ObjectMeta: members.Meta(s.namespace, clusterset.IdentityLeaseName("east"))}
	if err := s.hub.Delete(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	waitHub(t, second.Cluster, v1alpha1.ReasonConnected)
	waitImported(t, north.Cluster, s.namespace, "other", 1)
	east.start(t)
	waitHub(t, east.Cluster, v1alpha1.ReasonClusterIDInUse)
}

// joinAs makes the cluster a member under the ID of one that is there, with a token of its own.
func (s *scene) joinAs(t *testing.T, name, id string) *member {
	t.Helper()
	m := &member{Cluster: clusters[name], namespace: s.namespace}
	m.toHub = members.NewGate(t, s.hub)
	m.toOwn, m.ownConfig = members.NewOwnGate(t, m.Cluster)
	m.JoinAt(t, id, m.toHub.URL(), m.toHub.Access(s.hub.Token(t, s.namespace, id, &authenticationv1.TokenRequest{})))
	m.MakeNamespace(t, s.namespace, nil)
	t.Cleanup(func() { m.clear(t) })
	return m
}

func systemUID(t *testing.T, c *members.Cluster) string {
	t.Helper()
	system := &corev1.Namespace{}
	if err := c.Get(context.Background(), client.ObjectKey{Name: "kube-system"}, system); err != nil {
		t.Fatal(err)
	}
	return string(system.UID)
}
