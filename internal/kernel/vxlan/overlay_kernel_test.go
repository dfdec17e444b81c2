//go:build kernel

package vxlan

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// overlay is what a node wants: the device, and the routes and rules that lead over it.
type overlay struct {
	Config
	Routes []route.Route
	Rules  []route.Rule
}

func (o overlay) routes() route.Config { return route.Config{Routes: o.Routes, Rules: o.Rules} }

// syncAll makes the namespace match want and returns how many objects it changed.
func syncAll(t *testing.T, want overlay) (changed int, err error) {
	device, err := Sync(t.Context(), want.Config, Name)
	if err != nil {
		return 0, err
	}
	routes, err := route.DataplaneOwner().Sync(t.Context(), want.routes())
	return device.Size() + routes.Size(), err
}

// sync makes the namespace match want, and checks that a second pass has nothing to do.
func sync(t *testing.T, node *netns.Namespace, want overlay) {
	t.Helper()
	node.Do(func() {
		if _, err := syncAll(t, want); err != nil {
			t.Fatalf("Sync: %v", err)
		}
		if again, err := syncAll(t, want); err != nil || again != 0 {
			t.Fatalf("second Sync changes %d objects, %v", again, err)
		}
		have, err := Read(t.Context(), Name)
		have.Devices = heeded(have.Devices, want.Devices)
		if diff := cmp.Diff(sorted(want.Config), have, compareAddresses); err != nil || diff != "" {
			t.Fatalf("Read: %v, (-want +got)\n%s", err, diff)
		}
		routes, err := route.DataplaneOwner().Read(t.Context())
		if change := route.Diff(routes, want.routes()); err != nil || !change.Empty() {
			t.Fatalf("Read: %v, differs by %+v", err, change)
		}
	})
}

// cluster is a worker with a pod, and a gateway with a way to a remote pod, all of them with strict
// rp_filter:
//
//	pod 10.2.1.5, fd02:1::5 - worker 192.0.2.1, fd99::1 = gateway 192.0.2.2, fd99::2 - remote 10.1.0.5, fd01::5
type cluster struct{ pod, worker, gateway, remote *netns.Namespace }

