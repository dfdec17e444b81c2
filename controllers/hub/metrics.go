package hub

import (
	"errors"
	"math"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// connectedMetric is 1 while the operator reads and writes the hub, else 0. A stand-by reports 0.
func (h *Hub) connectedMetric() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "tombolo", Subsystem: "operator", Name: "hub_connected",
		Help: "Whether the operator is in step with the hub (1) or not (0).",
	}, func() float64 {
		if h.Status().Connected() {
			return 1
		}
		return 0
	})
}

// expiryDesc describes when the token ends. A never-ending token has +Inf, so that no alert on it
// fires. A stand-by has no such metric.
func expiryDesc() *prometheus.Desc {
	return prometheus.NewDesc("tombolo_operator_hub_token_expiry_timestamp_seconds",
		"When the hub's token ends, in seconds since 1970; +Inf: never.", nil, nil)
}

// expiryMetric has one metric once there is a token that says when it ends.
type expiryMetric struct {
	desc   *prometheus.Desc
	expiry *atomic.Int64
}

// Describe implements prometheus.Collector.
func (m expiryMetric) Describe(to chan<- *prometheus.Desc) { to <- m.desc }

// Collect implements prometheus.Collector.
func (m expiryMetric) Collect(to chan<- prometheus.Metric) {
	switch at := m.expiry.Load(); at {
	case 0:
	case math.MaxInt64:
		to <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, math.Inf(1))
	default:
		to <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, float64(at))
	}
}

// Register adds the Hub's metrics to the registry. A registry can have one Hub.
func (h *Hub) Register(registry prometheus.Registerer) error {
	return errors.Join(registry.Register(h.connectedMetric()), registry.Register(expiryMetric{expiryDesc(), &h.expiry}))
}
