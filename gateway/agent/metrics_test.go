package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/test/harness/metricspage"
)

// TestLinkMetrics: bytes are counters, read from the kernel at each scrape. While they cannot be
// read there are none, and the links stay.
func TestLinkMetrics(t *testing.T) {
	k := &memoryKernel{received: 100, tunnels: wireguard.Config{Devices: []wireguard.Device{
		{Name: "tombolo0", Peers: []wireguard.Peer{{PublicKey: wireguard.PublicKey{1}}}},
	}}}
	registry := prometheus.NewPedanticRegistry()
	a := New(Config{Kernel: k.kernel(), Registry: registry})
	check := func(what, want string) {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, f := range families {
			if !strings.HasPrefix(f.GetName(), "tombolo_gateway_link_") {
				continue
			}
			if _, err := expfmt.MetricFamilyToText(&got, f); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	const (
		changes = `# HELP tombolo_gateway_link_changes_total How often the link has changed to that state. To Down is a failover, if another link to the cluster was up.
# TYPE tombolo_gateway_link_changes_total counter
tombolo_gateway_link_changes_total{cluster="west",lane="0",state="Down"} 1
tombolo_gateway_link_changes_total{cluster="west",lane="0",state="Up"} 1
`
		loss = `# HELP tombolo_gateway_link_loss_ratio Share of probes on the link that were lost in the last two minutes, outages aside.
# TYPE tombolo_gateway_link_loss_ratio gauge
tombolo_gateway_link_loss_ratio{cluster="west",lane="0"} 0.03
tombolo_gateway_link_loss_ratio{cluster="west",lane="2"} 0
`
		received = `# HELP tombolo_gateway_link_received_bytes_total Bytes received from the peer, as WireGuard counts them.
# TYPE tombolo_gateway_link_received_bytes_total counter
tombolo_gateway_link_received_bytes_total{cluster="west",lane="0"} 101
`
		rtt = `# HELP tombolo_gateway_link_rtt_seconds Mean round trip of probes on the link.
# TYPE tombolo_gateway_link_rtt_seconds gauge
tombolo_gateway_link_rtt_seconds{cluster="west",lane="0"} 0.02
tombolo_gateway_link_rtt_seconds{cluster="west",lane="2"} 0
`
		sent = `# HELP tombolo_gateway_link_sent_bytes_total Bytes sent to the peer, as WireGuard counts them.
# TYPE tombolo_gateway_link_sent_bytes_total counter
tombolo_gateway_link_sent_bytes_total{cluster="west",lane="0"} 202
`
		up = `# HELP tombolo_gateway_link_up Whether the link to the remote gateway with that lane is up.
# TYPE tombolo_gateway_link_up gauge
tombolo_gateway_link_up{cluster="west",lane="0"} 1
tombolo_gateway_link_up{cluster="west",lane="2"} 0
`
	)
	check("no pass yet", "")
	other := link("west", "b")
	other.Lane, other.Device = 2, "tombolo2" // which the kernel does not have
	a.metrics.links.set([]plan.Link{link("west", "a"), other}, map[string]probe.Status{
		"west/a": {State: v1alpha1.LinkUp, RTT: 20 * time.Millisecond, Loss: 0.03}, "west/b": {State: v1alpha1.LinkConnecting},
	})
	k.received++ // after the pass
	check("one link up", loss+received+rtt+sent+up)
	for _, state := range []v1alpha1.LinkState{v1alpha1.LinkDown, v1alpha1.LinkDown, v1alpha1.LinkUp} {
		a.metrics.links.set([]plan.Link{link("west", "a"), other}, map[string]probe.Status{
			"west/a": {State: state, RTT: 20 * time.Millisecond, Loss: 0.03}, "west/b": {State: v1alpha1.LinkConnecting},
		})
	}
	check("it went and came back", changes+loss+received+rtt+sent+up)
	k.fail(errors.New("busy"))
	check("the kernel fails", changes+loss+rtt+up)
}

func TestMetricsAreDocumented(t *testing.T) {
	metricspage.Check(t, "Gateway", func(r prometheus.Registerer) { New(Config{Kernel: (&memoryKernel{}).kernel(), Registry: r}) })
}
