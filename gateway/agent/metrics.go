package agent

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// scrapeTimeout bounds the reading of the kernel for a scrape.
const scrapeTimeout = 5 * time.Second

// metrics of a gateway.
type metrics struct {
	links    *linkCollector
	passes   *prometheus.CounterVec
	duration prometheus.Histogram
	changes  *prometheus.CounterVec
	repairs  *prometheus.CounterVec
	reaction prometheus.Histogram
}

// newMetrics returns metrics that are registered with r, if it is not nil.
func newMetrics(r prometheus.Registerer, traffic tunnelReader) *metrics {
	links, with := newLinkCollector(traffic), promauto.With(r)
	if r != nil {
		r.MustRegister(links)
	}
	return &metrics{
		links: links,
		passes: with.NewCounterVec(prometheus.CounterOpts{
			Name: "tombolo_gateway_passes_total", Help: "Passes over the node's tunnels and routes.",
		}, []string{"result"}),
		duration: with.NewHistogram(prometheus.HistogramOpts{
			Name: "tombolo_gateway_pass_duration_seconds", Help: "Duration of a pass over the node's tunnels and routes.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 12),
		}),
		changes: with.NewCounterVec(prometheus.CounterOpts{
			Name: "tombolo_gateway_kernel_changes_total", Help: "Passes that changed something in the kernel.",
		}, []string{"operation"}),
		repairs: with.NewCounterVec(prometheus.CounterOpts{
			Name: "tombolo_gateway_repairs_total", Help: "Passes that mended what others had changed.",
		}, []string{"part"}),
		reaction: with.NewHistogram(prometheus.HistogramOpts{
			Name: "tombolo_gateway_reaction_seconds", Help: "Time from a link's change of state until the routes are written.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 14),
		}),
	}
}

// moved counts how long ago the last of the links changed its state, when the routes follow.
func (m *metrics) moved(statuses map[string]probe.Status, now time.Time) {
	var last time.Time
	for _, s := range statuses {
		if s.Since.After(last) {
			last = s.Since
		}
	}
	m.reaction.Observe(now.Sub(last).Seconds())
}

func (m *metrics) pass(elapsed time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.passes.WithLabelValues(result).Inc()
	m.duration.Observe(elapsed.Seconds())
}

// measuredLink is a link as a pass found it.
type measuredLink struct {
	plan.Link
	status probe.Status
}

// linkCollector measures the links at each scrape: their states as of the last pass, their bytes as
// of now.
type linkCollector struct {
	traffic tunnelReader
	// links as the last pass that had a plan found them.
	links atomic.Pointer[[]measuredLink]

	up, rtt, loss, received, sent *prometheus.Desc
	changes                       *prometheus.CounterVec
}

func newLinkCollector(traffic tunnelReader) *linkCollector {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("tombolo_gateway_link_"+name, help, []string{"cluster", "lane"}, nil)
	}
	return &linkCollector{
		traffic:  traffic,
		up:       describe("up", "Whether the link to the remote gateway with that lane is up."),
		rtt:      describe("rtt_seconds", "Mean round trip of probes on the link."),
		loss:     describe("loss_ratio", "Share of probes on the link that were lost in the last two minutes, outages aside."),
		received: describe("received_bytes_total", "Bytes received from the peer, as WireGuard counts them."),
		sent:     describe("sent_bytes_total", "Bytes sent to the peer, as WireGuard counts them."),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tombolo_gateway_link_changes_total", Help: "How often the link has changed to that state. To Down is a failover, if another link to the cluster was up.",
		}, []string{"cluster", "lane", "state"}),
	}
}

// set takes the links of a plan, with their statuses by linkName, and counts which have changed
// their state.
func (c *linkCollector) set(links []plan.Link, statuses map[string]probe.Status) {
	before := map[plan.LinkID]v1alpha1.LinkState{}
	if last := c.links.Load(); last != nil {
		for _, l := range *last {
			before[l.LinkID] = l.status.State
		}
	}
	measured := make([]measuredLink, 0, len(links))
	for _, l := range links {
		now := statuses[linkName(l.LinkID)]
		if was := before[l.LinkID]; was != "" && now.State != "" && was != now.State {
			c.changes.WithLabelValues(string(l.Cluster), strconv.Itoa(int(l.Lane)), string(now.State)).Inc()
		}
		measured = append(measured, measuredLink{l, now})
	}
	c.links.Store(&measured)
}

// Describe implements prometheus.Collector.
func (c *linkCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.rtt, c.loss, c.received, c.sent} {
		descs <- d
	}
	c.changes.Describe(descs)
}

// Collect implements prometheus.Collector. A link whose peer cannot be read has no bytes: the
// counters would seem to start again at zero. The passes read the same devices, so Ready and the
// condition say what is wrong with them.
func (c *linkCollector) Collect(samples chan<- prometheus.Metric) {
	c.changes.Collect(samples)
	links := c.links.Load()
	if links == nil || len(*links) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout) //nolint:forbidigo // a scrape brings none
	defer cancel()
	have, err := c.traffic.Read(ctx)
	if err != nil {
		have = wireguard.State{}
	}
	for _, l := range *links {
		send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64) {
			samples <- prometheus.MustNewConstMetric(d, kind, value, string(l.Cluster), strconv.Itoa(int(l.Lane)))
		}
		up := 0.0
		if l.status.State == v1alpha1.LinkUp {
			up = 1
		}
		send(c.up, prometheus.GaugeValue, up)
		send(c.rtt, prometheus.GaugeValue, l.status.RTT.Seconds())
		send(c.loss, prometheus.GaugeValue, l.status.Loss)
		device, _ := have.Device(l.Device)
		if peer, ok := device.Peer(l.PublicKey); ok {
			send(c.received, prometheus.CounterValue, float64(peer.Received))
			send(c.sent, prometheus.CounterValue, float64(peer.Sent))
		}
	}
}
