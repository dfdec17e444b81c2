//go:build kernel

package agent

import (
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// admitsNodes is a host firewall that admits what comes from the node network, and not pods.
const admitsNodes = "-P INPUT DROP; -A INPUT -i lo -j ACCEPT; -A INPUT -s 192.0.2.0/24 -j ACCEPT"

// iptables runs commands of that program, separated by semicolons.
func iptables(n *netns.Namespace, program, commands string) {
	for command := range strings.SplitSeq(commands, "; ") {
		n.Run(program, strings.Fields(command)...)
	}
}

// TestInputDrops: a node whose INPUT admits its network but not pods serves clusterset IPs by IPVS
// all the same, by a rule of ours that iptables lists, and which goes with the clean-up. Where such
// a rule cannot help, the condition names hook, chain and remedy, until packets pass.
func TestInputDrops(t *testing.T) {
	worker, pod, gatewayNet, _ := newWorker(t)
	f := newFixture(t, worker)
	for _, o := range []client.Object{nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"), gatewayNode("gateway", "192.0.2.2", 3),
		remote("east", "10.1.0.0/16"), imported("web", "244.0.0.7", web80), slice("web", "east", 8080, "10.1.0.5")} {
		f.apply(o)
	}
	now := time.Now()
	f.passAt(now, node.Marked)
	f.on("gateway", gatewayNet).pass(node.Marked)
	ask := func() error {
		var err error
		for range 3 { // each sends more than one packet while none is answered
			_, err = pod.Ask("tcp", "244.0.0.7:80")
		}
		now = now.Add(10 * time.Second)
		f.passAt(now, node.Ticked)
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	iptables(worker, "iptables-nft", admitsNodes)
	before := worker.Run("iptables-nft", "-S")
	if err := ask(); err == nil {
		t.Error("the firewall drops nothing; the test proves nothing")
	}
	if err := ask(); err != nil {
		t.Errorf("with iptables' INPUT closed: %v", err)
	}
	if rules := worker.Run("iptables-nft", "-S"); !strings.Contains(rules, "-A INPUT -s 10.2.0.0/18 -d 244.0.0.0/16 ") {
		t.Errorf("iptables lists\n%s", rules)
	}
	f.quiet()
	worker.Run("nft", "add table inet host; add chain inet host in { type filter hook input priority 5; policy drop; }; "+
		"add rule inet host in ip saddr 192.0.2.0/24 accept")
	if err := ask(); err == nil {
		t.Error("nftables' firewall drops nothing; the test proves nothing")
	}
	const want = "False FirewallDrops a firewall of this node drops packets to clusterset IPs in the hook input (the policy of nftables' inet host in is drop): "
	says := f.condition()
	if !strings.HasPrefix(says, want) {
		t.Errorf("condition %q, want %q", says, want)
	}
	worker.Run("sh", "-c", strings.TrimPrefix(says, want))
	if err := ask(); err != nil {
		t.Errorf("after the remedy: %v", err)
	}
	if got := f.condition(); !strings.HasPrefix(got, "True Ready ") {
		t.Errorf("after the remedy: condition %q", got)
	}
	worker.Do(func() {
		if err := Cleanup(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if after := worker.Run("iptables-nft", "-S"); after != before {
		t.Errorf("after the clean-up iptables lists\n%s\nwant\n%s", after, before)
	}
	if tables := worker.Run("nft", "list", "tables"); strings.Contains(tables, firewall.NodeTable) {
		t.Errorf("after the clean-up: %s", tables)
	}
}

// TestPolicyDrops: what a rule drops may be meant by a NetworkPolicy: the node stays ready, and says
// it.
func TestPolicyDrops(t *testing.T) {
	worker, pod, _, _ := newWorker(t)
	f := newFixture(t, worker)
	for _, o := range []client.Object{imported("web", "244.0.0.7", web80), slice("web", "west", 8080, "10.2.1.5")} {
		f.apply(o)
	}
	now := time.Now()
	f.passAt(now, node.Marked)
	worker.Run("nft", "add table inet host; add chain inet host in { type filter hook input priority 5; }; add rule inet host in ip daddr 244.0.0.7 drop")
	for range 3 {
		_, _ = pod.Ask("tcp", "244.0.0.7:80")
	}
	f.passAt(now.Add(10*time.Second), node.Ticked)
	if got := f.condition(); !strings.HasPrefix(got, "True Ready ") || !strings.Contains(got, "or a NetworkPolicy, drops packets to clusterset IPs") {
		t.Errorf("condition %q", got)
	}
}

// handles are those of all objects in a listing.
func handles(listing string) string {
	var all []string
	for _, line := range strings.Split(listing, "\n") {
		if _, handle, ok := strings.Cut(line, "# handle "); ok {
			all = append(all, handle)
		}
	}
	return strings.Join(all, " ")
}

// TestVXLANDrops: VXLAN packets of other nodes that a firewall drops are found. No rule of ours
// admits them: it would admit everybody's.
func TestVXLANDrops(t *testing.T) {
	worker, _, gatewayNet, _ := newWorker(t)
	f := newFixture(t, worker)
	for _, o := range []client.Object{nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"), gatewayNode("gateway", "192.0.2.2", 3), remote("east", "10.1.0.0/16")} {
		f.apply(o)
	}
	now := time.Now()
	f.passAt(now, node.Marked)
	f.passAt(now.Add(10*time.Second), node.Ticked)
	gatewayNet.Address("eth0", "192.0.2.66/24")
	send := func(from string) {
		for range 6 {
			gatewayNet.Run("sh", "-c", "echo | socat - UDP4:192.0.2.1:7473,bind="+from)
		}
	}
	iptables(worker, "iptables-nft", "-P INPUT DROP")
	send("192.0.2.66")
	f.passAt(now.Add(15*time.Second), node.Ticked)
	if got := f.condition(); !strings.HasPrefix(got, "True Ready") {
		t.Errorf("a firewall drops a stranger's packets: condition %q", got)
	}
	counters := worker.Run("nft", "-a", "list", "table", "inet", "tombolo-node")
	f.apply(nodeObject("other", "192.0.2.67", "10.2.9.0/24"))
	f.passAt(now.Add(16*time.Second), node.Marked)
	if after := worker.Run("nft", "-a", "list", "table", "inet", "tombolo-node"); handles(after) != handles(counters) || !strings.Contains(after, "192.0.2.67") {
		t.Errorf("a node came: %s, then %s", counters, after)
	}
	send("192.0.2.2")
	f.passAt(now.Add(25*time.Second), node.Ticked)
	const want = "False FirewallDrops a firewall of this node drops VXLAN packets of other nodes in the hook input (the policy of iptables' INPUT is DROP): " +
		"iptables -I INPUT -p udp -m udp --dport 7473 -j ACCEPT"
	if got := f.condition(); got != want {
		t.Errorf("condition %q, want %q", got, want)
	}
}
