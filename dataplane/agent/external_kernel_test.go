//go:build kernel

package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// A virtual machine in this cluster's CIDRs, which knows its own subnet and no other.
var machine = map[string]struct{ address, node string }{
	ipv4.name: {"10.2.40.5", "10.2.40.1"}, ipv6.name: {"fd00:2:0:28::5", "fd00:2:0:28::1"},
}

// newMachine connects it with the node.
func (s *site) newMachine() *netns.Namespace {
	vm := netns.New(s.t)
	for i, a := range bothFamilies {
		bits, m := 24, machine[a.name]
		if a.name == ipv6.name {
			bits = 64
		}
		own, peer := fmt.Sprintf("%s/%d", m.node, bits), fmt.Sprintf("%s/%d", m.address, bits)
		if i == 0 {
			s.worker.Join("vm0", own, vm, "eth0", peer)
		} else {
			s.worker.Address("vm0", own)
			vm.Address("eth0", peer)
		}
		for _, p := range []port{http80, dns53, sig90} {
			serving(s.t, vm, p.network(), at(m.address, p.west))
		}
	}
	return vm
}

// TestExternalEndpoints: what is no pod, and knows no way to pods and other clusters, answers the pods
// and nodes of its own cluster through the clusterset IP, and other clusters through the gateway. It
// sees the node that it is reached by. What is a pod sees its clients as before.
func TestExternalEndpoints(t *testing.T) {
	s := newSite(t)
	s.listen()
	s.newMachine()
	for _, backend := range []v1alpha1.DataplaneBackend{v1alpha1.BackendIPVS, v1alpha1.BackendNFTables} {
		t.Run(string(backend), func(t *testing.T) {
			f := s.in(t).fixture(backend, bothFamilies)
			defer f.leave()
			f.serve("vm", 5, servicePorts(http80, dns53, sig90)...)
			f.serve("pods", 6, servicePorts(http80, dns53, sig90)...)
			for _, a := range bothFamilies {
				f.external("vm", a, machine[a.name].address)
				f.endpoints("pods", "west", a, endpointPorts("west", http80, dns53, sig90), onNode(ready(a.neighbour), "worker"))
			}
			f.pass(node.Marked)
			f.quiet()
			for _, a := range bothFamilies {
				vm := machine[a.name]
				for _, p := range []port{http80, dns53, sig90} {
					to := at(vm.address, p.west)
					f.reaches(s.pod, "a pod", p.network(), a.to(5, p.number), vm.node, to)
					f.reaches(s.worker, "the node", p.network(), a.to(5, p.number), vm.node, to)
					f.reaches(s.away, "another cluster", p.network(), to, vm.node, to)
					f.reaches(s.pod, "a pod, to a pod", p.network(), a.to(6, p.number), a.pod, at(a.neighbour, p.west))
					_, client, _ := strings.Cut(said(s.away, p.network(), at(a.neighbour, p.west)), " ")
					if !slices.Contains(a.away[:], client) { // which of them is the kernel's choice
						t.Errorf("%s from another cluster to a pod: it sees %q", p.network(), client)
					}
				}
			}
		})
	}
}

// external imports endpoints of this cluster that are no pods.
func (f *siteFixture) external(service string, a addresses, address string) {
	f.t.Helper()
	s := slice(service, "west", 0)
	s.Name = "west." + service + "." + string(a.kind)
	s.Labels[v1alpha1.LabelEndpoints] = v1alpha1.EndpointsExternal
	s.AddressType, s.Ports, s.Endpoints = a.kind, endpointPorts("west", http80, dns53, sig90), []discoveryv1.Endpoint{ready(address)}
	f.apply(s)
}
