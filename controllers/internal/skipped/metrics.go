package skipped

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
)

type metrics struct {
	skipped *prometheus.CounterVec // by cluster and reason
	objects *prometheus.GaugeVec   // by cluster
}

func newMetrics() metrics {
	return metrics{
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "tombolo", Subsystem: "import", Name: "skipped_total",
			Help: "Objects, endpoints, ports and fields that a cluster publishes and that were newly skipped.",
		}, []string{"cluster", "reason"}),
		objects: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "tombolo", Subsystem: "import", Name: "skipped_objects",
			Help: "Objects that a cluster publishes and that are skipped, in whole or in part.",
		}, []string{"cluster"}),
	}
}

// Register adds the Ledger's metrics to the registry. A registry can have one Ledger.
func (l *Ledger) Register(registry prometheus.Registerer) error {
	return errors.Join(registry.Register(l.metrics.skipped), registry.Register(l.metrics.objects))
}

// count adds what is in skipped and not in had, for each reason.
func (m metrics) count(cluster v1alpha1.ClusterID, had, skipped []screen.Skipped) {
	more := map[string]int{}
	for _, s := range skipped {
		more[s.Reason] += s.Count
	}
	for _, s := range had {
		more[s.Reason] -= s.Count
	}
	for reason, n := range more {
		if n > 0 {
			m.skipped.WithLabelValues(string(cluster), reason).Add(float64(n))
		}
	}
}
