package agent

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tombolo-net/tombolo/gateway/ingress"
)

// droppedCollector reads at each scrape what the filter on the way in has dropped.
type droppedCollector struct {
	table ingressTable
	total *prometheus.Desc
}

func newDroppedCollector(table ingressTable) droppedCollector {
	return droppedCollector{table: table, total: prometheus.NewDesc("tombolo_gateway_ingress_dropped_total",
		"Packets of a cluster that the filter on the way in has dropped, by reason; no cluster: the source is no member's.",
		[]string{"cluster", "reason"}, nil)}
}

// Describe implements prometheus.Collector.
func (c droppedCollector) Describe(descs chan<- *prometheus.Desc) { descs <- c.total }

// Collect implements prometheus.Collector. Without a filter there are no samples.
func (c droppedCollector) Collect(samples chan<- prometheus.Metric) {
	dropped, err := c.table.Dropped()
	if err != nil {
		samples <- prometheus.NewInvalidMetric(c.total, err)
		return
	}
	for name, packets := range dropped.Packets {
		if cluster, reason, ok := ingress.ParseCounterName(name); ok {
			samples <- prometheus.MustNewConstMetric(c.total, prometheus.CounterValue, float64(packets), string(cluster), string(reason))
		}
	}
}
