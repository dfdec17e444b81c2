//go:build kernel

package filter

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// besideCNI is a node of the cluster west, 10.2.0.0/18, joined to east as by a tunnel, and a pod of
// another node of west's that is reached through it. East answers whoever asks, so that it can tell
// what a masquerade has done.
//
//	pod 10.2.1.5 - node 10.2.1.1 | 192.0.2.1 tombolo0 - east 10.1.0.5
type besideCNI struct{ pod, node, east *netns.Namespace }

func newBesideCNI(t *testing.T) besideCNI {
	s := besideCNI{pod: netns.New(t), node: netns.New(t), east: netns.New(t)}
	s.node.Join("pod0", "10.2.1.1/24", s.pod, "eth0", "10.2.1.5/24")
	s.node.Join("tombolo0", "192.0.2.1/24", s.east, "eth0", "10.1.0.5/32")
	s.pod.Route("0.0.0.0/0", "10.2.1.1")
	s.node.Run("ip", "route", "add", "10.1.0.5/32", "dev", "tombolo0")
	s.node.Run("ip", "route", "add", "local", "244.0.0.0/16", "dev", "lo", "src", "192.0.2.1", "table", "local")
	s.node.Run("ip", "route", "add", "local", "245.0.32.64", "dev", "lo", "table", "local")
	s.east.Run("ip", "route", "add", "192.0.2.1/32", "dev", "eth0")
	s.east.Route("10.2.0.0/18", "192.0.2.1")
	s.east.Route("245.0.32.0/20", "192.0.2.1")
	for _, dev := range []string{"all", "pod0", "tombolo0"} {
		s.node.Sysctl("net/ipv4/conf/"+dev+"/rp_filter", "1")
	}
	s.node.Sysctl("net/ipv4/vs/conntrack", "1")
	for _, flag := range []string{"-t", "-u"} {
		s.node.Run("ipvsadm", "-A", flag, "244.0.0.1:80", "-s", "wrr")
		s.node.Run("ipvsadm", "-a", flag, "244.0.0.1:80", "-r", "10.1.0.5:8080", "-m")
	}
	s.pod.Serve("pod", 8080)
	s.east.Serve("east", 8080)
	return s
}

// sources are the addresses that servers see: east those of a pod and of the node itself, and the
// pod those of east.
type sources struct{ pod, node, east string }

// expect asks in all ways and compares what the servers see.
func (s besideCNI) expect(t *testing.T, when string, want sources) {
	t.Helper()
	for _, tt := range []struct {
		name      string
		from      *netns.Namespace
		to        []string
		server, s string
	}{
		{"the pod", s.pod, []string{"10.1.0.5:8080", "244.0.0.1:80"}, "east", want.pod},
		{"the node", s.node, []string{"10.1.0.5:8080", "244.0.0.1:80"}, "east", want.node},
		{"east", s.east, []string{"10.2.1.5:8080"}, "pod", want.east},
	} {
		for _, to := range tt.to {
			for _, network := range []string{"tcp", "udp"} {
				if answer, err := tt.from.Ask(network, to); err != nil || answer != tt.server+" "+tt.s {
					t.Errorf("%s: %s from %s to %s: %q, %v; want %s to see %s", when, network, tt.name, to, answer, err, tt.server, tt.s)
				}
			}
		}
	}
}

// TestBesideCNIs: the rules of CNIs that masquerade change sources without the table, and with it
// they do not, in which order ever the two are written.
func TestBesideCNIs(t *testing.T) {
	s := newBesideCNI(t)
	config := wanted{Input{VIPs: prefixes("244.0.0.0/16"), Own: prefixes("10.2.0.0/18"), Remote: prefixes("10.1.0.0/16"),
		Transit: []netip.Addr{netip.MustParseAddr("245.0.32.64")}, TransitCIDRs: prefixes("245.0.0.0/8")},
		Endpoints{Served: []serviceport.Key{port("244.0.0.1:80", "tcp"), port("244.0.0.1:80", "udp")}}}
	kept := sources{pod: "10.2.1.5", node: "245.0.32.64", east: "10.1.0.5"}
	s.expect(t, "no rules at all", sources{pod: "10.2.1.5", node: "192.0.2.1", east: "10.1.0.5"})
	flannel := "-N CNI; -A CNI -m mark --mark 0x4000/0x4000 -j RETURN; -A CNI -s 10.2.9.0/24 -d 10.2.0.0/18 -j RETURN; " +
		"-A CNI -s 10.2.0.0/18 -d 10.2.9.0/24 -j RETURN; -A CNI ! -s 10.2.0.0/18 -d 10.2.9.0/24 -j RETURN; " +
		"-A CNI -s 10.2.0.0/18 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully; -A CNI ! -s 10.2.0.0/18 -d 10.2.0.0/18 -j MASQUERADE --random-fully; " +
		"-A POSTROUTING -j CNI"
	s.node.Run("ipset", "create", "pools", "hash:net")
	s.node.Run("ipset", "add", "pools", "10.2.0.0/18")
	calico := "-N CNI; -A CNI -m set --match-set pools src -m set ! --match-set pools dst -j MASQUERADE --random-fully; -I POSTROUTING -j CNI"
	for _, cni := range []struct {
		name, iptables, rules string
		without               sources
	}{
		{"kindnet", "", "add table inet cni; add chain inet cni post { type nat hook postrouting priority srcnat; }; " +
			"add rule inet cni post ip daddr != 10.2.0.0/18 fib daddr type != local masquerade", sources{"192.0.2.1", "192.0.2.1", "10.1.0.5"}},
		{"flannel", "iptables-nft", flannel, sources{"192.0.2.1", "192.0.2.1", "10.2.1.1"}},
		{"flannel, legacy iptables", "iptables-legacy", flannel, sources{"192.0.2.1", "192.0.2.1", "10.2.1.1"}},
		{"Calico", "iptables-nft", calico, sources{"192.0.2.1", "192.0.2.1", "10.1.0.5"}},
	} {
		write := func() {
			if cni.iptables == "" {
				s.node.Run("nft", cni.rules)
				return
			}
			restore := "*nat\n" + strings.ReplaceAll(cni.rules, "; ", "\n") + "\nCOMMIT\n"
			s.node.Run("sh", "-c", "printf '"+restore+"' | "+cni.iptables+"-restore --noflush")
		}
		clear := func() {
			if cni.iptables == "" {
				s.node.Run("nft", "delete table inet cni")
				return
			}
			s.node.Run("sh", "-c", cni.iptables+" -t nat -F && "+cni.iptables+" -t nat -X")
		}
		write()
		s.expect(t, cni.name+", without the table", cni.without)
		sync(t, s.node, config)
		s.expect(t, cni.name, kept)
		clear()
		write()
		s.expect(t, cni.name+", written after the table", kept)
		clear()
		sync(t, s.node, wanted{})
	}
}