func newCluster(t *testing.T) cluster {
	c := cluster{pod: netns.New(t), worker: netns.New(t), gateway: netns.New(t), remote: netns.New(t)}
	for _, node := range []*netns.Namespace{c.worker, c.gateway} {
		node.Sysctl("net/ipv4/conf/all/rp_filter", "1")
		node.Sysctl("net/ipv4/conf/default/rp_filter", "1")
	}
	c.worker.Join("eth0", "192.0.2.1/24", c.gateway, "eth0", "192.0.2.2/24")
	c.worker.Join("pod0", "10.2.1.1/24", c.pod, "eth0", "10.2.1.5/24")
	c.gateway.Join("link0", "10.1.0.1/16", c.remote, "eth0", "10.1.0.5/16")
	c.pod.Route("0.0.0.0/0", "10.2.1.1")
	c.remote.Route("0.0.0.0/0", "10.1.0.1")
	c.worker.Address("eth0", "fd99::1/64")
	c.gateway.Address("eth0", "fd99::2/64")
	c.worker.Address("pod0", "fd02:1::1/64")
	c.pod.Address("eth0", "fd02:1::5/64")
	c.gateway.Address("link0", "fd01::1/64")
	c.remote.Address("eth0", "fd01::5/64")
	c.pod.Route("::/0", "fd02:1::1")
	c.remote.Route("::/0", "fd01::1")
	// What a CNI or a cloud would not know: a default route out in clear.
	c.worker.Route("0.0.0.0/0", "192.0.2.2")
	c.remote.Serve("remote", 80)
	return c
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// linkLocal is the IPv6 address that stands for a node on the VXLAN.
func linkLocal(node string) netip.Addr { return addr(fmt.Sprintf("fe80::%x", node[0])) }

func hop(gateway netip.Addr) []route.NextHop {
	return []route.NextHop{{Link: Name, Gateway: gateway, OnLink: true}}
}

func workerOverlay() overlay {
	return overlay{
		Config: Config{
			Devices:    []Device{{Name: Name, ID: 7473, Port: 7473, Local: addr("192.0.2.1"), MTU: 1450, MAC: mac("worker")}},
			Neighbours: []Neighbour{{Name, addr("192.0.2.2"), mac("gateway")}, {Name, linkLocal("gateway"), mac("gateway")}},
			Forwards:   []Forward{{Name, mac("gateway"), addr("192.0.2.2")}},
		},
		Routes: []route.Route{
			{Key: route.Key{Table: route.TableLocal, Destination: prefix("244.0.0.0/16"), Metric: route.Metric}, Type: route.Local, Source: addr("192.0.2.1")},
			{Key: route.Key{Table: route.TableLocal, Destination: prefix("fd77::/112"), Metric: route.Metric}, Type: route.Local, Source: addr("fd99::1")},
			{Key: route.Key{Table: route.TableFallback, Destination: prefix("10.1.0.0/16"), Metric: route.Metric}, Type: route.Unreachable},
			{Key: route.Key{Table: route.TableFallback, Destination: prefix("fd01::/64"), Metric: route.Metric}, Type: route.Unreachable},
			{Key: route.Key{Table: route.TableRemote, Destination: prefix("10.1.0.0/16"), Metric: route.Metric}, Type: route.Unicast, Hops: hop(addr("192.0.2.2")), MTU: 1420},
			{Key: route.Key{Table: route.TableRemote, Destination: prefix("fd01::/64"), Metric: route.Metric}, Type: route.Unicast, Hops: hop(linkLocal("gateway")), MTU: 1420},
			{Key: route.Key{Table: route.TableLocal, Destination: prefix("245.0.32.64/32"), Metric: route.MetricTransit}, Type: route.Local},
			{Key: route.Key{Table: route.TableLocal, Destination: prefix("fd5f:1:2:2::40/128"), Metric: route.MetricTransit}, Type: route.Local},
		},
		Rules: []route.Rule{
			{Table: route.TableFallback, Priority: route.PriorityFallback}, {Table: route.TableFallback, Priority: route.PriorityFallback, IPv6: true},
			{Table: route.TableRemote, Priority: route.TableRemote}, {Table: route.TableRemote, Priority: route.TableRemote, IPv6: true},
		},
	}
}

func gatewayOverlay() overlay {
	return overlay{
		Config: Config{
			Devices:    []Device{{Name: Name, ID: 7473, Port: 7473, Local: addr("192.0.2.2"), MTU: 1450, MAC: mac("gateway"), RPFilter: rtnl.RPFilterLoose}},
			Addresses:  []Address{{Name, addr("245.0.32.0")}},
			Neighbours: []Neighbour{{Name, addr("192.0.2.1"), mac("worker")}, {Name, linkLocal("worker"), mac("worker")}},
			Forwards:   []Forward{{Name, mac("worker"), addr("192.0.2.1")}},
		},
		Routes: []route.Route{
			{Key: route.Key{Table: route.TableNodes, Destination: prefix("10.2.1.0/24"), Metric: route.Metric}, Type: route.Unicast, Hops: hop(addr("192.0.2.1"))},
			{Key: route.Key{Table: route.TableNodes, Destination: prefix("fd02:1::/64"), Metric: route.Metric}, Type: route.Unicast, Hops: hop(linkLocal("worker"))},
			{Key: route.Key{Table: route.TableNodes, Destination: prefix("245.0.32.64/32"), Metric: route.Metric}, Type: route.Unicast, Hops: hop(addr("192.0.2.1"))},
			{Key: route.Key{Table: route.TableNodes, Destination: prefix("245.0.32.0/20"), Metric: route.Metric}, Type: route.Unreachable},
		},
		Rules: []route.Rule{
			{Table: route.TableNodes, Priority: route.TableNodes, From: prefix("10.1.0.0/16")},
			{Table: route.TableNodes, Priority: route.TableNodes, IPv6: true, From: prefix("fd01::/64")},
		},
	}
}

func TestTraffic(t *testing.T) {
	c := newCluster(t)
	sync(t, c.worker, workerOverlay())
	sync(t, c.gateway, gatewayOverlay())
	for _, network := range []string{"tcp", "udp"} {
		if answer, err := c.pod.Ask(network, "10.1.0.5:80"); err != nil || answer != "remote 10.2.1.5" {
			t.Errorf("%s: %q, %v", network, answer, err)
		}
		if answer, err := c.pod.Ask(network, "[fd01::5]:80"); err != nil || answer != "remote fd02:1::5" {
			t.Errorf("%s, IPv6: %q, %v", network, answer, err)
		}
	}
	for _, node := range []*netns.Namespace{c.worker, c.gateway} {
		if packets := deviceCounters(t, node); packets.Rx == 0 || packets.Tx == 0 {
			t.Errorf("the packets did not take the VXLAN: %+v", packets)
		}
	}

	// Without a gateway nothing leaves, though there is a default route.
	alone := workerOverlay()
	alone.Neighbours, alone.Forwards, alone.Routes, alone.Rules = nil, nil, alone.Routes[:4], alone.Rules[:2]
	sync(t, c.worker, alone)
	if answer, err := c.pod.Ask("tcp", "10.1.0.5:80"); !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("without a gateway: %q, %v, want no route to host", answer, err)
	}
}

