package plan

import (
	"fmt"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// spread is an import with so many endpoints in each of the clusters east, north and west, in
// slices of 100.
func spread(endpoints map[string]int) Input {
	in := Input{Import: imported([]string{"244.0.0.1"}, port("http", "TCP", 80)), Place: place(), Now: time.Unix(1_800_000_000, 0)}
	in.Place.Zone, in.Place.FailBack = "a", 30*time.Second
	for i, cluster := range []string{"east", "north", "west"} {
		for n := 0; n < endpoints[cluster]; n += 100 {
			s := slice(cluster, discoveryv1.AddressTypeIPv4, []discoveryv1.EndpointPort{slicePort("http", "TCP", 8080)})
			s.Name = fmt.Sprintf("%s.web-%d", cluster, n)
			for k := n; k < min(endpoints[cluster], n+100); k++ {
				e := ready(fmt.Sprintf("10.%d.%d.%d", i+1, k/250, k%250+1))
				e.Zone, e.NodeName = ptr.To(string(rune('a'+k%3))), ptr.To("worker")
				s.Endpoints = append(s.Endpoints, e)
			}
			in.Slices = append(in.Slices, s)
		}
	}
	return in
}

// BenchmarkServices plans one import of 16 endpoints in two clusters: first as a process that knows
// nothing of it, then as one that planned it before.
func BenchmarkServices(b *testing.B) {
	sixteen := spread(map[string]int{"east": 8, "west": 8})
	near := spread(map[string]int{"east": 8, "west": 8})
	near.Import.Spec.TrafficDistribution = ptr.To("PreferSameZone")
	canary := spread(map[string]int{"east": 8, "west": 8})
	canary.Policy = &v1alpha1.TrafficPolicy{Spec: v1alpha1.TrafficPolicySpec{Weights: []v1alpha1.ClusterWeight{{Cluster: "east", Weight: 5}, {Cluster: "west", Weight: 95}}}}
	for _, tt := range []struct {
		name string
		in   Input
	}{{"plain", sixteen}, {"zone", near}, {"canary", canary},
		{"5000-endpoints", spread(map[string]int{"east": 2500, "west": 2500})}} {
		b.Run(tt.name+"/first", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Services(tt.in)
			}
		})
		tt.in.Memory = Services(tt.in).Memory
		b.Run(tt.name+"/again", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Services(tt.in)
			}
		})
	}
}

// BenchmarkImports plans 5,000 imports of 16 endpoints each, as when the place of a node changes.
func BenchmarkImports(b *testing.B) {
	all := make([]Input, 5000)
	for i := range all {
		all[i] = spread(map[string]int{"east": 8, "west": 8})
		all[i].Import.Spec.IPs[0] = fmt.Sprintf("244.0.%d.%d", i/250, i%250+1)
		all[i].Memory = Services(all[i]).Memory
	}
	b.ReportAllocs()
	for b.Loop() {
		for i := range all {
			Services(all[i])
		}
	}
}
