//go:build integration

package operator_test

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// quietFor is how long nothing may be written where nothing changes: longer than a Lease may wait
// for its renewal.
const quietFor = 11 * time.Second

// wantQuiet fails if any member writes anything but Leases for a while, to the hub or at home.
// mayChange are resources whose writes at home are none of its business.
func (s *scene) wantQuiet(t *testing.T, mayChange ...string) {
	t.Helper()
	time.Sleep(quietFor)
	for name, m := range s.members {
		members.Eventually(t, func() error {
			if m.toHub.Leases() == 0 {
				return fmt.Errorf("%s did not renew its Lease: the count proves nothing", name)
			}
			return nil
		})
		if writes := m.toHub.Writes(); len(writes) > 0 {
			t.Errorf("%s wrote to the hub: %v", name, writes)
		}
		if writes := m.toOwn.Writes(mayChange...); len(writes) > 0 {
			t.Errorf("%s wrote at home: %v", name, writes)
		}
		t.Logf("%s: %d writes to the hub, %d at home, and %d and %d of Leases; %d bytes", name, len(m.toHub.Writes()),
			len(m.toOwn.Writes()), m.toHub.Leases(), m.toOwn.Leases(), m.toHub.Bytes())
	}
}

func (s *scene) reset() {
	for _, m := range s.members {
		m.toHub.Reset()
		m.toOwn.Reset()
	}
}

// Where nothing changes nothing is written but Leases: not in peace, and not when the hub is back
// after an outage.
func TestNoWritesWithoutChange(t *testing.T) {
	s := newScene(t, "east", "west", "north")
	for i, name := range []string{"east", "west"} {
		m := s.members[name]
		m.offer(t, "web", []string{"10.1.0.1", "10.2.0.1"}[i])
		m.offer(t, name, []string{"10.1.0.2", "10.2.0.2"}[i])
		m.export(t, "web")
		m.export(t, name)
	}
	s.wantAll(t, "web", 2)
	s.wantAll(t, "east", 1)
	s.wantAll(t, "west", 1)
	for _, m := range s.members {
		m.wantJudged(t)
		m.wantPolicy(t, "web")
	}
	s.settle(t)
	s.reset()
	s.wantQuiet(t)

	for _, m := range s.members {
		m.toHub.Cut()
	}
	for _, m := range s.members {
		waitHub(t, m.Cluster, v1alpha1.ReasonUnreachable)
	}
	s.wantAll(t, "web", 2)
	s.reset()
	for _, m := range s.members {
		m.toHub.Heal()
	}
	for _, m := range s.members {
		waitHub(t, m.Cluster, v1alpha1.ReasonConnected)
	}
	s.wantQuiet(t, "clustersets/status")
	s.wantAll(t, "web", 2)
}

// wantJudged waits until the member has said of all others whether it uses what they publish, which
// it says a while after its start.
func (m *member) wantJudged(t *testing.T) {
	t.Helper()
	members.Eventually(t, func() error {
		list := &v1alpha1.RemoteClusterList{}
		if err := m.List(t.Context(), list); err != nil {
			return err
		}
		for _, remote := range list.Items {
			if meta.FindStatusCondition(remote.Status.Conditions, v1alpha1.ConditionContentAccepted) == nil {
				return fmt.Errorf("%s has not judged %s", m.Name(), remote.Name)
			}
		}
		return nil
	})
}

// wantPolicy makes a TrafficPolicy for the import, and waits until it is in effect.
func (m *member) wantPolicy(t *testing.T, name string) {
	t.Helper()
	policy := &v1alpha1.TrafficPolicy{
		ObjectMeta: members.Meta(m.namespace, name),
		Spec: v1alpha1.TrafficPolicySpec{
			TargetRef: v1alpha1.TrafficPolicyTarget{Name: name},
			Weights:   []v1alpha1.ClusterWeight{{Cluster: "east", Weight: 95}, {Cluster: "west", Weight: 5}},
		},
	}
	m.Make(t, policy)
	members.Eventually(t, func() error {
		if err := m.Get(t.Context(), client.ObjectKeyFromObject(policy), policy); err != nil {
			return err
		}
		accepted := meta.FindStatusCondition(policy.Status.Conditions, v1alpha1.ConditionAccepted)
		if want := "in effect for ServiceImport " + clusterset.PolicyTarget(policy).String(); accepted == nil || accepted.Message != want {
			return fmt.Errorf("the policy of %s is %+v, want %q", m.Name(), accepted, want)
		}
		return nil
	})
}

// settle waits until no member has written anything for a while.
func (s *scene) settle(t *testing.T) {
	t.Helper()
	members.Eventually(t, func() error {
		s.reset()
		time.Sleep(500 * time.Millisecond)
		for _, m := range s.members {
			if writes := append(m.toHub.Writes(), m.toOwn.Writes()...); len(writes) > 0 {
				return fmt.Errorf("%s still writes: %v", m.Name(), writes)
			}
		}
		return nil
	})
}
