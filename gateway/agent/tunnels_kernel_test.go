//go:build kernel

package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/kerneltest"
)

// clusters is two clusters with unequal lanes, all links up: east's gateways have 0 and 2, west's has 1.
type clusters struct {
	wire                *kerneltest.Wire
	east0, east2, west1 *testGateway
}

func startClusters(t *testing.T) clusters {
	t.Helper()
	c := clusters{wire: kerneltest.NewWire(t)}
	east := newTestCluster("east", 1, "10.1.0.0/16", "fd00:10:1::/48")
	west := newTestCluster("west", 2, "10.2.0.0/18", "fd00:10:2::/48")
	c.east0 = east.addGateway(t, c.wire, 0, "192.0.2.10")
	c.east2 = east.addGateway(t, c.wire, 2, "192.0.2.12")
	c.west1 = west.addGateway(t, c.wire, 1, "192.0.2.21")
	// Either of east's gateways may get a packet for a pod of the other.
	c.east0.ns.Run(t, "ip", "route", "add", c.east2.pod(), "via", "192.0.2.12")
	c.east2.ns.Run(t, "ip", "route", "add", c.east0.pod(), "via", "192.0.2.10")
	for _, g := range c.all() {
		g.start(t)
		g.giveLane(t)
	}
	east.learn(t, west)
	west.learn(t, east)
	for _, g := range []*testGateway{c.east0, c.east2} {
		g.waitLink(t, c.west1, v1alpha1.LinkUp)
		c.west1.waitLink(t, g, v1alpha1.LinkUp)
	}
	return c
}

func (c clusters) all() []*testGateway { return []*testGateway{c.east0, c.east2, c.west1} }

// peers is what `wg show` says of endpoints and allowed IPs: "device endpoint allowed IPs...".
func (g *testGateway) peers(t *testing.T) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(g.ns.Run(t, "wg", "show", "all", "dump")) {
		fields := strings.Fields(line)
		if len(fields) < 9 { // the device's own line
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %s %s", fields[0], fields[3], fields[4]))
	}
	return lines
}

// routes is what `ip route` says of our table: "type destination metric devices".
func (g *testGateway) routes(t *testing.T) []string {
	t.Helper()
	var lines []string
	for _, family := range []string{"-4", "-6"} {
		var routes []struct {
			Type, Dst, Dev, Protocol string
			Metric                   int
			Nexthops                 []struct{ Dev string }
		}
		g.ipJSON(t, &routes, family, "-d", "route", "show", "table", "7473")
		for _, r := range routes {
			devices := r.Dev
			for _, n := range r.Nexthops {
				devices = strings.TrimSpace(devices + " " + n.Dev)
			}
			lines = append(lines, fmt.Sprintf("%s %s %d %s", r.Type, r.Dst, r.Metric, devices))
		}
	}
	return lines
}

