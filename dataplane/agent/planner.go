package agent

import (
	"cmp"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// planner has what this node's kernel should have, and what the next plans need to know of the last
// ones. It is used by the loop only.
type planner struct {
	// known is false until there was something to plan from: until then the kernel is left alone.
	known   bool
	place   plan.Place
	network plan.Network
	// noIPv6 is why this node has no IPv6; empty if it has.
	noIPv6 string
	// options are those of the last ClusterSet that was accepted.
	options v1alpha1.DataplaneOptions
	// table has the virtual services that the kernel should have.
	table plan.Table
	// memory is what the next plan of a ServiceImport needs to know of the last one.
	memory map[types.NamespacedName]plan.Memory
	// again is when a ServiceImport is to be planned again though nothing marks it.
	again map[types.NamespacedName]time.Time
	// recalled is what an earlier life of this agent served, for the first plans.
	recalled map[plan.Key]plan.VirtualService
}

// adopt makes the plan the one to follow. It reports whether all services are to be planned again,
// since their place has changed.
func (p *planner) adopt(network plan.Network, place plan.Place) (all bool) {
	all = !p.known || !p.place.Equal(place)
	p.network, p.place, p.known = network, place, true
	return all
}

// grow makes room for so many ServiceImports. It does so once, and reports whether it did.
func (p *planner) grow(imports int) bool {
	if p.memory != nil {
		return false
	}
	p.table.Grow(imports)
	p.memory, p.again = make(map[types.NamespacedName]plan.Memory, imports), map[types.NamespacedName]time.Time{}
	return true
}

// put makes the plan for a ServiceImport the one to follow, and returns the virtual services that
// it replaces. The zero Output: there is no such ServiceImport any more.
func (p *planner) put(name types.NamespacedName, planned plan.Output) []plan.Replaced {
	p.grow(1)
	delete(p.again, name)
	if !planned.Again.IsZero() {
		p.again[name] = planned.Again
	}
	if len(planned.Services) > 0 {
		p.memory[name] = planned.Memory
	} else {
		delete(p.memory, name)
	}
	return p.table.Put(name, planned.Services)
}

// due returns the ServiceImports whose time to be planned again has come.
func (p *planner) due(now time.Time) []types.NamespacedName {
	var names []types.NamespacedName
	for name, at := range p.again {
		if !now.Before(at) {
			names = append(names, name)
		}
	}
	return names
}

// input returns what the plan for a ServiceImport follows from; its Import is nil if there is
// nothing to plan.
func (p *planner) input(from objects, name types.NamespacedName, now time.Time) plan.Input {
	si := from.imports[name]
	if si == nil || !clusterset.Served(si) {
		return plan.Input{}
	}
	return plan.Input{
		Import: si, Slices: from.slices[name], Policy: clusterset.PolicyFor(si, from.policies[name]),
		Place: p.place, Now: now, Memory: p.remembered(si),
	}
}

// remembered returns the memory for the next plan of a ServiceImport. If there is no such memory,
// it is made of what the kernel still has, so that a restart ends no flow to an endpoint that
// drains.
func (p *planner) remembered(si *mcsv1beta1.ServiceImport) plan.Memory {
	if memory, ok := p.memory[types.NamespacedName{Namespace: si.Namespace, Name: si.Name}]; ok || len(p.recalled) == 0 {
		return memory
	}
	var served []plan.VirtualService
	for _, ip := range si.Spec.IPs {
		address, err := netip.ParseAddr(ip)
		if err != nil {
			continue
		}
		for _, port := range si.Spec.Ports {
			key := plan.Key{Address: address, Protocol: serviceport.ParseProtocol(string(cmp.Or(port.Protocol, corev1.ProtocolTCP))), Port: uint16(port.Port)}
			if service, ok := p.recalled[key]; ok {
				served = append(served, service)
			}
		}
	}
	return plan.Recall(served)
}
