//go:build kernel

package agent

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// A gateway that drains gets another key, as docs/gateways.md says. Its node's own packets, which use its
// tunnels until then, leave these before their sessions end: not one is lost.
func TestNewKeyLosesNothing(t *testing.T) {
	p := startPairs(t)
	g := p.west1
	g.ns.Run("ip", "route", "add", "10.1.0.0/16", "via", p.west3.address.String()) // as the dataplane has it, over the sibling
	g.drain(t)
	for _, e := range []*testGateway{p.east0, p.east2} {
		e.waitRoutes(t, "tombolo3")
	}
	key, err := wireguard.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	lost := p.pingDuring(t, func() {
		g.stop()
		if err := g.key.Write(key); err != nil {
			t.Fatal(err)
		}
		g.start(t)
		node := &v1alpha1.GatewayNode{}
		waitFor(t, "the new key in the GatewayNode", func() error {
			if err := g.client.Get(t.Context(), client.ObjectKey{Namespace: kernelTestNamespace, Name: g.name}, node); err != nil {
				return err
			}
			if node.Spec.PublicKey != key.Public().String() {
				return fmt.Errorf("it is %s", node.Spec.PublicKey)
			}
			return nil
		})
		for _, other := range []*testGateway{p.west3, p.east0, p.east2} {
			other.learnKey(t, g, node.Spec.PublicKey)
		}
		for _, e := range []*testGateway{p.east0, p.east2} {
			g.waitLink(t, e, v1alpha1.LinkUp)
			e.waitLink(t, g, v1alpha1.LinkUp)
		}
		g.waitRoutes(t, "tombolo0 tombolo2")
	})
	if lost != 0 {
		t.Errorf("%d packets were lost while the gateway got another key", lost)
	}
}

// drain does what an admin does who wants flows to leave the gateway.
func (g *testGateway) drain(t *testing.T) {
	t.Helper()
	node := &corev1.Node{}
	if err := g.client.Get(t.Context(), client.ObjectKey{Name: g.name}, node); err != nil {
		t.Fatal(err)
	}
	node.Annotations = map[string]string{v1alpha1.AnnotationGatewayDrain: "true"}
	if err := g.client.Update(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	g.agent.Changed()
}

// learnKey does what hub and operator do when the other gateway has a new key.
func (g *testGateway) learnKey(t *testing.T, of *testGateway, key string) {
	t.Helper()
	waitFor(t, g.name+" learns the key of "+of.name, func() error {
		if g.cluster == of.cluster {
			node := &v1alpha1.GatewayNode{}
			if err := g.client.Get(t.Context(), client.ObjectKey{Namespace: kernelTestNamespace, Name: of.name}, node); err != nil {
				return err
			}
			node.Spec.PublicKey = key
			return g.client.Update(t.Context(), node)
		}
		remote := &v1alpha1.RemoteCluster{}
		if err := g.client.Get(t.Context(), client.ObjectKey{Name: string(of.cluster.id)}, remote); err != nil {
			return err
		}
		for i := range remote.Spec.Gateways {
			if remote.Spec.Gateways[i].Name == of.name {
				remote.Spec.Gateways[i].PublicKey = key
			}
		}
		return g.client.Update(t.Context(), remote) // it fails if the agent writes meanwhile
	})
	g.agent.Changed()
}
