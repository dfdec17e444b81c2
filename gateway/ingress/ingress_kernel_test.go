//go:build kernel

package ingress

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// site is a gateway of west between a host of east, which may send what it likes, and a pod, and
// a host that is neither's. The device has the name of a tunnel: what WireGuard would refuse comes
// through, too.
//
//	                  tombolo0          ,- pod 10.2.1.5, fd02::5
//	east 10.1.0.5, fd01::5 - gateway --<
//	                         192.0.2.21 `- third 203.0.113.9, fd99::9
type site struct{ east, gateway, pod, third *netns.Namespace }

func newSite(t testing.TB) site {
	s := site{east: netns.New(t), gateway: netns.New(t), pod: netns.New(t), third: netns.New(t)}
	for i, end := range []struct {
		ns        *netns.Namespace
		device    string
		addresses []string
	}{
		{s.east, "tombolo0", []string{"10.1.0.5/32", "fd01::5/128"}}, {s.pod, "pod0", []string{"10.2.1.5/32", "fd02::5/128"}},
		{s.third, "eth0", []string{"203.0.113.9/32", "fd99::9/128"}},
	} {
		s.gateway.Join(end.device, fmt.Sprintf("198.51.100.%d/31", 2*i), end.ns, "up0", fmt.Sprintf("198.51.100.%d/31", 2*i+1))
		s.gateway.Address(end.device, fmt.Sprintf("fe80::%d/64", 2*i+1))
		end.ns.Address("up0", fmt.Sprintf("fe80::%d/64", 2*i+2))
		for _, a := range end.addresses {
			end.ns.Address("lo", a)
		}
		source4, source6 := strings.Split(end.addresses[0], "/")[0], strings.Split(end.addresses[1], "/")[0]
		end.ns.Run("ip", "route", "add", "default", "via", fmt.Sprintf("198.51.100.%d", 2*i), "src", source4)
		end.ns.Run("ip", "-6", "route", "add", "default", "via", fmt.Sprintf("fe80::%d", 2*i+1), "dev", "up0", "src", source6)
		s.gateway.Run("ip", "route", "add", source4, "via", fmt.Sprintf("198.51.100.%d", 2*i+1))
		s.gateway.Run("ip", "-6", "route", "add", source6, "via", fmt.Sprintf("fe80::%d", 2*i+2), "dev", end.device)
	}
	for _, a := range []string{"192.0.2.21/32", "245.0.32.0/32", "fd98::21/128", "fd5f:1:2:2::/128"} {
		s.gateway.Address("lo", a)
	}
	s.gateway.Run("ip", "route", "add", "10.3.0.0/16", "dev", "tombolo0")
	for _, name := range []string{"all", "default", "tombolo0"} {
		s.gateway.Sysctl("net/ipv4/conf/"+name+"/rp_filter", "0")
	}
	for ns, name := range map[*netns.Namespace]string{s.pod: "pod", s.east: "east"} {
		ns.Start("socat", "-U", "SCTP4-LISTEN:8080,fork,reuseaddr", "SYSTEM:echo "+name)
		ns.Start("socat", "-U", "SCTP6-LISTEN:8080,fork,reuseaddr,ipv6only=1", "SYSTEM:echo "+name)
	}
	s.pod.Start("socat", "-U", "SCTP4-LISTEN:9090,fork,reuseaddr", "SYSTEM:echo closed")
	s.east.Serve("east", 8080)
	s.east.Serve("east", 8088)
	s.pod.Serve("pod", 8080)
	for _, ns := range []*netns.Namespace{s.pod, s.gateway, s.third} {
		ns.Serve("closed", 9090)
	}
	for _, ns := range []*netns.Namespace{s.pod, s.gateway} {
		ns.Run("nft", "add table inet seen; add chain inet seen in { type filter hook input priority 0; }")
	}
	return s
}

