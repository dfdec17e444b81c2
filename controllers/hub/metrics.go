package hub

import (
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

// Register adds the Hub's metrics to the registry. A registry can have one Hub.
func (h *Hub) Register(registry prometheus.Registerer) error {
	return registry.Register(h.connectedMetric())
}
