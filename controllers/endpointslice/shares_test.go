package endpointslice

import (
	"context"
	"fmt"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
)

// hubCache is a hub's cache that holds slices only, and counts how often all are read.
type hubCache struct {
	slices []discoveryv1.EndpointSlice
	reads  int
}

func (h *hubCache) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

func (h *hubCache) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	h.reads++
	list.(*discoveryv1.EndpointSliceList).Items = append([]discoveryv1.EndpointSlice(nil), h.slices...)
	return nil
}

// A Service with very many slices that all change is not read in full on each change: counting takes
// a twentieth of a CPU at most.
func TestManySlicesChange(t *testing.T) {
	const slices = 20_000
	cache := &hubCache{}
	for i := range slices {
		cache.slices = append(cache.slices, discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("west.0123456789abcdef.%d", i), Labels: map[string]string{
				v1alpha1.LabelNamespace: "shop", v1alpha1.LabelServiceName: "web", v1alpha1.LabelSourceCluster: "west"}},
			AddressType: "IPv4", Endpoints: make([]discoveryv1.Endpoint, 1),
		})
	}
	view, all := hub.View{Reader: cache}, shares{}
	start := time.Now()
	for range slices {
		all.touch("west")
		found, _, err := all.count(t.Context(), view, "west", true)
		if err != nil || len(found.Out) != slices-screen.MaxServiceSlices {
			t.Fatalf("%d slices are left out: %v", len(found.Out), err)
		}
	}
	elapsed := time.Since(start)
	t.Logf("%d changes in %v, in which all slices were read %d times", slices, elapsed, cache.reads)
	if cache.reads > slices/100 {
		t.Errorf("all slices were read %d times for %d changes", cache.reads, slices)
	}
	cache.slices = cache.slices[:screen.MaxServiceSlices]
	all.touch("west")
	all.clusters["west"].until = time.Time{} // as if some time had passed
	if found, changed, err := all.count(t.Context(), view, "west", true); err != nil || len(found.Out) != 0 || len(changed.freed) != 1 {
		t.Errorf("once they are fewer, %d are left out, freed %v: %v", len(found.Out), changed.freed, err)
	}
}
