//go:build kernel

package agent

import (
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
)

// TestHandWrittenSlices: a pod reaches itself through the clusterset IP of a Service whose
// EndpointSlice somebody wrote by hand. Such a slice names no node, or a wrong one.
func TestHandWrittenSlices(t *testing.T) {
	s := newSite(t)
	s.listen()
	written := []struct {
		name string
		vip  int
		by   func(discoveryv1.Endpoint) discoveryv1.Endpoint
	}{
		{"no node", 2, func(e discoveryv1.Endpoint) discoveryv1.Endpoint { return e }},
		{"another node", 3, func(e discoveryv1.Endpoint) discoveryv1.Endpoint { return onNode(e, "other") }},
	}
	for _, backend := range []v1alpha1.DataplaneBackend{v1alpha1.BackendIPVS, v1alpha1.BackendNFTables} {
		t.Run(string(backend), func(t *testing.T) {
			f := s.in(t).fixture(backend, bothFamilies)
			defer f.leave()
			for _, w := range written {
				name := string(rune('a' + w.vip))
				f.serve(name, w.vip, servicePorts(http80, dns53, sig90)...)
				for _, a := range bothFamilies {
					f.endpoints(name, "west", a, endpointPorts("west", http80, dns53, sig90), w.by(ready(a.pod)))
				}
			}
			f.pass(node.Marked)
			f.quiet()
			for _, a := range bothFamilies {
				for _, p := range []port{http80, dns53, sig90} {
					for _, w := range written {
						f.reaches(s.pod, w.name+", by itself", p.network(), a.to(w.vip, p.number), a.podGateway, at(a.pod, p.west))
						f.reaches(s.neighbour, w.name+", by its neighbour", p.network(), a.to(w.vip, p.number), a.neighbour, at(a.pod, p.west))
						f.reaches(s.worker, w.name+", by the node", p.network(), a.to(w.vip, p.number), a.node, at(a.pod, p.west))
					}
				}
			}
		})
	}
}
