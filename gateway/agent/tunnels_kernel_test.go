//go:build kernel

package agent

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// clusters is two clusters with unequal lanes, all links up: east's gateways have 0 and 2, west's
// has 1.
type clusters struct {
	wire                *netns.Wire
	east0, east2, west1 *testGateway
}

func startClusters(t *testing.T, k ...kinds) clusters {
	t.Helper()
	return startClustersWith(t, append(k, kinds{})[0], "10.1.0.0/16", "fd00:10:1::/48")
}

// startClustersWith starts the clusters with these CIDRs of east.
func startClustersWith(t *testing.T, k kinds, cidrs ...v1alpha1.CIDR) clusters {
	t.Helper()
	c := clusters{wire: netns.NewWire(t)}
	east := newTestCluster("east", 1, cidrs...)
	west := newTestCluster("west", 2, "10.2.0.0/18", "fd00:10:2::/48")
	east.wireGuard, west.wireGuard = k.east, k.west
	c.east0 = east.addGateway(t, c.wire, 0, "192.0.2.10")
	c.east2 = east.addGateway(t, c.wire, 2, "192.0.2.12")
	c.west1 = west.addGateway(t, c.wire, 1, "192.0.2.21")
	// Either of east's gateways may get a packet for a pod of the other.
	c.east0.ns.Run("ip", "route", "add", c.east2.pod(), "via", "192.0.2.12")
	c.east2.ns.Run("ip", "route", "add", c.east0.pod(), "via", "192.0.2.10")
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
	for line := range strings.Lines(g.ns.Run("wg", "show", "all", "dump")) {
		fields := strings.Fields(line)
		if len(fields) < 9 { // the device's own line
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %s %s", fields[0], fields[3], fields[4]))
	}
	slices.Sort(lines)
	return lines
}

// routes is what `ip route` says of our table: "type destination metric devices".
func (g *testGateway) routes(t *testing.T) []string {
	t.Helper()
	return g.routesIn(t, "7473")
}

// routesIn is what `ip route` says of a table.
func (g *testGateway) routesIn(t *testing.T, table string) []string {
	t.Helper()
	var lines []string
	for _, family := range []string{"-4", "-6"} {
		var routes []struct {
			Type, Dst, Dev, Protocol string
			Metric                   int
			Nexthops                 []struct{ Dev string }
		}
		g.ipJSON(t, &routes, family, "-d", "route", "show", "table", table)
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

func TestTunnels(t *testing.T) { with(t, testTunnels, kernelKinds, userspaceKinds, mixedKinds) }

func testTunnels(t *testing.T, k kinds) {
	c := startClusters(t, k)
	for mode, kind := range map[v1alpha1.WireGuardMode]string{k.east: c.east2.kindOf(t, "tombolo1"), k.west: c.west1.kindOf(t, "tombolo0")} {
		if want := map[bool]string{false: "wireguard", true: "tun"}[mode == v1alpha1.WireGuardUserspace]; kind != want {
			t.Errorf("with %s WireGuard, the device is a %s", mode, kind)
		}
	}
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
	if rtt := c.west1.link(t, c.east2).RTTMilliseconds; rtt < 1 { // how much it is depends on the machine
		t.Errorf("RTT of a link that is up is %d ms", rtt)
	}
	for _, direction := range []string{"received", "sent"} {
		for _, lane := range []string{"0", "2"} {
			if bytes := c.west1.counted(t, "tombolo_gateway_link_"+direction+"_bytes_total", "lane", lane); bytes == 0 {
				t.Errorf("no bytes %s on lane %s", direction, lane)
			}
		}
	}
}

// counted is a counter of the gateway, of those samples that have the label's value.
func (g *testGateway) counted(t *testing.T, name, label, value string) (sum float64) {
	t.Helper()
	families, err := g.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == label && l.GetValue() == value }) {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// A strict rp_filter on the whole node, which is the default of some distributions, lets tunnelled
// packets in.
func TestStrictReversePathFilter(t *testing.T) {
	with(t, testStrictReversePathFilter, kernelKinds, userspaceKinds)
}

func testStrictReversePathFilter(t *testing.T, k kinds) {
	c := startClusters(t, k)
	// One way back only: between east's gateways this test has no more than a plain route.
	c.wire.Cut(c.east2.port)
	c.west1.waitLink(t, c.east2, v1alpha1.LinkDown)
	for _, g := range c.all() {
		g.ns.Run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
	}
	c.east0.ping(t, c.west1.pod(), "-I", c.east0.pod())
	c.west1.ping(t, c.east0.pod(), "-I", c.west1.pod())
	if got := c.west1.ns.Run("sysctl", "-n", "net.ipv4.conf.tombolo0.rp_filter"); strings.TrimSpace(got) != "2" {
		t.Errorf("rp_filter of tombolo0 is %s, want 2", got)
	}
}

// East publishes its nodes, the gateways among them: the tunnels go beside themselves, all else
// through them, under a strict rp_filter too.
func TestNodesAmongCIDRs(t *testing.T) { with(t, testNodesAmongCIDRs, kernelKinds, userspaceKinds) }

func testNodesAmongCIDRs(t *testing.T, k kinds) {
	c := startClustersWith(t, k, "10.1.0.0/16", "192.0.2.8/29")
	c.west1.ns.Run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
	for _, east := range []*testGateway{c.east0, c.east2} {
		c.west1.ping(t, east.address.String(), "-I", c.west1.pod())
	}
	if got := c.west1.ns.Run("ip", "route", "get", "192.0.2.10"); !strings.Contains(got, "tombolo") {
		t.Errorf("packets to a node of east go by %s", got)
	}
	for _, tc := range []struct{ ports, want string }{{"dport 51821", "tombolo"}, {"sport 51820 dport 51821", "eth0"}, {"sport 51822 dport 51821", "eth0"}} {
		if got := c.west1.ns.Run("ip", append([]string{"route", "get", "192.0.2.10", "ipproto", "udp"}, strings.Fields(tc.ports)...)...); !strings.Contains(got, "dev "+tc.want) {
			t.Errorf("packets with %s to a gateway of east go by %s", tc.ports, got)
		}
	}
	c.podsStayInTunnels(t)
	time.Sleep(2 * time.Second)
	c.west1.waitLink(t, c.east0, v1alpha1.LinkUp)
}

// podsStayInTunnels sends from a pod, and from the node, to where east's gateway listens, from the
// port that the node's own device has, too: not one packet leaves in clear.
func (c clusters) podsStayInTunnels(t *testing.T) {
	t.Helper()
	pod, node := netns.New(t), c.west1.ns
	node.Join("pod0", "10.2.5.1/24", pod, "eth0", "10.2.5.5/24")
	pod.Route("0.0.0.0/0", "10.2.5.1")
	node.Run("ip", "address", "add", "10.2.5.9/32", "dev", "lo")
	node.Run("nft", "add table inet seen; add counter inet seen clear; add counter inet seen tunnel; "+
		"add chain inet seen out { type filter hook postrouting priority -500; }; "+
		`add rule inet seen out ip saddr { 10.2.5.5, 10.2.5.9 } udp dport 51821 oifname "eth0" counter name clear; `+
		`add rule inet seen out ip saddr { 10.2.5.5, 10.2.5.9 } udp dport 51821 oifname "tombolo*" counter name tunnel`)
	send := func(from *netns.Namespace, source string) {
		from.Do(func() {
			dialer := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(source))}
			conn, err := dialer.Dial("udp", "192.0.2.10:51821")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for sent := 0; sent < 5; {
				if _, err := conn.Write([]byte("a secret")); err == nil { // it may fail because an error answered the one before
					sent++
				}
			}
		})
	}
	send(pod, "10.2.5.5:51820")
	send(pod, "10.2.5.5:4000")
	send(node, "10.2.5.9:4000")
	want := "clear 0, tunnel 15"
	waitFor(t, "the packets", func() error {
		out := node.Run("nft", "list", "counters", "table", "inet", "seen")
		var clear, tunnel int
		_, after, _ := strings.Cut(out, "counter clear")
		_, _ = fmt.Sscanf(strings.Join(strings.Fields(after), " "), "{ packets %d", &clear)
		_, after, _ = strings.Cut(out, "counter tunnel")
		_, _ = fmt.Sscanf(strings.Join(strings.Fields(after), " "), "{ packets %d", &tunnel)
		if got := fmt.Sprintf("clear %d, tunnel %d", clear, tunnel); got != want {
			return fmt.Errorf("there were %s, want %s", got, want)
		}
		return nil
	})
}

// An agent of before has left rules by destination. They go, and no packet is lost meanwhile.
func TestBypassOfAnOlderVersion(t *testing.T) {
	c := startClustersWith(t, kinds{}, "10.1.0.0/16", "192.0.2.8/29")
	node := c.west1.ns
	node.Run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
	c.west1.stop()
	for _, old := range []string{"192.0.2.10", "192.0.2.12"} {
		node.Run("ip", "rule", "add", "pref", "7472", "to", old, "ipproto", "udp", "dport", "51821", "lookup", "main", "protocol", "147")
	}
	for _, port := range []string{"51820", "51822"} {
		node.Run("ip", "rule", "del", "pref", "7472", "iif", "lo", "ipproto", "udp", "sport", port)
	}
	log := filepath.Join(t.TempDir(), "ping")
	pings := node.Start("sh", "-c", "busybox ping -i 0.02 -w 6 -W 2 -I "+c.west1.pod()+" "+c.east0.pod()+" > "+log)
	c.west1.start(t)
	waitFor(t, "rules of this version", func() error {
		if got := node.Run("ip", "rule"); strings.Contains(got, "dport") || strings.Count(got, "iif lo") != 2 {
			return errors.New(got)
		}
		return nil
	})
	_ = pings.Wait()
	out, err := os.ReadFile(log)
	var sent, received int
	if at := strings.Index(string(out), "packets transmitted"); at >= 0 {
		line := string(out)[strings.LastIndex(string(out)[:at], "\n")+1:]
		_, _ = fmt.Sscanf(line, "%d packets transmitted, %d packets received", &sent, &received)
	}
	if err != nil || sent < 50 || sent-received > 1 { // the last one may be under way
		t.Errorf("%d pings, %d answers, %v: %s", sent, received, err, out)
	}
}

func (g *testGateway) ping(t *testing.T, to string, args ...string) {
	t.Helper()
	g.ns.Run("busybox", slices.Concat([]string{"ping", "-c2", "-W2"}, args, []string{to})...)
}

// A node that does not forward says so, and what to do about it.
func TestForwarding(t *testing.T) {
	ns := netns.New(t)
	k := kernelOf(ns).Host
	if err := k.CheckForwarding(true); err != nil {
		t.Error(err)
	}
	ns.Run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=0")
	if err := k.CheckForwarding(false); err != nil {
		t.Errorf("without IPv6: %v", err)
	}
	if err := k.CheckForwarding(true); err == nil || !strings.Contains(err.Error(), "sysctl -w net.ipv6.conf.all.forwarding=1") {
		t.Errorf("with IPv6: %v", err)
	}
	ns.Run("sysctl", "-qw", "net.ipv4.ip_forward=0")
	if err := k.CheckForwarding(false); err == nil || !strings.Contains(err.Error(), "sysctl -w net.ipv4.ip_forward=1") {
		t.Errorf("without IPv6: %v", err)
	}
}

// A link whose underlay is cut goes down, its device leaves the routes, and it comes back.
func TestCut(t *testing.T) { with(t, testCut, kernelKinds, userspaceKinds, mixedKinds) }

func testCut(t *testing.T, k kinds) {
	c := startClusters(t, k)
	c.wire.Cut(c.east0.port)
	cut := time.Now()
	c.west1.waitLink(t, c.east0, v1alpha1.LinkDown)
	t.Logf("down after %s", time.Since(cut).Round(10*time.Millisecond))
	waitFor(t, "routes over the other link", func() error {
		if got := c.west1.routes(t); !slices.Contains(got, "unicast 10.1.0.0/16 100 tombolo2") {
			return fmt.Errorf("routes are %q", got)
		}
		return nil
	})
	c.wire.Cut(c.east2.port)
	c.west1.waitLink(t, c.east2, v1alpha1.LinkDown)
	waitFor(t, "routes over both links, as none is up", func() error {
		if got := c.west1.routes(t); !slices.Contains(got, "unicast 10.1.0.0/16 100 tombolo0 tombolo2") {
			return fmt.Errorf("routes are %q", got)
		}
		return nil
	})
	if output, err := c.west1.ns.Try("busybox", "ping", "-c1", "-W1", c.east0.pod()); err == nil {
		t.Errorf("ping over links that are cut: %s", output)
	}
	if link := c.west1.link(t, c.east0); link.Message == "" {
		t.Error("a link that is down says nothing about why")
	}
	c.wire.Heal(c.east0.port)
	c.west1.waitLink(t, c.east0, v1alpha1.LinkUp)
	c.east0.waitLink(t, c.west1, v1alpha1.LinkUp)
	c.west1.ping(t, c.east0.pod())
}

// A restart of an agent interrupts no flow, writes nothing to the kernel, and keeps an endpoint
// that was learned.
func TestRestart(t *testing.T) { with(t, testRestart, kernelKinds, mixedKinds) }

func testRestart(t *testing.T, k kinds) {
	c := startClusters(t, k)
	roam := c.roam(t)
	before, since := c.west1.peers(t), c.west1.link(t, c.east0).Since
	if !slices.ContainsFunc(before, func(p string) bool { return strings.HasPrefix(p, "tombolo0 "+roam) }) {
		t.Fatalf("west has not learned %s: %q", roam, before)
	}
	lost := c.pingDuring(t, func() {
		events := c.west1.watchKernel(t)
		c.west1.stop()
		time.Sleep(5 * time.Second) // a pod takes its time to start
		c.west1.start(t)
		waitFor(t, "a pass", c.west1.agent.Ready)
		time.Sleep(2 * time.Second) // probes decide within 1.2 s
		if got := events(); len(got) > 0 {
			t.Errorf("the kernel changed: %q", got)
		}
	})
	if lost != 0 {
		t.Errorf("%d packets were lost while the agent restarted", lost)
	}
	if diff := cmp.Diff(before, c.west1.peers(t)); diff != "" {
		t.Errorf("peers (-before +after):\n%s", diff)
	}
	for _, east := range []*testGateway{c.east0, c.east2} {
		if got := east.link(t, c.west1); got.State != v1alpha1.LinkUp || time.Since(got.Since.Time) < 5*time.Second {
			t.Errorf("link of %s is %+v, want up all the time", east.name, got)
		}
	}
	if got := c.west1.link(t, c.east0); got.State != v1alpha1.LinkUp || !got.Since.Equal(&since) {
		t.Errorf("link is %+v, want up since %s as before", got, since)
	}
}

// roam makes east's first gateway send from another address, as one behind a NAT may, until west
// has learned it.
func (c clusters) roam(t *testing.T) (address string) {
	t.Helper()
	address = "192.0.2.99"
	c.east0.ns.Run("ip", "address", "delete", "192.0.2.10/24", "dev", "eth0")
	c.east0.ns.Run("ip", "address", "add", address+"/24", "dev", "eth0")
	c.east2.ns.Run("ip", "route", "replace", c.east0.pod(), "via", address)
	c.east0.ns.Run("ip", "route", "replace", c.east2.pod(), "via", "192.0.2.12")
	waitFor(t, "west learns east's new address", func() error {
		if got := c.west1.peers(t); !strings.Contains(strings.Join(got, "\n"), address) {
			return fmt.Errorf("peers are %q", got)
		}
		return nil
	})
	c.waitCalm(t)
	return address
}

// waitCalm waits until every link has been up for some seconds: what roams may lose a few probes.
func (c clusters) waitCalm(t *testing.T) {
	t.Helper()
	pairs := [][2]*testGateway{{c.east0, c.west1}, {c.west1, c.east0}, {c.east2, c.west1}, {c.west1, c.east2}}
	waitFor(t, "links that stay up", func() error {
		for _, p := range pairs {
			if l := p[0].link(t, p[1]); l.State != v1alpha1.LinkUp || time.Since(l.Since.Time) < 4*time.Second {
				return fmt.Errorf("link %s -> %s is %s since %s", p[0].name, p[1].name, l.State, l.Since)
			}
		}
		return nil
	})
}

// pingDuring pings a pod of east from west every 100 ms while f runs, and returns how many answers
// are missing.
func (c clusters) pingDuring(t *testing.T, f func()) (lost int) {
	t.Helper()
	stop := make(chan struct{})
	done := make(chan int)
	go func() {
		lost := 0
		for {
			select {
			case <-stop:
				done <- lost
				return
			default:
			}
			if _, err := c.west1.ns.Try("busybox", "ping", "-c1", "-W1", "-I", c.west1.pod(), c.east0.pod()); err != nil {
				lost++
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	f()
	close(stop)
	return <-done
}

// watchKernel records, with `ip monitor`, what changes in the gateway's namespace until the
// returned function is called.
func (g *testGateway) watchKernel(t *testing.T) (changes func() []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "monitor")
	monitor := g.ns.Start("sh", "-c", "exec ip monitor link address route rule > "+file)
	time.Sleep(200 * time.Millisecond)
	return func() []string {
		_ = monitor.Process.Kill()
		output, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(strings.Split(string(output), "\n"), func(line string) bool { return line == "" })
	}
}

// Passes in which nothing changed change nothing in the kernel, and what others change is put
// right.
func TestDrift(t *testing.T) { with(t, testDrift, kernelKinds, userspaceKinds) }

func testDrift(t *testing.T, k kinds) {
	c := startClusters(t, k)
	events := c.west1.watchKernel(t)
	passes := func() {
		for range 5 {
			c.west1.agent.Changed()
			time.Sleep(100 * time.Millisecond)
		}
	}
	passes()
	if got := events(); len(got) > 0 {
		t.Errorf("the kernel changed: %q", got)
	}
	peers, routes := c.west1.peers(t), c.west1.routes(t)
	const table = firewall.GatewayTable
	otherKey := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(otherKey, []byte(c.west1.ns.Run("wg", "genkey")), 0o600); err != nil {
		t.Fatal(err)
	}
	east2 := strings.Fields(c.west1.ns.Run("wg", "show", "tombolo2", "peers"))[0]
	for _, damage := range []struct {
		part    part
		command []string
	}{
		{partRoutes, []string{"ip", "route", "flush", "table", "7473"}},
		{partRoutes, []string{"ip", "-6", "route", "flush", "table", "7473"}},
		{partRoutes, []string{"ip", "rule", "delete", "priority", "7473"}},
		{partTunnels, []string{"ip", "link", "set", "tombolo2", "down"}},
		{partTunnels, []string{"ip", "address", "flush", "dev", "tombolo0"}},
		{partTunnels, []string{"ip", "link", "delete", "tombolo0"}},
		{partTunnels, []string{"wg", "set", "tombolo2", "listen-port", "4500"}},
		{partTunnels, []string{"wg", "set", "tombolo2", "private-key", otherKey}},
		{partTunnels, []string{"wg", "set", "tombolo2", "peer", east2, "remove"}},
		{partTunnels, []string{"wg", "set", "tombolo2", "peer", east2, "allowed-ips", ""}},
		{partTunnels, []string{"ip", "link", "add", "tombolo7", "type", "wireguard"}},
		{partTable, []string{"nft", "delete", "table", "inet", table}},
	} {
		told := c.west1.counted(t, "tombolo_gateway_repairs_total", "part", string(damage.part))
		c.west1.ns.Run(damage.command[0], damage.command[1:]...)
		if slices.Contains(damage.command, "listen-port") { // the kernel tells nobody, and packets still pass: the next pass finds it
			c.west1.agent.Changed()
		}
		waitFor(t, "repair after "+strings.Join(damage.command, " "), func() error {
			for _, east := range []*testGateway{c.east0, c.east2} {
				if l := c.west1.link(t, east); l.State != v1alpha1.LinkUp {
					return fmt.Errorf("link to %s is %s: %s", east.name, l.State, l.Message)
				}
			}
			for _, tt := range []struct {
				what string
				diff string
			}{
				{"peers", cmp.Diff(peers, c.west1.peers(t))}, {"routes", cmp.Diff(routes, c.west1.routes(t))},
			} {
				if tt.diff != "" {
					return fmt.Errorf("%s (-want +got):\n%s", tt.what, tt.diff)
				}
			}
			if _, err := c.west1.ns.Try("sh", "-c", "! ip link show tombolo7 && ip rule | grep -q 'lookup 7473' && "+
				"wg show tombolo2 listen-port | grep -q 51822 && nft list table inet "+table); err != nil {
				return err
			}
			if now := c.west1.counted(t, "tombolo_gateway_repairs_total", "part", string(damage.part)); now <= told {
				return fmt.Errorf("no repair of %s was counted", damage.part)
			}
			return nil
		})
	}
	c.west1.ping(t, c.east0.pod())
	testDriftOfFilter(t, c.west1)
}

// testDriftOfFilter: while the filter on the way in is away, other clusters reach everything.
func testDriftOfFilter(t *testing.T, g *testGateway) {
	set := &v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName}}
	if err := g.client.Get(t.Context(), client.ObjectKeyFromObject(set), set); err != nil {
		t.Fatal(err)
	}
	set.Spec.Gateway.Ingress = v1alpha1.IngressExported
	if err := g.client.Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	g.agent.Changed()
	stands := func() error {
		_, err := g.ns.Try("nft", "list", "table", "inet", firewall.IngressTable)
		return err
	}
	waitFor(t, "the filter", stands)
	told := g.counted(t, "tombolo_gateway_repairs_total", "part", string(partIngress))
	waitFor(t, "a repair that is counted", func() error { // one that comes with a change of what is wanted is not
		g.ns.Run("nft", "delete", "table", "inet", firewall.IngressTable)
		waitFor(t, "the filter again", stands)
		if now := g.counted(t, "tombolo_gateway_repairs_total", "part", string(partIngress)); now <= told {
			return errors.New("none was")
		}
		return nil
	})
}

// Cleanup removes what gateways make and nothing that looks like it.
func TestCleanup(t *testing.T) { with(t, testCleanup, kernelKinds, userspaceKinds) }

func testCleanup(t *testing.T, k kinds) {
	c := startClusters(t, k)
	g := c.west1
	foreign := [][]string{
		{"ip", "link", "add", "tombolo-x", "type", "wireguard"},
		{"ip", "link", "add", "tombolo3", "type", "dummy"},
		{"ip", "link", "add", "wg0", "type", "wireguard"},
		{"ip", "route", "add", "198.51.100.0/24", "dev", "eth0", "table", "7473"},
		{"ip", "route", "add", "203.0.113.0/24", "dev", "eth0", "proto", "147"},
		{"ip", "rule", "add", "priority", "7473", "to", "198.51.100.0/24", "lookup", "7473"},
		{"ip", "rule", "add", "priority", "7472", "lookup", "7473", "proto", "147"},
	}
	for _, args := range foreign {
		g.ns.Run(args[0], args[1:]...)
	}
	g.stop()
	if err := Cleanup(t.Context(), kernelOf(g.ns), g.key); err != nil {
		t.Fatal(err)
	}
	var links []struct{ Ifname string }
	g.ipJSON(t, &links, "link")
	var names []string
	for _, l := range links {
		if strings.HasPrefix(l.Ifname, "tombolo") || l.Ifname == "wg0" {
			names = append(names, l.Ifname)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"tombolo-x", "tombolo3", "wg0"}, names); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"unicast 198.51.100.0/24 0 eth0"}, g.routes(t)); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if got := g.ns.Run("ip", "route", "show", "proto", "147"); !strings.Contains(got, "203.0.113.0/24") {
		t.Errorf("a route of another table is gone: %q", got)
	}
	if got := strings.Count(g.ns.Run("ip", "rule"), "7473"); got != 3 {
		t.Errorf("rules are\n%s", g.ns.Run("ip", "rule"))
	}
	if err := Cleanup(t.Context(), kernelOf(g.ns), g.key); err != nil {
		t.Errorf("cleaning up twice: %v", err)
	}
}