func TestTunnels(t *testing.T) {
	c := startClusters(t)
	wantPeers := []string{
		"tombolo0 192.0.2.10:51821 10.1.0.0/16,245.0.16.0/20,fd00:10:1::/48,fd5f:f9b7:58d1:1::/64",
		"tombolo2 192.0.2.12:51821 10.1.0.0/16,245.0.16.0/20,fd00:10:1::/48,fd5f:f9b7:58d1:1::/64",
	}
	if diff := cmp.Diff(wantPeers, c.west1.peers(t)); diff != "" {
		t.Errorf("west's peers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"tombolo1 192.0.2.21:51822 10.2.0.0/18,245.0.32.0/20,fd00:10:2::/48,fd5f:f9b7:58d1:2::/64"},
		c.east2.peers(t)); diff != "" {
		t.Errorf("east's peers (-want +got):\n%s", diff)
	}
	wantRoutes := []string{
		"unicast 10.1.0.0/16 100 tombolo0 tombolo2",
		"unreachable 10.1.0.0/16 65535 ",
		"unicast 245.0.16.0 100 tombolo0",
		"unicast 245.0.16.0/20 100 tombolo0 tombolo2",
		"unreachable 245.0.16.0/20 65535 ",
		"unicast 245.0.16.2 100 tombolo2",
		"unicast fd00:10:1::/48 100 tombolo0 tombolo2",
		"unreachable fd00:10:1::/48 65535 lo",
		"unicast fd5f:f9b7:58d1:1:: 100 tombolo0",
		"unicast fd5f:f9b7:58d1:1::2 100 tombolo2",
		"unicast fd5f:f9b7:58d1:1::/64 100 tombolo0 tombolo2",
		"unreachable fd5f:f9b7:58d1:1::/64 65535 lo",
	}
	if diff := cmp.Diff(wantRoutes, c.west1.routes(t)); diff != "" {
		t.Errorf("west's routes (-want +got):\n%s", diff)
	}
	for _, east := range []*testGateway{c.east0, c.east2} {
		c.west1.ping(t, east.pod(), "-I", c.west1.pod())
		east.ping(t, c.west1.pod()) // from the tunnel address, as a client in the host's network does
	}
	if rtt := c.west1.link(t, c.east2).RTTMilliseconds; rtt < 1 || rtt > 100 {
		t.Errorf("RTT of a link on one machine is %d ms", rtt)
	}
}

// A strict rp_filter on the whole node, which is the default of some distributions, lets tunnelled packets in.
func TestStrictReversePathFilter(t *testing.T) {
	c := startClusters(t)
	// One way back only: between east's gateways this test has no more than a plain route.
	c.wire.Cut(t, c.east2.port)
	c.west1.waitLink(t, c.east2, v1alpha1.LinkDown)
	for _, g := range c.all() {
		g.ns.Run(t, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
	}
	c.east0.ping(t, c.west1.pod(), "-I", c.east0.pod())
	c.west1.ping(t, c.east0.pod(), "-I", c.west1.pod())
	if got := c.west1.ns.Run(t, "sysctl", "-n", "net.ipv4.conf.tombolo0.rp_filter"); strings.TrimSpace(got) != "2" {
		t.Errorf("rp_filter of tombolo0 is %s, want 2", got)
	}
}

func (g *testGateway) ping(t *testing.T, to string, args ...string) {
	t.Helper()
	g.ns.Run(t, slices.Concat([]string{"busybox", "ping", "-c2", "-W2"}, args, []string{to})...)
}

// A link whose underlay is cut goes down, its device leaves the routes, and it comes back.
func TestCut(t *testing.T) {
	c := startClusters(t)
	c.wire.Cut(t, c.east0.port)
	cut := time.Now()
	c.west1.waitLink(t, c.east0, v1alpha1.LinkDown)
	t.Logf("down after %s", time.Since(cut).Round(10*time.Millisecond))
	waitFor(t, "routes over the other link", func() error {
		if got := c.west1.routes(t); !slices.Contains(got, "unicast 10.1.0.0/16 100 tombolo2") {
			return fmt.Errorf("routes are %q", got)
		}
		return nil
	})
	c.wire.Cut(t, c.east2.port)
	c.west1.waitLink(t, c.east2, v1alpha1.LinkDown)
	if output, err := c.west1.ns.Try("busybox", "ping", "-c1", "-W1", c.east0.pod()); err == nil || !strings.Contains(output, "o route to host") {
		t.Errorf("ping without a link up: %v: %s, want it refused", err, output)
	}
	if link := c.west1.link(t, c.east0); link.Message == "" {
		t.Error("a link that is down says nothing about why")
	}
	c.wire.Heal(t, c.east0.port)
	c.west1.waitLink(t, c.east0, v1alpha1.LinkUp)
	c.east0.waitLink(t, c.west1, v1alpha1.LinkUp)
	c.west1.ping(t, c.east0.pod())
}
