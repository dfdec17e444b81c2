package hub

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// oneLease is a hub's cache that has west's Lease. It lists nothing: a test that lists panics.
type oneLease struct {
	client.Reader
	lease *coordinationv1.Lease
}

// Get implements client.Reader.
func (r oneLease) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if lease, ok := into.(*coordinationv1.Lease); ok && key.Name == r.lease.Name {
		*lease = *r.lease
		return nil
	}
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

func exported(cluster, name string) *v1alpha1.ExportedService {
	export := &v1alpha1.ExportedService{}
	export.Name, export.Labels = name, map[string]string{v1alpha1.LabelSourceCluster: cluster}
	return export
}

// confirming is a View of a hub on which west has so many exports, and says so.
func confirming(count int) (View, []string) {
	h, p := &heartbeats{}, &published{}
	var all []string
	for i := range count {
		all = append(all, fmt.Sprint("west.", i))
		p.handler().OnAdd(exported("west", all[i]), true)
	}
	lease := leaseAt(110, all...)
	h.note(leaseAt(100, all...))
	h.note(lease)
	return View{Authoritative: true, Reader: oneLease{lease: lease}, heartbeats: h, published: p}, all
}

// What an export's end costs does not depend on how many exports there are.
func TestConfirmsCost(t *testing.T) {
	allocations := func(count int) float64 {
		view, all := confirming(count)
		if confirmed, err := view.Confirms(t.Context(), "west", "west.gone"); err != nil || !confirmed {
			t.Fatalf("the end of an export beside %d others is not confirmed: %v", count, err)
		}
		if confirmed, err := view.Confirms(t.Context(), "west", all[0]); err != nil || confirmed {
			t.Fatalf("the end of one that is on the hub is confirmed: %v", err)
		}
		return testing.AllocsPerRun(10, func() { _, _ = view.Confirms(t.Context(), "west", "west.gone") })
	}
	if few, many := allocations(10), allocations(10_000); many > few+1 { // a number of several digits is another one
		t.Errorf("%.0f allocations with 10 exports, and %.0f with 10,000", few, many)
	}
}

// BenchmarkConfirms is the cost of the question for each import that may be gone.
func BenchmarkConfirms(b *testing.B) {
	for _, count := range []int{100, 70_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			view, _ := confirming(count)
			for b.Loop() {
				if confirmed, err := view.Confirms(b.Context(), "west", "west.gone"); err != nil || !confirmed {
					b.Fatal(confirmed, err)
				}
			}
		})
	}
}

// What is remembered follows the cache: what comes, goes, and goes to another cluster.
func TestPublished(t *testing.T) { synctest.Test(t, testPublished) } // where the time that a digest takes is 0

func testPublished(t *testing.T) {
	p := &published{}
	handler := p.handler()
	says := func(cluster v1alpha1.ClusterID, names ...string) {
		t.Helper()
		if !p.confirms(cluster, clusterset.HeartbeatAnnotations(names), []string{"missed"}) {
			t.Errorf("cluster %s does not publish exactly %q", cluster, names)
		}
		if p.confirms(cluster, clusterset.HeartbeatAnnotations(append(names, "another")), nil) ||
			len(names) > 0 && p.confirms(cluster, clusterset.HeartbeatAnnotations(append(names[1:], "another")), nil) {
			t.Errorf("cluster %s publishes more than %q", cluster, names)
		}
	}
	gateway := &v1alpha1.GatewayNode{}
	gateway.Name, gateway.Labels = "gw", map[string]string{v1alpha1.LabelSourceCluster: "west"}
	says("west")
	handler.OnAdd(exported("west", "a"), true)
	handler.OnAdd(exported("west", "b"), false)
	handler.OnAdd(gateway, false)
	says("west", "a", "b", "gw")
	handler.OnUpdate(exported("west", "a"), exported("east", "a"))
	handler.OnUpdate(exported("west", "b"), exported("west", "b"))
	says("west", "b", "gw")
	says("east", "a")
	if !p.hasGateways("west", []string{"gw"}) || p.hasGateways("west", nil) || p.hasGateways("west", []string{"b"}) || p.hasGateways("west", []string{"gw", "b"}) {
		t.Error("west's gateways are not gw alone")
	}
	handler.OnDelete(toolscache.DeletedFinalStateUnknown{Obj: exported("west", "b")})
	handler.OnDelete(gateway)
	handler.OnDelete(gateway)
	says("west")
	handler.OnDelete(exported("east", "a"))
	if len(p.clusters) != 0 {
		t.Errorf("%d clusters are remembered that publish nothing", len(p.clusters))
	}
}