type counters struct{ Rx, Tx int }

func deviceCounters(t *testing.T, node *netns.Namespace) counters {
	t.Helper()
	var links []struct {
		Stats64 struct{ Rx, Tx struct{ Packets int } }
	}
	if err := json.Unmarshal([]byte(node.Run("ip", "-j", "-s", "link", "show", Name)), &links); err != nil {
		t.Fatal(err)
	}
	return counters{links[0].Stats64.Rx.Packets, links[0].Stats64.Tx.Packets}
}

// everything is what `ip` says of the namespace's rules, routes, devices and neighbours.
func everything(node *netns.Namespace) string {
	var b strings.Builder
	for _, args := range []string{
		"-4 rule", "-6 rule", "-4 route show table all", "-6 route show table all", "-br link", "-br address", "neigh show nud permanent",
	} {
		b.WriteString(node.Run("ip", strings.Fields(args)...))
	}
	return b.String()
}

func TestKernelHoldsWhatIsWanted(t *testing.T) {
	c := newCluster(t)
	sync(t, c.worker, workerOverlay())
	got := everything(c.worker)
	for _, line := range []string{
		"7474:\tfrom all lookup 7474 proto 148",
		"32000:\tfrom all lookup 7476 proto 148",
		"local 244.0.0.0/16 dev lo table local proto 148 scope host src 192.0.2.1 metric 1024",
		"10.1.0.0/16 via 192.0.2.2 dev tombolo-vx table 7474 proto 148 metric 1024 onlink mtu 1420",
		"local 245.0.32.64 dev lo table local proto 148 scope host metric 1025",
		"local fd5f:1:2:2::40 dev lo table local proto 148 metric 1025",
		"unreachable 10.1.0.0/16 table 7476 proto 148 metric 1024",
		"fd01::/64 via " + linkLocal("gateway").String() + " dev tombolo-vx table 7474 proto 148 metric 1024 onlink mtu 1420",
		"192.0.2.2 dev tombolo-vx lladdr " + mac("gateway").String() + " PERMANENT",
	} {
		if !strings.Contains(squeeze(got), line) {
			t.Errorf("ip does not say %q, but\n%s", line, squeeze(got))
		}
	}
	if addresses := c.worker.Run("ip", "-br", "address", "show", "dev", Name); strings.Contains(addresses, "/") {
		t.Errorf("the device has addresses: %s", addresses)
	}
	sync(t, c.gateway, gatewayOverlay())
	if addresses := c.gateway.Run("ip", "-o", "address", "show", "dev", Name); !strings.Contains(addresses, "inet 245.0.32.0/32 scope host") || strings.Contains(addresses, "inet6") {
		t.Errorf("the gateway's device has the addresses: %s", addresses)
	}
	if value := c.gateway.Run("cat", "/proc/sys/net/ipv4/conf/"+Name+"/rp_filter"); value != "2\n" {
		t.Errorf("rp_filter of the gateway's device: %s", value)
	}
}

func squeeze(s string) string {
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return strings.ReplaceAll(s, " \n", "\n")
}

func TestNothingForeignIsTouched(t *testing.T) {
	c := newCluster(t)
	// A route of ours by its table but not by its protocol, the other way round, and rules alike.
	for _, args := range []string{
		"route add 203.0.113.0/24 via 192.0.2.2 table 7474 proto static",
		"route add 198.51.100.0/24 via 192.0.2.2 table 99 proto 148",
		"route add local 203.0.113.7 dev lo table local",
		"rule add pref 7000 lookup 7474",
		"rule add pref 7001 lookup 99 protocol 148",
	} {
		c.worker.Run("ip", strings.Fields(args)...)
	}
	before := everything(c.worker)
	sync(t, c.worker, workerOverlay())
	if everything(c.worker) == before {
		t.Fatal("nothing was programmed")
	}
	sync(t, c.worker, overlay{})
	if diff := cmp.Diff(before, everything(c.worker)); diff != "" {
		t.Errorf("after the clean-up (-before +after)\n%s", diff)
	}
}

