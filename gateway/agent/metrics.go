package agent

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// Metrics of a gateway. It is safe for concurrent use.
type Metrics struct {
	passes   *prometheus.CounterVec
	duration prometheus.Histogram
	changes  *prometheus.CounterVec
	up       *prometheus.GaugeVec
	rtt      *prometheus.GaugeVec
	received *prometheus.GaugeVec
	sent     *prometheus.GaugeVec
}

// NewMetrics returns metrics that are registered with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	link := []string{"cluster", "lane"}
	m := &Metrics{
		passes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tombolo_gateway_passes_total", Help: "Passes over the node's tunnels and routes.",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tombolo_gateway_pass_duration_seconds", Help: "Duration of a pass over the node's tunnels and routes.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 12),
		}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tombolo_gateway_kernel_changes_total", Help: "Passes that changed something in the kernel.",
		}, []string{"operation"}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tombolo_gateway_link_up", Help: "Whether the link to the remote gateway with that lane is up.",
		}, link),
		rtt: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tombolo_gateway_link_rtt_seconds", Help: "Mean round trip of probes on the link.",
		}, link),
		received: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tombolo_gateway_link_received_bytes", Help: "Bytes received from the peer, as WireGuard counts them.",
		}, link),
		sent: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tombolo_gateway_link_sent_bytes", Help: "Bytes sent to the peer, as WireGuard counts them.",
		}, link),
	}
	r.MustRegister(m.passes, m.duration, m.changes, m.up, m.rtt, m.received, m.sent)
	return m
}

func (m *Metrics) pass(elapsed time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.passes.WithLabelValues(result).Inc()
	m.duration.Observe(elapsed.Seconds())
}

// observe sets what a pass saw of the links.
func (m *Metrics) observe(links []plan.Link, have wireguard.State, statuses map[string]probe.Status) {
	for _, g := range []*prometheus.GaugeVec{m.up, m.rtt, m.received, m.sent} {
		g.Reset()
	}
	for _, l := range links {
		device, _ := have.Device(l.Device)
		peer, _ := device.Peer(l.PublicKey)
		status := statuses[linkName(l.LinkID)]
		labels := []string{string(l.Cluster), strconv.Itoa(int(l.Lane))}
		up := 0.0
		if carriesTraffic(status.State) {
			up = 1
		}
		m.up.WithLabelValues(labels...).Set(up)
		m.rtt.WithLabelValues(labels...).Set(status.RTT.Seconds())
		m.received.WithLabelValues(labels...).Set(float64(peer.Received))
		m.sent.WithLabelValues(labels...).Set(float64(peer.Sent))
	}
}
