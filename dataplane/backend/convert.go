package backend

import (
	"cmp"
	"fmt"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// ipvsSchedulers by their names in the kernel.
var ipvsSchedulers = map[v1alpha1.Scheduler]string{
	v1alpha1.SchedulerRoundRobin: "wrr", v1alpha1.SchedulerLeastConnection: "wlc", v1alpha1.SchedulerConsistentHash: "mh",
}

// ipvsService returns what IPVS should have. A scheduler that has no name in ipvsSchedulers keeps
// its own name, so that the kernel's refusal names it.
func ipvsService(v plan.VirtualService) ipvs.Service {
	scheduler := clusterset.SchedulerOn(v1alpha1.BackendIPVS, v.Scheduler)
	service := ipvs.Service{Scheduler: cmp.Or(ipvsSchedulers[scheduler], string(scheduler)), Affinity: v.Affinity,
		Destinations: make([]ipvs.Destination, 0, len(v.Destinations))}
	for _, d := range v.Destinations {
		service.Destinations = append(service.Destinations, ipvs.Destination{Address: d.Address, Port: d.Port, Weight: d.Weight})
	}
	return service
}

// nftSchedulers are the schedulers that nftables has.
var nftSchedulers = map[v1alpha1.Scheduler]nftables.Scheduler{
	v1alpha1.SchedulerRoundRobin: nftables.RoundRobin, v1alpha1.SchedulerRandom: nftables.Random,
	v1alpha1.SchedulerConsistentHash: nftables.ConsistentHash,
}

func nftService(v plan.VirtualService) nftables.Service {
	service := nftables.Service{Scheduler: nftSchedulers[clusterset.SchedulerOn(v1alpha1.BackendNFTables, v.Scheduler)], Affinity: v.Affinity,
		Destinations: make([]nftables.Destination, 0, len(v.Destinations))}
	for _, d := range v.Destinations {
		service.Destinations = append(service.Destinations, nftables.Destination{Address: d.Address, Port: d.Port, Weight: d.Weight})
	}
	return service
}

// firstFew is how many things a Change names.
const firstFew = 4

// inWords returns the words of each item.
func inWords[T fmt.Stringer](items []T) []string {
	words := make([]string, 0, len(items))
	for _, item := range items {
		words = append(words, item.String())
	}
	return words
}
