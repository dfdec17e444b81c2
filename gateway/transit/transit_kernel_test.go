//go:build kernel

package transit

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// crossing is a pod of west's whose packets go to east by one gateway and come back by the other,
// and a pod on the first gateway. The names of the devices are those of the VXLAN and the tunnels;
// by its main table a gateway would send to the pod over the underlay.
//
//	           ,- tombolo-vx first  tombolo0 -.
//	pod 10.2.1.5                               east 10.1.0.5
//	           `- tombolo-vx second tombolo0 -'
type crossing struct{ pod, first, second, east, local *netns.Namespace }

func newCrossing(t *testing.T) crossing {
	c := crossing{pod: netns.New(t), first: netns.New(t), second: netns.New(t), east: netns.New(t), local: netns.New(t)}
	c.pod.Address("lo", "10.2.1.5/32")
	c.pod.Address("lo", "fd02::5/128")
	c.east.Address("lo", "10.1.0.5/32")
	c.east.Address("lo", "fd01::5/128")
	for i, g := range []*netns.Namespace{c.first, c.second} {
		name := fmt.Sprintf("gw%d", i)
		g.Join("tombolo-vx", fmt.Sprintf("192.0.2.%d/31", 4*i), c.pod, name, fmt.Sprintf("192.0.2.%d/31", 4*i+1))
		g.Join("tombolo0", fmt.Sprintf("192.0.2.%d/31", 4*i+2), c.east, name, fmt.Sprintf("192.0.2.%d/31", 4*i+3))
		g.Join("eth0", fmt.Sprintf("198.51.100.%d/31", 2*i), c.pod, fmt.Sprintf("eth%d", i), fmt.Sprintf("198.51.100.%d/31", 2*i+1))
		for device, ends := range map[string][2]string{"tombolo-vx": {"fe80::1", "fe80::2"}, "tombolo0": {"fe80::3", "fe80::4"}} {
			g.Address(device, ends[0]+"/64")
			map[string]*netns.Namespace{"tombolo-vx": c.pod, "tombolo0": c.east}[device].Address(name, ends[1]+"/64")
		}
		g.Run("ip", "route", "add", "10.2.1.0/24", "via", fmt.Sprintf("198.51.100.%d", 2*i+1), "dev", "eth0")
		g.Run("ip", "-6", "route", "add", "fd02::/64", "dev", "eth0")
		g.Run("ip", "route", "add", "10.2.1.0/24", "via", fmt.Sprintf("192.0.2.%d", 4*i+1), "dev", "tombolo-vx", "table", "7475")
		g.Run("ip", "-6", "route", "add", "fd02::/64", "via", "fe80::2", "dev", "tombolo-vx", "table", "7475")
		g.Run("ip", "route", "add", "10.1.0.0/16", "via", fmt.Sprintf("192.0.2.%d", 4*i+3), "dev", "tombolo0", "table", "7473")
		g.Run("ip", "-6", "route", "add", "fd01::/64", "via", "fe80::4", "dev", "tombolo0", "table", "7473")
		for _, f := range []struct{ flag, remote string }{{"-4", "10.1.0.0/16"}, {"-6", "fd01::/64"}} {
			g.Run("ip", f.flag, "rule", "add", "pref", "7473", "lookup", "7473")
			g.Run("ip", f.flag, "rule", "add", "pref", "7475", "from", f.remote, "lookup", "7475")
		}
	}
	c.pod.Run("ip", "route", "add", "10.1.0.0/16", "via", "192.0.2.0", "src", "10.2.1.5")
	c.pod.Run("ip", "-6", "route", "add", "fd01::/64", "via", "fe80::1", "dev", "gw0", "src", "fd02::5")
	c.east.Run("ip", "route", "add", "10.2.0.0/16", "via", "192.0.2.6", "src", "10.1.0.5")
	c.east.Run("ip", "-6", "route", "add", "fd02::/64", "via", "fe80::3", "dev", "gw1", "src", "fd01::5")
	c.addLocalPod()
	c.east.Serve("east", 8080)
	c.pod.Serve("pod", 8080)
	return c
}

// addLocalPod gives the first gateway a pod of its own, which has a virtual service.
func (c crossing) addLocalPod() {
	c.first.Join("pod0", "10.2.2.1/24", c.local, "eth0", "10.2.2.5/24")
	c.local.Route("0.0.0.0/0", "10.2.2.1")
	c.east.Run("ip", "route", "add", "10.2.2.0/24", "via", "192.0.2.2", "src", "10.1.0.5")
	c.first.Run("nft", "add table ip vips; add chain ip vips pre { type nat hook prerouting priority dstnat; };"+
		"add rule ip vips pre ip daddr 244.0.0.1 dnat to 10.1.0.5")
}

// exchange tries all protocols from the pod to east at once, and returns what did not work.
func (c crossing) exchange() (lost []string) {
	results := make(chan string)
	tried := 0
	try := func(name string, works func() bool) {
		tried++
		go func() {
			if works() {
				name = ""
			}
			results <- name
		}()
	}
	for _, to := range []struct{ address, host, sctp string }{{"10.1.0.5", "10.1.0.5", "SCTP4"}, {"fd01::5", "[fd01::5]", "SCTP6"}} {
		for _, network := range []string{"tcp", "udp"} {
			try(network+" "+to.address, func() bool {
				answer, err := c.pod.Ask(network, to.host+":8080")
				return err == nil && strings.HasPrefix(answer, "east ")
			})
		}
		try("icmp "+to.address, func() bool {
			_, err := c.pod.Try("busybox", "ping", "-c", "1", "-W", "3", to.address)
			return err == nil
		})
		try("sctp "+to.address, func() bool {
			out, err := c.pod.Try("timeout", "4", "socat", "-u", to.sctp+"-CONNECT:"+to.host+":8081,connect-timeout=3", "STDOUT")
			return err == nil && strings.Contains(out, "east by sctp")
		})
	}
	for range tried {
		if name := <-results; name != "" {
			lost = append(lost, name)
		}
	}
	return lost
}

