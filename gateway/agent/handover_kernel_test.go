//go:build kernel

package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// pairs is two clusters with two gateways each, that know each other.
type pairs struct {
	clusters
	west3 *testGateway
}

func startPairs(t *testing.T) pairs {
	t.Helper()
	p := pairs{clusters: clusters{wire: netns.NewWire(t)}}
	east := newTestCluster("east", 1, "10.1.0.0/16", "fd00:10:1::/48")
	west := newTestCluster("west", 2, "10.2.0.0/18", "fd00:10:2::/48")
	p.east0 = east.addGateway(t, p.wire, 0, "192.0.2.10")
	p.east2 = east.addGateway(t, p.wire, 2, "192.0.2.12")
	p.west1 = west.addGateway(t, p.wire, 1, "192.0.2.21")
	p.west3 = west.addGateway(t, p.wire, 3, "192.0.2.23")
	for _, c := range []*testCluster{east, west} {
		for i, g := range c.gateways {
			other := c.gateways[1-i]
			g.ns.Run("ip", "route", "add", other.pod(), "via", other.address.String())
			g.start(t)
			g.giveLane(t)
		}
	}
	for _, c := range []*testCluster{east, west} {
		c.introduce(t)
	}
	east.learn(t, west)
	west.learn(t, east)
	for _, e := range east.gateways {
		for _, w := range west.gateways {
			e.waitLink(t, w, v1alpha1.LinkUp)
			w.waitLink(t, e, v1alpha1.LinkUp)
		}
	}
	for _, g := range slices.Concat(east.gateways, west.gateways) {
		waitFor(t, "siblings of "+g.name, func() error {
			for name, s := range g.agent.prober.statuses() {
				if strings.HasPrefix(name, "/") && s.State == v1alpha1.LinkUp && s.Reached.Has(3-g.cluster.index) {
					return nil
				}
			}
			return fmt.Errorf("statuses are %+v", g.agent.prober.statuses())
		})
	}
	// Either gateway of a cluster may get a packet for a pod of the other. There is no IPv6 on the wire.
	for _, c := range []*testCluster{east, west} {
		for i, g := range c.gateways {
			other := c.gateways[1-i]
			g.ns.Run("ip", "route", "add", other.pod6(), "via", clusterset.NodeLinkLocal(other.name).String(), "dev", "tombolo-ho", "onlink")
		}
	}
	return p
}

