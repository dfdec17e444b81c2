//go:build kernel

package agent

import (
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// TestBridgedPods: two pods on one bridge reach each other through a clusterset IP only where the
// bridge's packets pass netfilter. Where they do not, the condition says what to set.
func TestBridgedPods(t *testing.T) {
	worker, client, server := netns.New(t), netns.New(t), netns.New(t)
	worker.Run("ip", "link", "add", "cni0", "type", "bridge")
	worker.Address("cni0", "10.2.1.1/24")
	for name, pod := range map[string]*netns.Namespace{"10.2.1.5": client, "10.2.1.6": server} {
		device := "pod" + name[len(name)-1:]
		worker.Join(device, "169.254.0.1/32", pod, "eth0", name+"/24")
		worker.Run("ip", "addr", "flush", "dev", device)
		worker.Run("ip", "link", "set", device, "master", "cni0")
		pod.Route("0.0.0.0/0", "10.2.1.1")
	}
	server.Serve("server", 8080)
	f := newFixture(t, worker, imported("web", "244.0.0.7", web80), slice("web", "west", 8080, "10.2.1.6"))
	worker.Join("eth0", "192.0.2.1/24", netns.New(t), "eth0", "192.0.2.2/24")
	const module = "net/bridge/bridge-nf-call-iptables"
	set := func(value string) string {
		t.Helper()
		worker.Sysctl(module, value)
		f.pass(node.Audited)
		return f.condition()
	}
	f.pass(node.Marked)
	f.pass(node.Ticked)
	says := set("0")
	const want = "False KernelSettings this node's network needs another setting: packets between two pods on the bridge cni0 bypass netfilter"
	if !strings.HasPrefix(says, want) || !strings.Contains(says, "`sysctl -w net.bridge.bridge-nf-call-iptables=1`") {
		t.Errorf("condition %q, want %q", says, want)
	}
	if answer, err := client.Ask("tcp", "244.0.0.7:80"); err == nil {
		t.Errorf("answered: %q; the condition is wrong", answer)
	}
	if err := f.agent.Ready(); err != nil {
		t.Errorf("Ready: %v", err)
	}
	worker.Run("ip", "link", "set", "cni0", "type", "bridge", "nf_call_iptables", "1")
	if says := set("0"); !strings.HasPrefix(says, "True Ready ") {
		t.Errorf("set for this bridge: condition %q", says)
	}
	worker.Run("ip", "link", "set", "cni0", "type", "bridge", "nf_call_iptables", "0")
	if says := set("1"); !strings.HasPrefix(says, "True Ready ") {
		t.Errorf("set for all bridges: condition %q", says)
	}
	if answer, err := client.Ask("tcp", "244.0.0.7:80"); err != nil || !strings.HasPrefix(answer, "server ") {
		t.Errorf("set for all bridges: %q, %v", answer, err)
	}
	worker.Sysctl("net/ipv4/ip_forward", "0")
	f.passAt(time.Now(), node.Audited)
	if got := f.condition(); !strings.Contains(got, "`sysctl -w net.ipv4.ip_forward=1`") {
		t.Errorf("without forwarding: condition %q", got)
	}
	worker.Sysctl("net/ipv4/ip_forward", "1")
	f.passAt(time.Now(), node.Audited)
	if got := f.condition(); !strings.HasPrefix(got, "True Ready ") {
		t.Errorf("forwarding again: condition %q", got)
	}
}

// TestUntracked: where somebody's rules keep connection tracking from answers, or with nftables also from
// what pods send, clusterset IPs do not answer. The condition says so until the rules are gone.
func TestUntracked(t *testing.T) {
	const answered = "away 10.2.1.5"
	for backend, sent := range map[v1alpha1.DataplaneBackend]string{v1alpha1.BackendIPVS: answered, v1alpha1.BackendNFTables: ""} {
		t.Run(string(backend), func(t *testing.T) {
			worker, pod, gateway, _ := newWorker(t)
			f := newFixture(t, worker)
			set := clusterSet()
			set.Spec.Dataplane.Backend = backend
			f.applyStatus(set)
			for _, o := range []client.Object{nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"), gatewayNode("gateway", "192.0.2.2", 3),
				remote("east", "10.1.0.0/16"), imported("web", "244.0.0.7", web80), slice("web", "east", 8080, "10.1.0.5")} {
				f.apply(o)
			}
			g := f.on("gateway", gateway)
			f.pass(node.Marked)
			g.pass(node.Marked)
			for device, want := range map[string]string{"pod0": sent, "tombolo-vx": ""} {
				f.pass(node.Audited)
				worker.Run("nft", "add table ip raw; add chain ip raw pre { type filter hook prerouting priority -300; }; add rule ip raw pre iifname "+device+" notrack")
				if answer, _ := pod.Ask("tcp", "244.0.0.7:80"); answer != want {
					t.Errorf("packets from %s untracked: answer %q, want %q", device, answer, want)
				}
				f.pass(node.Audited)
				if got := f.condition(); !strings.HasPrefix(got, "False KernelSettings this node's network needs another setting: connection tracking does not see packets") {
					t.Errorf("packets from %s untracked: condition %q", device, got)
				}
				worker.Run("nft", "delete", "table", "ip", "raw")
				f.pass(node.Audited) // what came before that counts here
				if answer, err := pod.Ask("tcp", "244.0.0.7:80"); err != nil || answer != answered {
					t.Errorf("packets from %s tracked again: %q, %v", device, answer, err)
				}
				f.pass(node.Audited)
				if got := f.condition(); !strings.HasPrefix(got, "True Ready ") {
					t.Errorf("packets from %s tracked again: condition %q", device, got)
				}
			}
		})
	}
}

// TestStrictDevice: pods whose node the gateway does not know get answers by the CNI's own device. Where
// its reverse path filter drops them, the condition says so, and what it says helps. A pod that sends from
// another cluster's address makes it say nothing.
func TestStrictDevice(t *testing.T) {
	worker, pod, gateway, _ := newWorker(t)
	f := newFixture(t, worker)
	set := clusterSet()
	set.Status.Index = 2 // the gateway gets a tunnel address, with which its own filter is loose
	f.applyStatus(set)
	for _, o := range []client.Object{nodeObject("worker", "192.0.2.1", "10.2.60.0/24"), nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"),
		gatewayNode("gateway", "192.0.2.2", 3), remote("east", "10.1.0.0/16"), imported("web", "244.0.0.7", web80), slice("web", "east", 8080, "10.1.0.5")} {
		f.apply(o)
	}
	// The CNI leads to nodes by other addresses than their InternalIPs.
	for _, n := range []struct {
		ns                        *netns.Namespace
		local, block, mac         string
		peer, peerBlock, peersMAC string
	}{{worker, "192.0.2.11", "10.2.1", "66:2d:bb:44:10:01", "192.0.2.12", "10.2.0", "66:2d:bb:44:10:02"},
		{gateway, "192.0.2.12", "10.2.0", "66:2d:bb:44:10:02", "192.0.2.11", "10.2.1", "66:2d:bb:44:10:01"}} {
		n.ns.Address("eth0", n.local+"/24")
		for _, command := range []string{
			"ip link add vxlan.calico type vxlan id 4096 dev eth0 local " + n.local + " dstport 4789 nolearning",
			"ip address add " + n.block + ".0/32 dev vxlan.calico",
			"ip link set vxlan.calico address " + n.mac + " up",
			"ip neighbour add " + n.peerBlock + ".0 lladdr " + n.peersMAC + " dev vxlan.calico nud permanent",
			"bridge fdb add " + n.peersMAC + " dev vxlan.calico dst " + n.peer + " self permanent",
			"ip route add " + n.peerBlock + ".0/26 via " + n.peerBlock + ".0 dev vxlan.calico onlink proto 80",
		} {
			words := strings.Fields(command)
			n.ns.Run(words[0], words[1:]...)
		}
	}
	g := f.on("gateway", gateway)
	f.pass(node.Marked)
	g.pass(node.Marked)
	says := func() string {
		f.pass(node.Audited)
		return f.condition()
	}
	pod.Run("ip", "address", "add", "10.1.0.99/32", "dev", "eth0")
	_, _ = pod.Try("busybox", "ping", "-c", "1", "-W", "1", "-I", "10.1.0.99", "192.0.2.2") // no answer
	if got := says(); !strings.HasPrefix(got, "True Ready ") {
		t.Errorf("before any packet of another cluster: condition %q", got)
	}
	if answer, err := pod.Ask("tcp", "244.0.0.7:80"); err == nil {
		t.Errorf("answered %q by a device that is strict", answer)
	}
	const command = "sysctl -w net/ipv4/conf/vxlan.calico/rp_filter=2"
	const want = "False KernelSettings this node's network needs another setting: packets of other clusters, such as one from 10.1.0.5, " +
		"come in by vxlan.calico, and its strict reverse path filter drops them: `" + command + "`"
	if got := says(); !strings.HasPrefix(got, want) {
		t.Errorf("condition %q, want %q", got, want)
	}
	if err := f.agent.Ready(); err != nil {
		t.Errorf("Ready: %v", err)
	}
	words := strings.Fields(command)
	worker.Run(words[0], words[1:]...)
	if answer, err := pod.Ask("tcp", "244.0.0.7:80"); err != nil || answer != "away 10.2.1.5" {
		t.Errorf("after %s: %q, %v", command, answer, err)
	}
	if got := says(); !strings.HasPrefix(got, "True Ready ") {
		t.Errorf("after %s: condition %q", command, got)
	}
}