func TestRepair(t *testing.T) {
	tests := []struct{ name, damage string }{
		{"device deleted", "link del tombolo-vx"},
		{"device down", "link set tombolo-vx down"},
		{"device MTU", "link set tombolo-vx mtu 1300"},
		{"route deleted", "route del 10.1.0.0/16 table 7474"},
		{"route changed", "route replace 10.1.0.0/16 via 192.0.2.9 dev tombolo-vx onlink table 7474 proto 148 metric 1024"},
		{"other device", "route replace 10.1.0.0/16 via 192.0.2.2 dev eth0 table 7474 proto 148 metric 1024"},
		{"route added", "route add 10.9.0.0/16 via 192.0.2.2 dev tombolo-vx onlink table 7474 proto 148"},
		{"fallback deleted", "route del unreachable 10.1.0.0/16 table 7476"},
		{"local deleted", "route del local 244.0.0.0/16 table local"},
		{"transit deleted", "route del local 245.0.32.64 table local"},
		{"rule deleted", "rule del pref 7474"},
		{"rule added", "rule add pref 7400 lookup 7474 protocol 148"},
		{"neighbour deleted", "neigh del 192.0.2.2 dev tombolo-vx"},
		{"neighbour changed", "neigh replace 192.0.2.2 lladdr 02:00:00:00:00:01 dev tombolo-vx nud permanent"},
		{"IPv6 route deleted", "-6 route del fd01::/64 table 7474"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			c := newCluster(t)
			sync(t, c.worker, workerOverlay())
			c.worker.Run("ip", strings.Fields(tc.damage)...)
			c.worker.Do(func() {
				if changed, err := syncAll(t, workerOverlay()); err != nil || changed == 0 {
					t.Errorf("the damage did not show: %d, %v", changed, err)
				}
			})
			sync(t, c.worker, workerOverlay())
		})
	}
}

// TestRepairOfAGateway: a gateway's device has an address and an rp_filter of its own.
func TestRepairOfAGateway(t *testing.T) {
	for _, damage := range []string{
		"ip address del 245.0.32.0/32 dev tombolo-vx", "ip address add 245.0.32.9/32 dev tombolo-vx",
		"sysctl -qw net.ipv4.conf.tombolo-vx.rp_filter=1", "ip link del tombolo-vx",
	} {
		t.Run(damage, func(t *testing.T) {
			c := newCluster(t)
			sync(t, c.gateway, gatewayOverlay())
			args := strings.Fields(damage)
			c.gateway.Run(args[0], args[1:]...)
			c.gateway.Do(func() {
				if changed, err := syncAll(t, gatewayOverlay()); err != nil || changed == 0 {
					t.Errorf("the damage did not show: %d, %v", changed, err)
				}
			})
			sync(t, c.gateway, gatewayOverlay())
		})
	}
}

func TestChangesOfTheDevice(t *testing.T) {
	c := newCluster(t)
	sync(t, c.worker, workerOverlay())
	tests := []struct {
		name string
		edit func(*Device)
	}{
		{"MTU", func(v *Device) { v.MTU = 1400 }},
		{"VNI", func(v *Device) { v.ID = 9 }},
		{"port", func(v *Device) { v.Port = 4789 }},
		{"IPv6", func(v *Device) { v.Local, v.MTU = addr("fd99::1"), 1430 }},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			want := workerOverlay()
			tc.edit(&want.Devices[0])
			if want.Devices[0].Local.Is6() {
				want.Forwards[0].Underlay = addr("fd99::2")
			}
			sync(t, c.worker, want)
		})
	}
}

func TestForeignDevice(t *testing.T) {
	node := netns.New(t)
	node.Run("ip", "link", "add", Name, "type", "dummy")
	node.Do(func() {
		_, err := syncAll(t, workerOverlay())
		if err == nil || !strings.Contains(err.Error(), "remove or rename") {
			t.Errorf("Sync: %v", err)
		}
	})
	if link := node.Run("ip", "-d", "link", "show", Name); !strings.Contains(link, "dummy") {
		t.Errorf("the foreign device: %s", link)
	}
}

// When a gateway becomes a worker, the device loses the tunnel address. Its routes stay all the
// while: one that is not ours shows it, since nobody would set it again. So does the anchor.
func TestAddressGoes(t *testing.T) {
	node := netns.New(t)
	node.Address("lo", "192.0.2.1/32")
	node.Address("lo", "fd99::1/128")
	gateway := workerOverlay()
	gateway.Addresses = []Address{{Name, Anchor()}, {Name, addr("245.0.32.0")}}
	sync(t, node, gateway)
	node.Run("ip", "route", "add", "198.51.100.0/24", "dev", Name)
	for _, changes := range []int{1, 0} {
		node.Do(func() {
			if changed, err := syncAll(t, workerOverlay()); err != nil || changed != changes {
				t.Errorf("Sync changes %d objects, want %d: %v", changed, changes, err)
			}
		})
	}
	if out := node.Run("ip", "route", "show", "dev", Name); !strings.Contains(out, "198.51.100.0/24") {
		t.Errorf("ip route show: %q lacks what was there before", out)
	}
	if out := node.Run("ip", "-4", "address", "show", "dev", Name); !strings.Contains(out, Anchor().String()) || strings.Contains(out, "245.0.32.0") {
		t.Errorf("ip address show: %q, want %s only", out, Anchor())
	}
}