// introduce does what the API server does: it tells each gateway of the cluster of the others.
func (c *testCluster) introduce(t *testing.T) {
	t.Helper()
	for _, g := range c.gateways {
		for _, sibling := range c.gateways {
			if g == sibling {
				continue
			}
			n := &v1alpha1.GatewayNode{}
			if err := sibling.client.Get(t.Context(), client.ObjectKey{Namespace: kernelTestNamespace, Name: sibling.name}, n); err != nil {
				t.Fatal(err)
			}
			n.ResourceVersion = ""
			if err := g.client.Create(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			n.Status.Lane = &sibling.lane
			if err := g.client.Status().Update(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		g.agent.Changed()
	}
}

// cutTunnels drops this gateway's WireGuard packets, both ways, and nothing else.
func (g *testGateway) cutTunnels(t *testing.T) {
	t.Helper()
	for _, hook := range []string{"input", "output"} {
		g.ns.Run("nft", "add table inet cut; add chain inet cut "+hook+" { type filter hook "+hook+" priority 0; }; "+
			"add rule inet cut "+hook+" udp dport 51820-51900 drop")
	}
}

func (g *testGateway) healTunnels(t *testing.T) {
	t.Helper()
	g.ns.Run("nft", "delete table inet cut")
}

// waitRoutes waits until the gateway's routes to the other cluster go by the devices.
func (g *testGateway) waitRoutes(t *testing.T, devices string) {
	t.Helper()
	index := 3 - g.cluster.index
	prefixes := []string{fmt.Sprintf("10.%d.0.0/%d", index, 14+2*index), fmt.Sprintf("fd00:10:%d::/48", index)}
	waitFor(t, "routes of "+g.name+" by "+devices, func() error {
		got := g.routes(t)
		for _, p := range prefixes {
			if !slices.Contains(got, "unicast "+p+" 100 "+devices) {
				return fmt.Errorf("no route to %s by %s: %q", p, devices, got)
			}
		}
		return nil
	})
}

// A gateway that loses all its links hands over to its sibling, which delivers in both directions;
// a restart of its agent interrupts nothing, and links that are back carry again.
func TestHandover(t *testing.T) {
	p := startPairs(t)
	begin := time.Now()
	p.west1.cutTunnels(t)
	p.west1.waitRoutes(t, "tombolo-ho")
	t.Logf("handed over after %s", time.Since(begin).Round(10*time.Millisecond))
	for _, e := range []*testGateway{p.east0, p.east2} {
		e.waitLink(t, p.west1, v1alpha1.LinkDown)
		p.west1.ping(t, e.pod(), "-I", p.west1.pod())
	}
	p.west1.ns.Run("busybox", "ping", "-6", "-c2", "-W2", "-I", p.west1.pod6(), p.east0.pod6())
	wantTable := []string{"unicast 10.1.0.0/16 100 tombolo0 tombolo2", "unreachable 10.1.0.0/16 65535 "}
	if diff := cmp.Diff(wantTable, p.west3.handoverRoutes(t, "10.1.0.0/16")); diff != "" {
		t.Errorf("what is handed over to west's second gateway goes by (-want +got):\n%s", diff)
	}
	if got := p.west1.ns.Run("ip", "route", "get", p.east0.pod()); !strings.Contains(got, "mtu 1420") {
		t.Errorf("the hand-over does not have the tunnels' MTU: %s", got)
	}
	lost := p.pingDuring(t, func() {
		events := p.west1.watchKernel(t)
		p.west1.stop()
		time.Sleep(2 * time.Second)
		p.west1.start(t)
		waitFor(t, "a pass", p.west1.agent.Ready)
		time.Sleep(3 * time.Second)
		if got := events(); len(got) > 0 {
			t.Errorf("the kernel changed: %q", got)
		}
	})
	if lost != 0 {
		t.Errorf("%d packets were lost while the agent restarted", lost)
	}
	p.west1.ns.Run("ip", "link", "delete", "tombolo-ho")
	p.west1.waitRoutes(t, "tombolo-ho")
	p.west1.ping(t, p.east0.pod(), "-I", p.west1.pod())
	p.west1.healTunnels(t)
	p.west1.waitRoutes(t, "tombolo0 tombolo2")
}

// handoverRoutes are the routes to the prefix for what has been handed over to the gateway.
func (g *testGateway) handoverRoutes(t *testing.T, prefix string) []string {
	t.Helper()
	return slices.DeleteFunc(g.routesIn(t, "7477"), func(r string) bool { return !strings.Contains(r, " "+prefix+" ") })
}

// When no gateway of the cluster has a link there is nobody to hand over to: the links stay in the
// routes.
func TestNoHandoverToNobody(t *testing.T) {
	p := startPairs(t)
	p.west1.cutTunnels(t)
	p.west1.waitRoutes(t, "tombolo-ho")
	p.west3.cutTunnels(t)
	p.west1.waitRoutes(t, "tombolo0 tombolo2")
	p.west3.waitRoutes(t, "tombolo0 tombolo2")
}

// Two gateways that each take the other for the one with a link hand a packet over once: it does
// not come back.
func TestHandoverDoesNotLoop(t *testing.T) {
	p := startPairs(t)
	p.west1.stop()
	p.west3.stop()
	for g, hop := range map[*testGateway]string{p.west1: "245.0.32.3", p.west3: "245.0.32.1"} {
		g.cutTunnels(t)
		g.ns.Run("ip", "route", "replace", "10.1.0.0/16", "table", "7473", "metric", "100", "proto", "147", "via", hop, "dev", "tombolo-ho", "onlink")
	}
	before1, before3 := p.west1.received(t, "tombolo-ho"), p.west3.received(t, "tombolo-ho")
	const packets = 5
	_, _ = p.west1.ns.Try("busybox", "ping", "-c", fmt.Sprint(packets), "-W1", "-A", "-I", p.west1.pod(), p.east0.pod())
	if got := p.west3.received(t, "tombolo-ho") - before3; got < packets || got > packets+3 { // and a last probe or two
		t.Errorf("%d packets were handed over, want %d", got, packets)
	}
	if got := p.west1.received(t, "tombolo-ho") - before1; got > 3 {
		t.Errorf("%d packets came back", got)
	}
}

// received is how many packets came by the device.
func (g *testGateway) received(t *testing.T, device string) int {
	t.Helper()
	var links []struct {
		Stats64 struct{ Rx struct{ Packets int } }
	}
	g.ipJSON(t, &links, "-s", "link", "show", "dev", device)
	return links[0].Stats64.Rx.Packets
}

// Cleanup removes the hand-over, too.
func TestCleanupOfHandover(t *testing.T) {
	p := startPairs(t)
	g := p.west1
	g.stop()
	if err := Cleanup(t.Context(), kernelOf(g.ns), g.key); err != nil {
		t.Fatal(err)
	}
	if output, err := g.ns.Try("ip", "link", "show", "tombolo-ho"); err == nil {
		t.Errorf("the device is there: %s", output)
	}
	for _, family := range []string{"-4", "-6"} {
		if got := g.ns.Run("ip", family, "rule"); strings.Contains(got, "747") {
			t.Errorf("rules are\n%s", got)
		}
		if got, _ := g.ns.Try("ip", family, "route", "show", "table", "7477"); strings.Contains(got, "dev") || strings.Contains(got, "unreachable") {
			t.Errorf("routes are\n%s", got)
		}
	}
}
