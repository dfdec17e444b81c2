//go:build kernel

package agent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// TestSilentConnections: IPVS would forget a connection after 15 minutes without a packet, long before
// TCP itself asks. It remembers it as long as connection tracking does, unless somebody chose a time.
func TestSilentConnections(t *testing.T) {
	worker, pod, gateway, away := newWorker(t)
	echoOn(t, away, 8081)
	set := clusterSet()
	set.Spec.Dataplane.Backend = v1alpha1.BackendIPVS
	f := newFixture(t, worker, gatewayNode("gateway", "192.0.2.2", 0), remote("east", "10.1.0.0/16"),
		nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"), imported("web", "244.0.0.7", web80), slice("web", "east", 8081, "10.1.0.5"))
	f.on("gateway", gateway).pass(node.Marked)
	f.applyStatus(set)
	f.pass(node.Marked)
	conn := dialFrom(t, pod, "244.0.0.7:80")
	remembered := func(what string, want time.Duration) {
		t.Helper()
		if err := conn.works(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := silence(t, worker, "244.0.0.7:80"); got > want || got < want-time.Minute {
			t.Errorf("%s: IPVS forgets a silent connection after %s, want %s", what, got, want)
		}
	}
	remembered("at first", 5*24*time.Hour)

	worker.Run("ipvsadm", "--set", "1200", "0", "0")
	f.pass(node.Audited)
	remembered("somebody chose 20 minutes", 20*time.Minute)

	worker.Run("ipvsadm", "--set", "900", "0", "0")
	worker.Sysctl("net/netfilter/nf_conntrack_tcp_timeout_established", "86400")
	f.pass(node.Ticked)
	remembered("before the next audit", 15*time.Minute)
	f.pass(node.Audited)
	remembered("as when the module is loaded, beside kube-proxy", 24*time.Hour)
	f.quiet()
}

// silence is after how long without a packet IPVS forgets the one connection to that address.
func silence(t *testing.T, n *netns.Namespace, to string) time.Duration {
	t.Helper()
	for line := range strings.Lines(n.Run("ipvsadm", "-Lnc")) {
		// TCP 14:59 ESTABLISHED client virtual destination
		if f := strings.Fields(line); len(f) == 6 && f[2] == "ESTABLISHED" && f[4] == to {
			var minutes, seconds int
			if _, err := fmt.Sscanf(f[1], "%d:%d", &minutes, &seconds); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return time.Duration(minutes)*time.Minute + time.Duration(seconds)*time.Second
		}
	}
	t.Fatalf("IPVS has no connection to %s", to)
	return 0
}
