package plan

import (
	"net/netip"
	"slices"
	"time"
)

// Memory is what a plan needs to know of the one before it: what it served, since when what failed,
// and since when what drains. It is opaque, and callers do not change it; reflect.DeepEqual tells
// whether two are the same. It shares the virtual services with the Output that it came with. The
// zero Memory knows nothing.
type Memory struct {
	// services of the last plan, sorted by their keys.
	services []VirtualService
	// ports, one for each of the services; nil if no service needs one.
	ports []portMemory
	// ranking is the fingerprint of the ranking that the levels in ports belong to.
	ranking uint64
}

// portMemory is what a plan needs to know of one virtual service, beside its destinations.
type portMemory struct {
	// levels in order, without those at the end that never had health; nil if there are fewer than
	// two.
	levels []levelMemory
	// drains sorted by address and port.
	drains []drain
}

func (m portMemory) empty() bool { return len(m.levels) == 0 && len(m.drains) == 0 }

// drain is an endpoint that keeps its flows and gets no new ones.
type drain struct {
	address netip.Addr
	port    uint16
	// since is when it began.
	since time.Time
}

func (d drain) compare(other drain) int {
	return Destination{Address: d.address, Port: d.port}.Compare(Destination{Address: other.address, Port: other.port})
}

// Recall is the Memory of a plan that led to those virtual services, which the kernel may still
// have. With it a process that starts keeps the flows to endpoints that were draining, or that it
// would not choose. It knows nothing of what failed. The Memory keeps the services: nobody may
// change them afterwards, and Recall does not either.
func Recall(services []VirtualService) Memory {
	if len(services) == 0 {
		return Memory{}
	}
	sorted := sortUnique(slices.Clone(services))
	for i := range sorted {
		sorted[i].Destinations = sortUniqueDestinations(sorted[i].Destinations)
	}
	return Memory{services: sorted}
}

// sortUniqueDestinations returns the list itself if it is sorted already.
func sortUniqueDestinations(all []Destination) []Destination {
	if !slices.IsSortedFunc(all, Destination.Compare) {
		all = slices.Clone(all)
		slices.SortStableFunc(all, Destination.Compare)
	}
	for i := 1; i < len(all); i++ {
		if all[i-1].Compare(all[i]) == 0 {
			return slices.CompactFunc(slices.Clone(all), func(a, b Destination) bool { return a.Compare(b) == 0 })
		}
	}
	return all
}

// of returns what the last plan served at that key, and what it knew of that; nothing if it did not
// serve it.
func (m *Memory) of(key Key) (served VirtualService, known portMemory) {
	i, found := slices.BinarySearchFunc(m.services, key, func(v VirtualService, k Key) int { return v.Key.Compare(k) })
	if !found {
		return VirtualService{}, portMemory{}
	}
	if i < len(m.ports) {
		known = m.ports[i]
	}
	return m.services[i], known
}
