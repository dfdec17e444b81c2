//go:build kernel

package agent

import (
	"strings"
	"testing"
	"time"

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
