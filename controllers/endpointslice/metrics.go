package endpointslice

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// scrapeTimeout bounds the reading of the cache for a scrape.
const scrapeTimeout = 5 * time.Second

// Endpoints is a metric of the imported endpoints, counted in the cache at each scrape. A stand-by
// counts them, too.
type Endpoints struct {
	reader client.Reader
	desc   *prometheus.Desc
}

// NewEndpoints counts the slices in that cache.
func NewEndpoints(cache client.Reader) Endpoints {
	return Endpoints{reader: cache, desc: prometheus.NewDesc("tombolo_import_endpoints",
		"Imported endpoints of a cluster, by state: ready, serving (terminating, and still served if no other is ready) or down.",
		[]string{"cluster", "state"}, nil)}
}

// Describe implements prometheus.Collector.
func (e Endpoints) Describe(to chan<- *prometheus.Desc) { to <- e.desc }

// Collect implements prometheus.Collector. While the cache is not there yet there are no samples.
func (e Endpoints) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout) //nolint:forbidigo // a scrape brings none
	defer cancel()
	var all discoveryv1.EndpointSliceList
	if e.reader.List(ctx, &all, client.HasLabels{v1alpha1.LabelSourceCluster}, client.UnsafeDisableDeepCopy) != nil {
		return
	}
	count := map[v1alpha1.ClusterID]map[string]int{}
	for i := range all.Items {
		if !ours(&all.Items[i]) {
			continue
		}
		cluster := clusterset.SourceCluster(all.Items[i].Labels)
		if count[cluster] == nil {
			count[cluster] = map[string]int{"ready": 0, "serving": 0, "down": 0}
		}
		for j := range all.Items[i].Endpoints {
			count[cluster][state(&all.Items[i].Endpoints[j])]++
		}
	}
	for cluster, states := range count {
		for state, n := range states {
			to <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, float64(n), string(cluster), state)
		}
	}
}

// state of an endpoint; a condition that is unset counts as discovery/v1 says.
func state(e *discoveryv1.Endpoint) string {
	ready := ptr.Deref(e.Conditions.Ready, true)
	switch {
	case ready:
		return "ready"
	case ptr.Deref(e.Conditions.Serving, ready):
		return "serving"
	}
	return "down"
}
