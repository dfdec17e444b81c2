//go:build kernel

package agent

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// setPort changes the base port in the gateway's ClusterSet.
func (g *testGateway) setPort(t *testing.T, port v1alpha1.Port) {
	t.Helper()
	set := &v1alpha1.ClusterSet{}
	if err := g.client.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		t.Fatal(err)
	}
	set.Spec.Gateway.Port = port
	if err := g.client.Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	g.agent.Changed()
}

// waitReady waits until the condition Ready has that reason, and returns its message.
func (g *testGateway) waitReady(t *testing.T, reason string) (message string) {
	t.Helper()
	waitFor(t, "condition Ready of "+g.name, func() error {
		node := &v1alpha1.GatewayNode{}
		if err := g.client.Get(t.Context(), client.ObjectKey{Namespace: kernelTestNamespace, Name: g.name}, node); err != nil {
			return err
		}
		c := meta.FindStatusCondition(node.Status.Conditions, v1alpha1.ConditionReady)
		if c == nil || c.Reason != reason || (c.Status == metav1.ConditionTrue) != (reason == v1alpha1.ReasonReady) {
			return fmt.Errorf("it is %+v, want %s", c, reason)
		}
		message = c.Message
		return nil
	})
	return message
}

// waitPublished waits until the gateway publishes that port.
func (g *testGateway) waitPublished(t *testing.T, port v1alpha1.Port) {
	t.Helper()
	waitFor(t, "endpoints of "+g.name, func() error {
		node := &v1alpha1.GatewayNode{}
		if err := g.client.Get(t.Context(), client.ObjectKey{Namespace: kernelTestNamespace, Name: g.name}, node); err != nil {
			return err
		}
		if got := node.Spec.Endpoints; len(got) != 1 || got[0].Port != port {
			return fmt.Errorf("they are %+v, want port %d", got, port)
		}
		return nil
	})
}

// wantListening asserts the UDP ports, apart from that of the probes, on which IPv4 sockets wait for
// anybody.
func (g *testGateway) wantListening(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(g.ns.Run("ss", "-Hlun4")) {
		if fields := strings.Fields(line); len(fields) > 3 && strings.HasPrefix(fields[3], "0.0.0.0:") {
			got = append(got, strings.TrimPrefix(fields[3], "0.0.0.0:"))
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("UDP ports %v are open, want %v", got, want)
	}
}

// holdPort takes the UDP port until the result is called.
func (g *testGateway) holdPort(t *testing.T, port int) (release func()) {
	t.Helper()
	var conn net.PacketConn
	var err error
	g.ns.Do(func() { conn, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", port)) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func() { _ = conn.Close() }
}

// A new base port that another has changes nothing: all devices stay at the old one, which stays
// published, and no packet is lost. They move when it is free.
func TestPortIsTaken(t *testing.T) { with(t, testPortIsTaken, kernelKinds, userspaceKinds) }

func testPortIsTaken(t *testing.T, k kinds) {
	c := startClusters(t, k)
	g := c.west1 // its devices are tombolo0 and tombolo2
	g.waitPublished(t, 51820)
	g.wantListening(t, "51820", "51822")
	g.ns.Run("ip", "link", "add", "wg0", "type", "wireguard")
	g.ns.Run("wg", "set", "wg0", "listen-port", "4500")
	g.ns.Run("ip", "link", "set", "wg0", "up")
	lost := c.pingDuring(t, func() {
		g.setPort(t, 4500)
		message := g.waitReady(t, v1alpha1.ReasonPortInUse)
		for _, want := range []string{"stays at port 51820", "UDP port 4500", "WireGuard device wg0", "ClusterSet.spec.gateway.port"} {
			if !strings.Contains(message, want) {
				t.Errorf("the message lacks %q: %s", want, message)
			}
		}
		release := g.holdPort(t, 4602) // tombolo2 would get it
		g.setPort(t, 4600)
		waitFor(t, "another message", func() error {
			if message := g.waitReady(t, v1alpha1.ReasonPortInUse); !strings.Contains(message, "UDP port 4602 is used by another program") {
				return fmt.Errorf("it is %q", message)
			}
			return nil
		})
		g.waitPublished(t, 51820)
		g.wantListening(t, "4500", "4602", "51820", "51822")
		release()
	})
	if lost != 0 {
		t.Errorf("%d packets were lost", lost)
	}
	g.agent.Changed()
	g.waitReady(t, v1alpha1.ReasonReady)
	g.waitPublished(t, 4600)
	g.wantListening(t, "4500", "4600", "4602")
}

// A gateway whose port is taken from the start says so, with and without links, and works as soon
// as the port is free.
func TestPortIsTakenAtTheStart(t *testing.T) {
	wire := netns.NewWire(t)
	north, east := newTestCluster("north", 3, "10.3.0.0/16"), newTestCluster("east", 1, "10.1.0.0/16")
	g := north.addGateway(t, wire, 0, "192.0.2.31")
	release := g.holdPort(t, 51820)
	g.start(t)
	g.giveLane(t)
	message := g.waitReady(t, v1alpha1.ReasonPortInUse)
	if !strings.Contains(message, "UDP port 51820 is used by another program (flannel, Calico and Kilo") {
		t.Errorf("without links: %s", message)
	}
	g.learnSilent(t, east)
	waitFor(t, "a device", func() error {
		if out := g.ns.Run("wg", "show", "interfaces"); !strings.Contains(out, "tombolo0") {
			return fmt.Errorf("there are %q", out)
		}
		return nil
	})
	if message := g.waitReady(t, v1alpha1.ReasonPortInUse); !strings.Contains(message, "UDP port 51820") {
		t.Errorf("with links: %s", message)
	}
	release()
	g.agent.Changed()
	g.waitReady(t, v1alpha1.ReasonReady)
	g.wantListening(t, "51820", "51821")
}
