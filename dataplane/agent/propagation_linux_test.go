package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/metricspage"
)

// Only an update that brings another time counts, once, when the kernel has it.
func TestPropagation(t *testing.T) {
	changed := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	at := func(said string) any {
		slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "west.1", Labels: map[string]string{v1alpha1.LabelSourceCluster: "west"}}}
		if said != "" {
			slice.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: said}
		}
		stripped, err := stripSlice(slice)
		if err != nil {
			t.Fatal(err)
		}
		return stripped
	}
	now := changed.Format(time.RFC3339Nano)
	for _, tt := range []struct {
		name          string
		before, after any
		want          int
	}{
		{"a change", at(""), at(now), 1},
		{"a later change", at("2026-11-01T11:59:00Z"), at(now), 1},
		{"a write for another reason", at(now), at(now), 0},
		{"a change of unknown time", at(now), at(""), 0},
		{"no time", at(""), at("yesterday"), 0},
		{"another kind", &corev1.Node{}, &corev1.Node{}, 0},
	} {
		p, marks := &propagation{}, 0
		handler := observed{node.OnEvent(func(client.Object) { marks++ }, nil), p}
		handler.OnAdd(tt.before, false)
		handler.OnUpdate(tt.before, tt.after)
		got := p.take()
		if len(got) != tt.want || marks != 3 {
			t.Errorf("%s: %d changes, %d marks, want %d and 3", tt.name, len(got), marks, tt.want)
		}
		p.failed(got)
		if again := p.take(); len(again) != tt.want {
			t.Errorf("%s: %d changes are left after a pass that failed", tt.name, len(again))
		}
	}
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	metrics.propagated([]propagating{{"west", changed}, {"west", changed.Add(time.Minute)}}, changed.Add(70*time.Millisecond))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "tombolo_dataplane_propagation_seconds" })
	if i < 0 || len(families[i].Metric) != 1 {
		t.Fatalf("want one histogram, of the cluster: %v", families)
	}
	if h := families[i].Metric[0].GetHistogram(); h.GetSampleCount() != 2 || h.GetSampleSum() != 0.07 {
		t.Errorf("%d changes took %v s, want 2 and 0.07: that of a clock that is ahead takes none", h.GetSampleCount(), h.GetSampleSum())
	}
}

func TestMetricsAreDocumented(t *testing.T) {
	metricspage.Check(t, "Dataplane", func(r prometheus.Registerer) { NewMetrics(r) })
}
