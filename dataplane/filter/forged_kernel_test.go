//go:build kernel

package filter

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// forgedPort is the port of the packets inside of forged frames.
const forgedPort = 9999

// frame is a forged frame: who sends it, how it goes on the wire, and what is in it.
type frame struct {
	by *netns.Namespace
	// local is the address that it is sent from, and remote the one that it is sent to.
	local, remote string
	// port of UDP, and id of the VXLAN; zero: those of the nodes.
	port, id int
	// node is the name of the node that it is for.
	node string
	// source and target are the addresses of the packet inside, which is one of UDP.
	source, target string
}

// send sends some of them, by a VXLAN device of the kernel.
func (f frame) send(t *testing.T) {
	t.Helper()
	if f.port == 0 {
		f.port = 7473
	}
	if f.id == 0 {
		f.id = 7473
	}
	flag, host := "-4", f.source+"/32"
	if strings.Contains(f.target, ":") {
		flag, host = "-6", f.source+"/128 nodad"
	}
	ip := func(lines ...string) {
		file := filepath.Join(t.TempDir(), "batch")
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		f.by.Run("ip", flag, "-batch", file)
	}
	ip(fmt.Sprintf("link add forged type vxlan id %d dstport %d local %s remote %s nolearning", f.id, f.port, f.local, f.remote),
		fmt.Sprintf("address add dev forged %s", host),
		"link set forged up",
		fmt.Sprintf("neigh add %s lladdr %s dev forged nud permanent", f.target, vxlan.MAC(clusterset.NodeMAC(f.node))),
		fmt.Sprintf("route add %s dev forged src %s table 66", f.target, f.source),
		fmt.Sprintf("rule add pref 1 from %s lookup 66", f.source))
	f.by.Do(func() {
		dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: netip.MustParseAddr(f.source).AsSlice()}}
		conn, err := dialer.Dial("udp", net.JoinHostPort(f.target, fmt.Sprint(forgedPort)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for range 5 {
			_, _ = conn.Write([]byte("forged")) // it may fail because an error answered the one before
			time.Sleep(5 * time.Millisecond)
		}
	})
	ip("rule del pref 1", "link del forged")
}

// victim counts the forged packets that come to a namespace, before anything there can drop them.
type victim struct{ *netns.Namespace }

func newVictim(n *netns.Namespace) victim {
	n.Run("nft", fmt.Sprintf("add table inet victim; add counter inet victim seen; add chain inet victim in { type filter hook prerouting priority -500; }; "+
		`add rule inet victim in iifname != "tombolo-vx" iifname != "tombolo-ho" udp dport %d counter name seen`, forgedPort))
	return victim{n}
}

// seen is how many came since it was last asked.
func (v victim) seen(t *testing.T) int {
	t.Helper()
	out := v.Run("nft", "reset", "counter", "inet", "victim", "seen")
	var packets int
	if _, err := fmt.Sscanf(out[strings.Index(out, "packets"):], "packets %d", &packets); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return packets
}

// fabric is the cluster west with another node 192.0.2.3, an address of which anybody may send from,
// and a stranger on the same network. No node filters by reverse path. A CNI masquerades what leaves
// west, and Services lead to the VXLAN's port: 10.96.0.1 to the gateway's, 10.96.0.2 to the worker's
// own, and 10.96.0.3 to the gateway's by IPVS.
type fabric struct {
	member
	insider, stranger, neighbour *netns.Namespace
	atNeighbour, atPod, atEast   victim
}

func newFabric(t *testing.T) fabric {
	f := fabric{member: newMember(t), insider: netns.New(t), stranger: netns.New(t), neighbour: netns.New(t)}
	f.wire.Connect(f.insider, prefixes("192.0.2.3/24")...)
	f.wire.Connect(f.stranger, prefixes("192.0.2.66/24")...)
	f.worker.Join("pod1", "169.254.1.1/32", f.neighbour, "eth0", "10.2.1.200/32")
	f.worker.Run("ip", "route", "add", "10.2.1.200", "dev", "pod1")
	f.pod.Address("lo", "192.0.2.3/32")
	for _, node := range []*netns.Namespace{f.worker, f.gateway} {
		node.Run("sh", "-c", "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done")
	}
	f.gateway.Run("ip", "route", "add", "default", "dev", "eth0")
	f.worker.Run("nft", "add table ip services; add chain ip services pre { type nat hook prerouting priority dstnat; }; "+
		"add rule ip services pre ip daddr 10.96.0.1 udp dport 80 dnat to 192.0.2.2:7473; "+
		"add rule ip services pre ip daddr 10.96.0.2 udp dport 80 dnat to 192.0.2.1:7473")
	f.worker.Address("lo", "10.96.0.3/32")
	f.worker.Run("ipvsadm", "-A", "-u", "10.96.0.3:80", "-s", "wrr")
	f.worker.Run("ipvsadm", "-a", "-u", "10.96.0.3:80", "-r", "192.0.2.2:7473", "-m")
	f.gateway.Run("ip", "link", "add", vxlan.HandoverName, "address", vxlan.MAC(clusterset.NodeMAC("gateway")).String(), "type", "vxlan",
		"id", "7474", "dstport", "7473", "local", "192.0.2.2")
	f.gateway.Run("ip", "link", "set", vxlan.HandoverName, "up")
	f.atNeighbour, f.atPod, f.atEast = newVictim(f.neighbour), newVictim(f.pod), newVictim(f.east)
	return f
}

