package screen

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// sliceWith is a slice on the hub of the Service shop/<service>, of that age, with so many ports and
// endpoints.
func sliceWith(service, name string, age, ports, endpoints int) discoveryv1.EndpointSlice {
	return discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(int64(age), 0)), Labels: map[string]string{
			v1alpha1.LabelNamespace: "shop", v1alpha1.LabelServiceName: service, v1alpha1.LabelSourceCluster: "west"}},
		AddressType: "IPv4", Ports: make([]discoveryv1.EndpointPort, ports), Endpoints: make([]discoveryv1.Endpoint, endpoints),
	}
}

func TestShareOfService(t *testing.T) {
	v6 := func(s discoveryv1.EndpointSlice) discoveryv1.EndpointSlice { s.AddressType = "IPv6"; return s }
	limits := DefaultLimits()
	for _, test := range []struct {
		name   string
		slices []discoveryv1.EndpointSlice
		want   map[string]int
	}{
		{"in the order of names, each family for itself", []discoveryv1.EndpointSlice{
			sliceWith("web", "e", 1, 1, 10), sliceWith("web", "c", 2, 1, 3000), v6(sliceWith("web", "b", 3, 1, 4000)),
			sliceWith("web", "a", 4, 1, 2000), v6(sliceWith("web", "d", 5, 1, 1001)),
		}, map[string]int{"a": 2000, "b": 4000, "c": 3000, "d": 1000, "e": 0}},
		{"many ports leave room for fewer", []discoveryv1.EndpointSlice{sliceWith("web", "a", 1, 1, 100), sliceWith("web", "b", 1, 256, 1000)},
			map[string]int{"a": 100, "b": 50_000/256 - 100}},
		{"ten ports do not", []discoveryv1.EndpointSlice{sliceWith("web", "a", 1, 10, 5000)}, map[string]int{"a": 5000}},
		{"each Service for itself", []discoveryv1.EndpointSlice{sliceWith("web", "a", 1, 1, 5000), sliceWith("db", "b", 1, 1, 5000)},
			map[string]int{"a": 5000, "b": 5000}},
	} {
		t.Run(test.name, func(t *testing.T) {
			share := ShareOf(test.slices, limits)
			for i := range test.slices {
				s := &test.slices[i]
				limited, skipped := share.Limit(s, limits)
				if got, want := len(limited.Endpoints), test.want[s.Name]; got != want || share.Out[s.Name] {
					t.Errorf("of slice %s %d are imported, want %d", s.Name, got, want)
				}
				if over := len(s.Endpoints) - len(limited.Endpoints); (over > 0) != (len(skipped) == 1) ||
					over > 0 && (skipped[0].Count != over || !strings.Contains(skipped[0].Message, "patch member west")) {
					t.Errorf("slice %s: skipped %+v", s.Name, skipped)
				}
			}
		})
	}
}

// One cluster's slices and endpoints are limited in all. The youngest are left out, by every importer.
func TestShareOfCluster(t *testing.T) {
	limits := Limits{Slices: 5, Endpoints: 1000, EndpointsPerService: 500}
	for _, test := range []struct {
		name   string
		slices int
		each   int // endpoints
		out    int
		remedy string
	}{
		{"within", 5, 200, 0, ""},
		{"slices", 8, 1, 3, `"slices":8`},
		{"endpoints", 5, 300, 2, `"endpoints":1500`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var all []discoveryv1.EndpointSlice
			for i := range test.slices {
				all = append(all, sliceWith(fmt.Sprint(i), fmt.Sprint("s", 9-i), i, 1, test.each))
			}
			share := ShareOf(all, limits)
			if len(share.Out) != test.out || share.Out["s9"] || test.out > 0 && !share.Out[all[len(all)-1].Name] {
				t.Errorf("left out: %v", share.Out)
			}
			told := share.Told("west", limits)
			if (told != nil) != (test.out > 0) || told != nil && (told.Count != test.out || !strings.Contains(told.Message, test.remedy)) {
				t.Errorf("told as %+v", told)
			}
			rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			if diff := cmp.Diff(share.Out, ShareOf(all, limits).Out); diff != "" {
				t.Errorf("it depends on the order (-want +got):\n%s", diff)
			}
		})
	}
}

// A Service with very many slices is crowded, and what is left out is told.
func TestCrowdedService(t *testing.T) {
	var all []discoveryv1.EndpointSlice
	for i := range MaxServiceSlices + 7 {
		all = append(all, sliceWith("web", fmt.Sprintf("s%05d", i), 1, 1, 1))
	}
	share := ShareOf(all, DefaultLimits())
	if told := share.Told("west", DefaultLimits()); len(share.Out) != 7 || !share.Out["s01006"] || !share.Crowded[ServiceKey{"shop", "web"}] || told.Count != 7 {
		t.Errorf("left out %v, crowded %v, told %+v", share.Out, share.Crowded, told)
	}
	before := share
	share = ShareOf(all[:MaxServiceSlices+6], DefaultLimits())
	if last := &all[MaxServiceSlices+6]; !share.Differs(before, last) || share.Differs(before, &all[MaxServiceSlices+5]) {
		t.Error("what has changed is not told")
	}
}

// The cost of counting grows as the number of slices does, also where a cluster has far too many.
func BenchmarkShareOf(b *testing.B) {
	for _, n := range []int{1000, 10_000, 70_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var all []discoveryv1.EndpointSlice
			for i := range n {
				all = append(all, sliceWith(fmt.Sprint("s", i%100), fmt.Sprint("slice-", i), i, 1, 10))
			}
			for b.Loop() {
				ShareOf(all, DefaultLimits())
			}
		})
	}
}
