package backend

import (
	"fmt"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// hashSlots is among how many destinations IPVS's scheduler mh shares flows at most, unless the
// kernel is built otherwise (CONFIG_IP_VS_MH_TAB_INDEX 12).
const hashSlots = 4093

// Crowded is a port with more endpoints than a backend shares flows among.
type Crowded struct {
	// Port in words: "TCP 244.0.0.1:80", for example.
	Port string
	// Skipped says how many endpoints get no flows, why, and what helps.
	Skipped plan.Skipped
}

// CrowdedOf returns those of the services that are crowded where that backend serves.
func CrowdedOf(services []plan.VirtualService, by v1alpha1.DataplaneBackend) (crowded []Crowded) {
	for _, service := range services {
		if len(service.Destinations) <= min(hashSlots, nftables.MaxSlots) {
			continue // nearly all services
		}
		more, why := 0, ""
		switch {
		case by == v1alpha1.BackendNFTables:
			more = nftService(service).Unplaced(service.Key)
			why = fmt.Sprintf("nftables shares the flows to a port among %d endpoints at most: let trafficDistribution or a TrafficPolicy choose fewer, or serve with IPVS", nftables.MaxSlots)
		case service.Scheduler == v1alpha1.SchedulerConsistentHash:
			more = weighted(service.Destinations) - hashSlots
			why = fmt.Sprintf("IPVS shares flows by hash among %d endpoints at most: let trafficDistribution or a TrafficPolicy choose fewer, or use another scheduler", hashSlots)
		}
		if more > 0 {
			port := service.Key.String()
			crowded = append(crowded, Crowded{Port: port,
				Skipped: plan.Skipped{What: fmt.Sprintf("%d endpoints of %s", more, port), Count: more, Why: why}})
		}
	}
	return crowded
}

// weighted counts the destinations that may get new flows.
func weighted(all []plan.Destination) (n int) {
	for _, d := range all {
		if d.Weight > 0 {
			n++
		}
	}
	return n
}
