//go:build integration

package agent

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func drainingIs(reason string) func(*v1alpha1.GatewayNode) error {
	return func(g *v1alpha1.GatewayNode) error {
		c := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionDraining)
		if c == nil || c.Reason != reason || (c.Status == metav1.ConditionFalse) != (reason == v1alpha1.ReasonNotDraining) {
			return fmt.Errorf("condition Draining is %+v, want %s", c, reason)
		}
		if meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionReady) == nil {
			return fmt.Errorf("it has no condition Ready")
		}
		return nil
	}
}

// testDrain: the condition follows the Node.
func (s apiServer) testDrain(t *testing.T) {
	patch := func(text string) {
		t.Helper()
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "east-0"}}
		if err := s.admin.Patch(t.Context(), node, client.RawPatch(types.MergePatchType, []byte(text))); err != nil {
			t.Fatal(err)
		}
	}
	s.gateway(t, "east-0", drainingIs("NotDraining"))
	patch(`{"spec":{"unschedulable":true}}`)
	s.gateway(t, "east-0", drainingIs("NodeUnschedulable"))
	patch(`{"metadata":{"annotations":{"clusterset.tombolo.dev/gateway-drain":"true"}},"spec":{"unschedulable":null}}`)
	s.gateway(t, "east-0", drainingIs("DrainRequested"))
	patch(`{"metadata":{"annotations":{"clusterset.tombolo.dev/gateway-drain":null}}}`)
	s.gateway(t, "east-0", drainingIs("NotDraining"))
	s.gateway(t, "east-2", drainingIs("NotDraining"))
	s.testUnlabelled(t, patch)
}

// testUnlabelled: a GatewayNode that the operator deleted because the label is gone is not made
// again before the label is back.
func (s apiServer) testUnlabelled(t *testing.T, patch func(string)) {
	t.Helper()
	patch(`{"metadata":{"labels":{"clusterset.tombolo.dev/gateway":null}}}`)
	g := s.gateway(t, "east-0", drainingIs("LabelRemoved"))
	if err := s.admin.Delete(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	patch(`{"metadata":{"annotations":{"a":"b"}}}`) // an event, for a pass
	s.lease(t, "east-2", s.lease(t, "east-2", metav1.Now().Time).Spec.RenewTime.Time)
	if err := s.admin.Get(t.Context(), client.ObjectKeyFromObject(g), g); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the GatewayNode was made again: %+v, %v", g, err)
	}
	patch(`{"metadata":{"labels":{"clusterset.tombolo.dev/gateway":"true"}}}`)
	s.gateway(t, "east-0", readyIs(metav1.ConditionFalse, v1alpha1.ReasonPending))
	s.giveLane(t, "east-0", 0)
	s.gateway(t, "east-0", readyIs(metav1.ConditionTrue, v1alpha1.ReasonReady))
	s.gateway(t, "east-0", drainingIs("NotDraining"))
}

// waitDraining waits until the agent's cache shows what it wrote when it ended.
func (g gatewayOn) waitDraining(t *testing.T) {
	t.Helper()
	node := &v1alpha1.GatewayNode{}
	if err := eventually(t.Context(), func() error {
		key := client.ObjectKey{Namespace: namespace, Name: g.agent.cfg.NodeName}
		if err := g.agent.cfg.Client.Get(t.Context(), key, node); err != nil {
			return err
		}
		return drainingIs("AgentStopping")(node)
	}); err != nil {
		t.Fatal(err)
	}
}

// testStartAgain: the next agent clears what the one before it said when it ended.
func (s apiServer) testStartAgain(t *testing.T) {
	before := s.gateway(t, "east-2", drainingIs("AgentStopping")).Spec.PublicKey
	again := s.start(t, "east-2")
	s.gateway(t, "east-2", drainingIs("NotDraining"))
	g := s.gateway(t, "east-2", readyIs(metav1.ConditionTrue, v1alpha1.ReasonReady))
	if g.Spec.PublicKey != before {
		t.Errorf("the next agent has the public key %s, the one before had %s", g.Spec.PublicKey, before)
	}
	again.stop()
	s.gateway(t, "east-2", drainingIs("AgentStopping"))
}
