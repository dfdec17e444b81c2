package pack

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Endpoints that are no pods have slices of their own, which say so. An endpoint that becomes external,
// or a pod, is on the hub all the time; so is one that an older version put beside the others.
func TestExternalApart(t *testing.T) {
	external := map[string]bool{}
	p := publisher(3)
	p.Judge = func(_ *discoveryv1.EndpointSlice, all []discoveryv1.Endpoint) (pods, others []discoveryv1.Endpoint, skipped []screen.Skipped) {
		for _, e := range all {
			if external[e.Addresses[0]] {
				others = append(others, e)
			} else {
				pods = append(pods, e)
			}
		}
		return pods, others, nil
	}
	s, h, local := service(corev1.IPv4Protocol), &fakeHub{}, localSlice("a", "IPv4", "10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4")
	for i := range local.Endpoints {
		local.Endpoints[i].Conditions.Ready = new(true)
	}
	for _, now := range [][]string{nil, {"10.1.0.2"}, {"10.1.0.2", "10.1.0.3"}, {"10.1.0.1"}, {"10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"}, {"10.1.0.4"}, nil} {
		clear(external)
		for _, a := range now {
			external[a] = true
		}
		offer := p.Offer(s, []discoveryv1.EndpointSlice{local})
		must := bothIn(h.slices, offer)
		h.apply(p.Pack(s, offer, h.snapshot()), func() bool {
			there := addressesOf(h.slices)
			for a := range must {
				if !there[a] {
					t.Fatalf("external %v: %s is absent meanwhile", now, a)
				}
			}
			return true
		})
		checkPacked(t, h, p, s, offer)
		for _, slice := range h.slices {
			for _, e := range slice.Endpoints {
				if a := e.Addresses[0]; clusterset.External(slice.Labels) != slices.Contains(now, a) {
					t.Errorf("external %v: %s is in a slice with the labels %v", now, a, slice.Labels)
				}
			}
		}
	}
}
