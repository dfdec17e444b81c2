package agent

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Metrics of the dataplane.
type Metrics struct {
	passDuration prometheus.Observer
	syncDuration *prometheus.HistogramVec
	kernelWrites *prometheus.CounterVec
	repairs      *prometheus.CounterVec
	syncErrors   *prometheus.CounterVec
	services     prometheus.Gauge
	destinations prometheus.Gauge
	foreign      prometheus.Gauge
	skipped      prometheus.Gauge
	backend      *prometheus.GaugeVec
	ready        prometheus.Gauge
	gatewayUp    *prometheus.GaugeVec
	propagation  *prometheus.HistogramVec // by cluster
	// why is the reason that backend has.
	why string
}

// NewMetrics registers the dataplane's metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "tombolo", Subsystem: "dataplane", Name: name, Help: help})
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tombolo", Subsystem: "dataplane", Name: name, Help: help}, []string{"part"})
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "tombolo", Subsystem: "dataplane", Name: name, Help: help,
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 16)}, labels) // 0.25 ms to 8 s
	}
	pass := histogram("pass_duration_seconds", "Time from the start of a pass that had changes to its end.")
	m := &Metrics{
		passDuration: pass.WithLabelValues(),
		syncDuration: histogram("sync_duration_seconds", "Time to compare a part of the kernel and bring it in step.", "part"),
		kernelWrites: counter("kernel_writes_total", "Objects written to the kernel. It stands still while nothing changes."),
		repairs:      counter("repairs_total", "Passes that mended what others had changed, or what had failed before."),
		syncErrors:   counter("sync_errors_total", "Attempts to bring a part in step that failed."),
		services:     gauge("virtual_services", "Ports of clusterset IPs that this node serves."),
		destinations: gauge("destinations", "Ready endpoints of these ports."),
		foreign:      gauge("foreign_virtual_services", "Virtual services of others inside the VIP CIDR."),
		skipped:      gauge("skipped", "Parts of ServiceImports that cannot be served: ports, addresses, endpoints."),
		backend: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "tombolo", Subsystem: "dataplane", Name: "backend",
			Help: "1 for what serves clusterset IPs on this node."}, []string{"backend", "reason"}),
		propagation: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "tombolo", Subsystem: "dataplane", Name: "propagation_seconds",
			Help:    "Time from a change of a cluster's endpoints, by that cluster's clock, until this node's kernel has it.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 12)}, []string{"cluster"}), // 10 ms to 20 s
		ready: gauge("ready", "1 if the kernel is as planned."),
		gatewayUp: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "tombolo", Subsystem: "dataplane", Name: "gateway_up",
			Help: "1 if the gateway answers this node, 0 if it has stopped; absent if it never has."}, []string{"gateway"}),
	}
	registry.MustRegister(m.propagation, pass, m.syncDuration, m.kernelWrites, m.repairs, m.syncErrors, m.services,
		m.destinations, m.foreign, m.skipped, m.backend, m.ready, m.gatewayUp)
	return m
}

// setBackend says what serves clusterset IPs, and why.
func (m *Metrics) setBackend(by v1alpha1.DataplaneBackend, why string) {
	if why == m.why {
		return
	}
	m.backend.Reset()
	m.backend.WithLabelValues(string(by), why).Set(1)
	m.why = why
}
