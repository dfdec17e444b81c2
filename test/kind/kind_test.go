//go:build kind

// Package kind asserts what is special about the clusters that hack/kind makes, without which the
// tests that pass there would prove less: `make e2e-kind` runs it.
package kind

import (
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// The clusters' kube-proxies differ, and each node has the rules of its cluster's.
func TestProxyModes(t *testing.T) {
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	for cluster, nftables := range map[string]bool{"east": false, "west": true} {
		nodes, err := sh.Nodes(t.Context(), cluster, "")
		if err != nil {
			t.Fatal(err)
		}
		if len(nodes) != 2 {
			t.Errorf("%s has the nodes %v, want two", cluster, nodes)
		}
		for _, node := range nodes {
			rules, err := sh.OnNode(t.Context(), node, "nft", "list", "ruleset")
			if err != nil {
				t.Fatal(err)
			}
			own, chains := strings.Contains(rules, "table ip kube-proxy {"), strings.Contains(rules, "chain KUBE-SERVICES {")
			if own != nftables || chains == nftables {
				t.Errorf("%s: kube-proxy has a table of its own: %v, chains of iptables: %v; want nftables: %v", node, own, chains, nftables)
			}
		}
	}
}

// A kernel without WireGuard does not keep the clusters apart: where the gateways have no WireGuard
// device of the kernel's, they run WireGuard themselves, on a TUN device.
func TestTunnels(t *testing.T) {
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range []string{"east", "west"} {
		gateways, err := sh.Nodes(t.Context(), cluster, "clusterset.tombolo.dev/gateway=true")
		if err != nil {
			t.Fatal(err)
		}
		kernel, err := sh.OnNode(t.Context(), gateways[0], "ip", "-o", "link", "show", "type", "wireguard")
		if err != nil {
			t.Fatal(err)
		}
		tun, err := sh.OnNode(t.Context(), gateways[0], "sh", "-c", "ls -d /sys/class/net/tombolo[0-9]*/tun_flags 2>&1; true")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(kernel, "tombolo") == strings.Contains(tun, "/tun_flags\n") {
			t.Errorf("%s: want tunnels of the kernel or of the agent: WireGuard devices %q, TUN devices %q", gateways[0], kernel, tun)
		}
		out, err := sh.Kubectl(t.Context(), cluster, "get", "remoteclusters", "--output", `jsonpath={.items[*].status.conditions[?(@.type=="Reachable")].status}`)
		if err != nil || out != "True" {
			t.Errorf("%s reaches the other cluster: %q (%v), want True", cluster, out, err)
		}
		t.Logf("%s: in the kernel %q, in the agent %q", gateways[0], kernel, tun)
	}
}

// The control planes elect no leader. If they did, a slow API server would end them, and Services
// would not follow their pods until they have started again.
func TestNoElection(t *testing.T) {
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range []string{"east", "west"} {
		leases, err := sh.Kubectl(t.Context(), cluster, "--namespace", "kube-system", "get", "leases", "--output", "name")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(leases, "kube-controller-manager") || strings.Contains(leases, "kube-scheduler") {
			t.Errorf("%s: the control plane elects a leader: it has the Leases %q", cluster, strings.Fields(leases))
		}
	}
}

// kube-proxy writes every change of a Service. If it cannot, as for lack of an extension of
// iptables, it says so in its log, and leaves what was there before.
func TestProxySyncs(t *testing.T) {
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range []string{"east", "west"} {
		log, err := sh.Kubectl(t.Context(), cluster, "--namespace", "kube-system", "logs", "--selector", "k8s-app=kube-proxy", "--tail=-1")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(log) {
			if strings.Contains(line, "Failed to execute iptables-restore") || strings.Contains(line, "Couldn't load") {
				t.Errorf("%s: %s", cluster, line)
			}
		}
	}
}