// guard makes the table of each node, with the guard of the VXLAN or without it.
func (f fabric) guard(t *testing.T, on bool) {
	t.Helper()
	for name, node := range map[string]*netns.Namespace{"worker": f.worker, "gateway": f.gateway} {
		want := inputOf(networkOf(t, name))
		if !on {
			want.Overlay = plan.Overlay{}
		}
		sync(t, node, want)
	}
}

// TestForgedFrames: nobody but a node of this cluster may send frames to a node, and only with packets
// that can come that way. Each attack gets through without the guard.
func TestForgedFrames(t *testing.T) {
	f := newFabric(t)
	program(t, f.worker, networkOf(t, "worker"))
	program(t, f.gateway, networkOf(t, "gateway"))
	const pod, pod6, neighbour, east = "10.2.1.5", "fd02:0:0:1::5", "10.2.1.200", "10.1.0.5"
	attacks := []struct {
		name string
		frame
		victim
	}{
		{"a stranger as another cluster", frame{by: f.stranger, local: "192.0.2.66", remote: "192.0.2.1", node: "worker", source: "10.1.0.66", target: pod}, f.atPod},
		{"a stranger as another cluster, IPv6", frame{by: f.stranger, local: "192.0.2.66", remote: "192.0.2.1", node: "worker", source: "fd01::66", target: pod6}, f.atPod},
		{"a stranger as this cluster", frame{by: f.stranger, local: "192.0.2.66", remote: "192.0.2.2", node: "gateway", source: "10.2.1.66", target: east}, f.atEast},
		{"a stranger by the hand-over", frame{by: f.stranger, local: "192.0.2.66", remote: "192.0.2.2", id: 7474, node: "gateway", source: "10.2.1.66", target: east}, f.atEast},
		{"a pod with a node's address", frame{by: f.pod, local: "192.0.2.3", remote: "192.0.2.1", node: "worker", source: "10.1.0.66", target: neighbour}, f.atNeighbour},
		{"a pod that is masqueraded", frame{by: f.pod, local: pod, remote: "192.0.2.2", node: "gateway", source: "10.2.9.66", target: east}, f.atEast},
		{"a pod by a Service", frame{by: f.pod, local: pod, remote: "10.96.0.1", port: 80, node: "gateway", source: "10.2.9.66", target: east}, f.atEast},
		{"a pod by a Service to its own node", frame{by: f.pod, local: pod, remote: "10.96.0.2", port: 80, node: "worker", source: "10.1.0.66", target: neighbour}, f.atNeighbour},
		{"a pod by a Service of IPVS", frame{by: f.pod, local: pod, remote: "10.96.0.3", port: 80, node: "gateway", source: "10.2.9.66", target: east}, f.atEast},
		{"a node as a pod of its own cluster", frame{by: f.insider, local: "192.0.2.3", remote: "192.0.2.1", node: "worker", source: "10.2.2.7", target: pod}, f.atPod},
		{"a node as a gateway", frame{by: f.insider, local: "192.0.2.3", remote: "192.0.2.1", node: "worker", source: "245.0.32.5", target: pod}, f.atPod},
		{"a node as the internet", frame{by: f.insider, local: "192.0.2.3", remote: "192.0.2.1", node: "worker", source: "203.0.113.9", target: pod}, f.atPod},
		{"a node as the internet, through the gateway", frame{by: f.insider, local: "192.0.2.3", remote: "192.0.2.2", node: "gateway", source: "203.0.113.9", target: east}, f.atEast},
		{"a node as another cluster by the hand-over", frame{by: f.insider, local: "192.0.2.3", remote: "192.0.2.2", id: 7474, node: "gateway", source: "10.1.0.66", target: pod}, f.atPod},
	}
	honest := []struct {
		name string
		frame
		victim
	}{
		{"a gateway that the worker does not know yet", frame{by: f.insider, local: "192.0.2.3", remote: "192.0.2.1", node: "worker", source: "10.1.0.66", target: pod}, f.atPod},
		{"the same, from a node's transit address", frame{by: f.insider, local: "192.0.2.3", remote: "192.0.2.1", node: "worker", source: "245.0.16.99", target: pod}, f.atPod},
		{"another node", frame{by: f.insider, local: "192.0.2.3", remote: "192.0.2.2", node: "gateway", source: "10.2.3.7", target: east}, f.atEast},
		{"another node's own processes", frame{by: f.insider, local: "192.0.2.3", remote: "192.0.2.2", node: "gateway", source: "245.0.32.66", target: east}, f.atEast},
		{"another gateway, for the gateway's own node", frame{by: f.insider, local: "192.0.2.3", remote: "192.0.2.2", node: "gateway", source: "10.1.0.66", target: pod}, f.atPod},
		{"another gateway by the hand-over", frame{by: f.insider, local: "192.0.2.3", remote: "192.0.2.2", id: 7474, node: "gateway", source: "10.2.3.7", target: east}, f.atEast},
	}
	for _, on := range []bool{false, true} {
		f.guard(t, on)
		for _, a := range attacks {
			a.send(t)
			if seen := a.seen(t); on != (seen == 0) {
				t.Errorf("guard %t, %s: %d packets arrived", on, a.name, seen)
			}
		}
		for _, h := range honest {
			h.send(t)
			if seen := h.seen(t); seen != 5 {
				t.Errorf("guard %t, honest, %s: %d packets arrived", on, h.name, seen)
			}
		}
		for _, to := range []string{"10.1.0.5:8080", "[fd01::5]:8080"} {
			if answer, err := f.pod.Ask("tcp", to); err != nil || !strings.HasPrefix(answer, "east ") {
				t.Errorf("guard %t: the pod asks %s: %q, %v", on, to, answer, err)
			}
		}
	}
}