// input is what the gateway knows: the pod serves port 8080, and east ports 8080 and 8087.
func input() Input {
	in := Input{Probes: 7472}
	for _, p := range []string{"10.2.0.0/18", "192.0.2.0/24", "245.0.32.0/20", "fd02::/49", "fd98::/64", "fd5f:1:2:2::/64"} {
		in.CIDRs = append(in.CIDRs, netip.MustParsePrefix(p))
	}
	for _, a := range []string{"245.0.32.0", "fd5f:1:2:2::"} {
		in.Tunnel = append(in.Tunnel, netip.MustParseAddr(a))
	}
	for _, a := range []string{"192.0.2.21", "fd98::21"} {
		in.Nodes = append(in.Nodes, netip.MustParseAddr(a))
	}
	in.Senders = []Sender{
		{Cluster: "east", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd01::/48"), netip.MustParsePrefix("245.0.16.0/20")}},
		{Cluster: "0north.example", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.4.0.0/16")}},
	}
	in.Endpoints = endpointSets(map[setFor][]serviceport.Key{{"exported", ""}: podPorts(), {"imported", ""}: eastPorts()})
	return in
}

// podPorts are those of the pod, and eastPorts those of east.
func podPorts() []serviceport.Key { return everyProtocol("10.2.1.5:8080", "[fd02::5]:8080") }

func eastPorts() []serviceport.Key {
	return everyProtocol("10.1.0.5:8080", "10.1.0.5:8087", "[fd01::5]:8080", "[fd01::5]:8087")
}

func everyProtocol(ports ...string) (all []serviceport.Key) {
	for _, p := range serviceport.Protocols() {
		for _, port := range ports {
			all = append(all, key(port, p))
		}
	}
	return all
}

// attempt is something that somebody tries; do tells whether it had success.
type attempt struct {
	name string
	do   func(s site) bool
}

// asks asks a server that Serve has made.
func asks(name string, who func(site) *netns.Namespace, network, address, want string) attempt {
	return attempt{name + " " + network + " " + address, func(s site) bool {
		answer, err := who(s).Ask(network, address)
		return err == nil && strings.HasPrefix(answer, want)
	}}
}

// runs has success if the command has, and prints want.
func runs(name string, who func(site) *netns.Namespace, want string, command ...string) attempt {
	return attempt{name, func(s site) bool {
		out, err := who(s).Try(command[0], command[1:]...)
		return err == nil && strings.Contains(out, want)
	}}
}

// seen has success if somebody has received a packet that the rule matches.
func seen(name string, who func(site) *netns.Namespace, rule, script string) attempt {
	name += ": " + script
	return attempt{name, func(s site) bool {
		counter := fmt.Sprintf("c%d", time.Now().UnixNano())
		who(s).Run("nft", "add counter inet seen "+counter+"; add rule inet seen in "+rule+" counter name "+counter)
		_, _ = s.east.Try("sh", "-c", script)
		return !strings.Contains(who(s).Run("nft", "list counter inet seen "+counter), "packets 0 ")
	}}
}

func east(s site) *netns.Namespace    { return s.east }
func pod(s site) *netns.Namespace     { return s.pod }
func gateway(s site) *netns.Namespace { return s.gateway }

// honest is what must pass.
func honest() []attempt {
	all := []attempt{
		runs("ping from east", east, ", 0% packet loss", "busybox", "ping", "-c", "1", "-W", "2", "10.2.1.5"),
		runs("ping from the pod", pod, ", 0% packet loss", "busybox", "ping", "-c", "1", "-W", "2", "10.1.0.5"),
		runs("ping in IPv6", east, ", 0% packet loss", "busybox", "ping", "-6", "-c", "1", "-W", "2", "fd02::5"),
		runs("fragments of an echo", east, ", 0% packet loss", "busybox", "ping", "-c", "1", "-W", "2", "-s", "4000", "10.2.1.5"),
		runs("fragments of UDP", east, "pod 10.1.0.5", "sh", "-c", "head -c 3000 /dev/zero | timeout 20 socat -t 4 - UDP4:10.2.1.5:8080"),
		runs("fragments of UDP in IPv6", east, "pod fd01::5", "sh", "-c", "head -c 3000 /dev/zero | timeout 20 socat -t 4 - UDP6:[fd02::5]:8080"),
		runs("SCTP from east", east, "pod", sctp("SCTP4-CONNECT:10.2.1.5:8080")...), runs("SCTP from east in IPv6", east, "pod", sctp("SCTP6-CONNECT:[fd02::5]:8080")...),
		runs("SCTP from the pod", pod, "east", sctp("SCTP4-CONNECT:10.1.0.5:8080")...), runs("SCTP from the pod in IPv6", pod, "east", sctp("SCTP6-CONNECT:[fd01::5]:8080")...),
		{"port unreachable in IPv4", refused("10.1.0.5:8087")},
		{"port unreachable in IPv6", refused("[fd01::5]:8087")},
	}
	for _, network := range []string{"tcp", "udp"} {
		for _, address := range []string{"10.2.1.5", "[fd02::5]"} {
			all = append(all, asks("east to an endpoint", east, network, address+":8080", "pod"))
		}
		for _, address := range []string{"10.1.0.5", "[fd01::5]"} {
			all = append(all, asks("the pod to an endpoint of east", pod, network, address+":8080", "east"))
		}
	}
	return all
}

// sctp is the command that connects and prints what it gets.
func sctp(to string) []string {
	return []string{"timeout", "4", "socat", "-u", to + ",connect-timeout=3", "STDOUT"}
}

// refused has success if the pod's packet to a port that nobody serves is answered by an ICMP error.
func refused(address string) func(site) bool {
	return func(s site) bool {
		_, err := s.pod.Ask("udp", address)
		return err != nil && strings.Contains(err.Error(), "refused")
	}
}

// attacks are what must not pass. Each has success without the filter.
func attacks() []attempt {
	// sends is a script that sends a UDP packet.
	sends := func(to, options string) string { return "echo x | timeout 5 socat -u - " + to + "," + options }
	// as is a script that sends one from an address that is not east's.
	as := func(address string) string {
		return fmt.Sprintf("ip address add %[1]s/32 dev lo; %[2]s; ip address delete %[1]s/32 dev lo", address, sends("UDP4:10.2.1.5:8080", "bind="+address))
	}
	all := []attempt{
		runs("SYN from a port that east exports", east, "closed", "timeout", "5", "socat", "-u", "TCP4:10.2.1.5:9090,bind=10.1.0.5:8087", "-"),
		runs("SCTP to a port that is not exported", east, "closed", sctp("SCTP4-CONNECT:10.2.1.5:9090")...),
		runs("INIT from a port that east exports", east, "closed", sctp("SCTP4-CONNECT:10.2.1.5:9090,bind=10.1.0.5:8087")...),
		seen("an answer for a node", gateway, "ip daddr 192.0.2.21 udp dport 9090", sends("UDP4:192.0.2.21:9090", "bind=10.1.0.5:8087")),
		seen("a probe from another port", gateway, "udp dport 7472", sends("UDP4:245.0.32.0:7472", "bind=10.1.0.5:7473")),
		seen("a source that is no member's", pod, "ip saddr 10.3.0.1", as("10.3.0.1")),
		seen("a source of this cluster", pod, "ip saddr 10.2.9.9", as("10.2.9.9")),
		seen("another protocol", pod, "ip protocol 253", sends("IP4-SENDTO:10.2.1.5:253", "bind=10.1.0.5")),
		seen("another protocol in IPv6", pod, "meta l4proto 253", sends("IP6-SENDTO:[fd02::5]:253", "bind=[fd01::5]")),
		seen("UDP that nobody asked for", pod, "udp dport 9091", sends("UDP4:10.2.1.5:9091", "bind=10.1.0.5:9999")),
	}
	for _, to := range []struct{ name, address string }{
		{"a port that is not exported", "10.2.1.5"}, {"a port that is not exported", "[fd02::5]"}, {"a node", "192.0.2.21"}, {"a node", "[fd98::21]"},
		{"the tunnel's address", "245.0.32.0"}, {"the tunnel's address", "[fd5f:1:2:2::]"}, {"a third", "203.0.113.9"}, {"a third", "[fd99::9]"},
	} {
		all = append(all, asks(to.name, east, "tcp", to.address+":9090", "closed"))
		switch to.name {
		case "a node", "the tunnel's address":
			family := map[bool]string{true: "UDP6:", false: "UDP4:"}[to.address[0] == '[']
			all = append(all, seen(to.name, gateway, "udp dport 9090", sends(family+to.address+":9090", "reuseaddr")))
		default:
			all = append(all, asks(to.name, east, "udp", to.address+":9090", "closed"))
		}
	}
	return all
}

// flood are more echoes a second than are admitted.
var flood = []attempt{runs("a flood of echoes", east, ", 0% packet loss", "busybox", "ping", "-q", "-i", "0.001", "-c", "1500", "10.2.1.5")}

// Everything honest passes with the filter and without, and nothing else passes with it.
func TestFilter(t *testing.T) {
	s := newSite(t)
	filter := New(nil)
	write := func(want firewall.Config) {
		s.gateway.Do(func() {
			if _, err := filter.Sync(t.Context(), want); err != nil {
				t.Fatal(err)
			}
		})
	}
	try := func(with string, all []attempt, want bool) {
		var wg sync.WaitGroup
		for _, a := range all {
			wg.Go(func() {
				if got := a.do(s); got != want {
					t.Errorf("%s the filter, %s: success %t, want %t", with, a.name, got, want)
				}
			})
		}
		wg.Wait()
	}
	try("without", honest(), true)
	try("without", attacks(), true)
	try("without", flood, true)
	write(Table(input()))
	try("with", honest(), true)
	try("with", attacks(), false)
	try("with", flood, false)
	s.wantDropped(t, filter)
	empty := input()
	empty.Endpoints = nil
	write(Table(empty))
	try("when nothing is exported", []attempt{
		asks("east", east, "tcp", "10.2.1.5:8080", "pod"), asks("the pod", pod, "udp", "10.1.0.5:8080", "east"),
	}, false)
	write(Table(Input{}))
	try("when it is shut", honest()[:2], false)
	write(firewall.Config{})
	try("without", honest()[:2], true)
}

// What is exported to some clusters only passes from them and from no other.
func TestAudience(t *testing.T) {
	s := newSite(t)
	filter := New(nil)
	write := func(in Input) {
		s.gateway.Do(func() {
			if _, err := filter.Sync(t.Context(), Table(in)); err != nil {
				t.Fatal(err)
			}
		})
	}
	try := func(when string, want bool) {
		var wg sync.WaitGroup
		for _, network := range []string{"tcp", "udp"} {
			for _, address := range []string{"10.2.1.5:8080", "[fd02::5]:8080"} {
				a := asks("east", east, network, address, "pod")
				wg.Go(func() {
					if got := a.do(s); got != want {
						t.Errorf("%s, %s: success %t, want %t", when, a.name, got, want)
					}
				})
			}
		}
		wg.Wait()
	}
	try("without the filter", true)
	s.keepNeighbours()
	in := input()
	write(in)
	try("exported to all", true)
	in.Senders[1].Prefixes = append(in.Senders[1].Prefixes, netip.MustParsePrefix("fd04::/48"))
	export := func(to map[v1alpha1.ClusterID][]serviceport.Key) {
		sets := map[setFor][]serviceport.Key{{"imported", ""}: eastPorts()}
		for cluster, ports := range to {
			sets[setFor{"exported", cluster}] = ports
		}
		in.Endpoints = endpointSets(sets)
		write(in)
	}
	const north = "0north.example"
	export(map[v1alpha1.ClusterID][]serviceport.Key{north: podPorts()})
	try("exported to 0north.example only", false)
	export(map[v1alpha1.ClusterID][]serviceport.Key{north: podPorts(), "east": podPorts()})
	try("exported to both by name", true)
	hosts := []serviceport.Key{{Address: netip.MustParseAddr("10.2.1.5")}, {Address: netip.MustParseAddr("fd02::5")}}
	export(map[v1alpha1.ClusterID][]serviceport.Key{north: podPorts(), "east": hosts})
	try("all ports exported to east", true)
	export(map[v1alpha1.ClusterID][]serviceport.Key{north: podPorts()})
	try("no more exported to east", false)
	for _, a := range honest() {
		if strings.Contains(a.name, "the pod to an endpoint of east") && !a.do(s) {
			t.Errorf("answers: %s has no success", a.name)
		}
	}
}

// keepNeighbours keeps the neighbours that have been found in IPv6. A tunnel has none; the filter drops
// the packets that look for them on the link that stands for the tunnel.
func (s site) keepNeighbours() {
	const keep = `ip -6 neigh show dev "$0" | awk '{ for (i = 1; i < NF; i++) if ($i == "lladdr") print $1, $(i + 1) }' |
while read -r address mac; do ip -6 neigh replace "$address" lladdr "$mac" dev "$0" nud permanent; done`
	s.gateway.Run("sh", "-c", keep, "tombolo0")
	s.east.Run("sh", "-c", keep, "up0")
}

// wantDropped checks counters and examples.
func (s site) wantDropped(t *testing.T, filter Filter) {
	t.Helper()
	s.gateway.Do(func() {
		dropped, err := filter.Dropped()
		if err != nil {
			t.Fatal(err)
		}
		for name, least := range map[string]uint64{
			CounterName("east", Unexported): 10, CounterName("east", Foreign): 4, CounterName("east", TooMany): 1, CounterName("", Source): 2,
		} {
			if dropped.Packets[name] < least {
				t.Errorf("%s: %d packets, want at least %d", name, dropped.Packets[name], least)
			}
		}
		for name, n := range dropped.Packets {
			if cluster, _, ok := ParseCounterName(name); !ok || cluster == "0north.example" && n > 0 {
				t.Errorf("%s: %d packets", name, n)
			}
		}
		for _, r := range []Reason{Unexported, Foreign} {
			e := dropped.ExampleOf(r, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, input().CIDRs)
			if e == nil || e.Destination.Port == 0 || !e.Destination.Protocol.Known() {
				t.Errorf("%s: no example among %v", r, dropped.Examples)
			}
		}
	})
}