// serveSCTP answers SCTP in both families from now on.
func (c crossing) serveSCTP(t *testing.T) {
	for _, listen := range []string{"SCTP4-LISTEN:8081,fork,reuseaddr", "SCTP6-LISTEN:8081,fork,reuseaddr,ipv6only=1"} {
		c.east.Start("socat", "-U", listen, "SYSTEM:echo east by sctp")
	}
	for range 200 {
		if strings.Count(c.east.Run("ss", "-SlnH"), ":8081") == 2 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("nobody listens for SCTP")
}

// kubeProxy drops what connection tracking calls invalid, as kube-proxy's KUBE-FORWARD does.
var kubeProxy = []struct {
	name, add, remove string
}{
	{"iptables-nft", "for i in iptables-nft ip6tables-nft; do $i -A FORWARD -m conntrack --ctstate INVALID -j DROP; done",
		"for i in iptables-nft ip6tables-nft; do $i -F FORWARD; done"},
	{"iptables-legacy", "for i in iptables-legacy ip6tables-legacy; do $i -A FORWARD -m conntrack --ctstate INVALID -j DROP; done",
		"for i in iptables-legacy ip6tables-legacy; do $i -F FORWARD; done"},
	{"nftables", "nft 'add table inet kube; add chain inet kube f { type filter hook forward priority 0; }; add rule inet kube f ct state invalid drop'",
		"nft delete table inet kube"},
}

// TestAnswerByTheOtherGateway: what one gateway forwards and the other one answers passes both,
// whoever drops invalid packets there; neither gateway tracks it. Without the table it is lost.
func TestAnswerByTheOtherGateway(t *testing.T) {
	c := newCrossing(t)
	c.serveSCTP(t)
	if lost := c.exchange(); len(lost) > 0 {
		t.Fatalf("before anything drops invalid packets: lost %v", lost)
	}
	for _, proxy := range kubeProxy {
		for _, g := range c.gateways() {
			g.Run("sh", "-c", proxy.add)
		}
		lost := strings.Join(c.exchange(), " ")
		for _, want := range []string{"tcp 10.1.0.5", "icmp 10.1.0.5", "sctp 10.1.0.5", "tcp fd01::5", "icmp fd01::5", "sctp fd01::5"} {
			if !strings.Contains(lost, want) {
				t.Errorf("%s without the table: lost %s, want %s among it", proxy.name, lost, want)
			}
		}
		tables := c.write(t, Table(wireguard.Config{}, 7472))
		if lost := c.exchange(); len(lost) > 0 {
			t.Errorf("%s with the table: lost %v", proxy.name, lost)
		}
		for i, g := range c.gateways() {
			if flows := tracked(g); len(flows) > 0 {
				t.Errorf("%s: gateway %d tracks what passes: %v", proxy.name, i, flows)
			}
		}
		for i, g := range c.gateways() {
			g.Run("sh", "-c", proxy.remove)
			sync(t, g, tables[i], firewall.Config{})
			g.Run("conntrack", "-F")
		}
	}
}

// TestOwnPodsStayTracked: what goes to and comes from the gateway node's own pods is tracked, so
// that the translation of a virtual address is undone.
func TestOwnPodsStayTracked(t *testing.T) {
	c := newCrossing(t)
	c.write(t, Table(wireguard.Config{}, 7472))
	if answer, err := c.local.Ask("tcp", "244.0.0.1:8080"); err != nil || answer != "east 10.2.2.5" {
		t.Errorf("the gateway's own pod by a virtual address: %q, %v", answer, err)
	}
	if flows := tracked(c.first); len(flows) != 1 || !strings.Contains(flows[0], "dst=244.0.0.1") {
		t.Errorf("tracked: %v, want the flow of the gateway's own pod", flows)
	}
}

func (c crossing) gateways() []*netns.Namespace { return []*netns.Namespace{c.first, c.second} }

// write gives both gateways the table.
func (c crossing) write(t *testing.T, want firewall.Config) (tables []*firewall.Table) {
	for _, g := range c.gateways() {
		table := firewall.New(firewall.GatewayTable)
		sync(t, g, table, want)
		g.Run("conntrack", "-F")
		tables = append(tables, table)
	}
	return tables
}

func sync(t *testing.T, g *netns.Namespace, table *firewall.Table, want firewall.Config) {
	t.Helper()
	g.Do(func() {
		if _, err := table.Sync(context.WithoutCancel(t.Context()), want); err != nil {
			t.Fatal(err)
		}
	})
}

// tracked are the flows of pods that conntrack lists.
func tracked(g *netns.Namespace) (flows []string) {
	for _, family := range []string{"ipv4", "ipv6"} {
		for line := range strings.Lines(g.Run("conntrack", "-L", "-f", family)) {
			if strings.Contains(line, "10.2.") || strings.Contains(line, "fd02:") {
				flows = append(flows, strings.TrimSpace(line))
			}
		}
	}
	return flows
}
