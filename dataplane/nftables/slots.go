package nftables

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
)

// MaxSlots is how many slots a service has at most, and with it how many destinations get new
// flows.
const MaxSlots = 4096

// tolerance is how far a destination's share may be from its weight.
const tolerance = 0.05

// schedulers by Scheduler: the API's name, the prefix of the chains' names, the nftables expression
// for one of n slots, and which numbers of slots there are: next is the least that is n or more.
var schedulers = [...]struct {
	name, prefix string
	slot         func(f family, n int) string
	next         func(n int) int
}{
	Random: {"Random", "random",
		func(_ family, n int) string { return fmt.Sprintf("numgen random mod %d", n) },
		func(n int) int { return n }},
	RoundRobin: {"RoundRobin", "inc",
		func(_ family, n int) string { return fmt.Sprintf("numgen inc mod %d", n) },
		func(n int) int { return max(n, 16) }},
	ConsistentHash: {"ConsistentHash", "hash",
		func(f family, n int) string {
			return fmt.Sprintf("jhash %s saddr mod %d seed %#x", f.name, n, hashSeed)
		},
		func(n int) int {
			if n <= fewestByHash {
				return fewestByHash
			}
			return MaxSlots
		}},
}

// fewestByHash is the least number of slots for ConsistentHash: enough for 51 destinations of equal
// weight. They take some
// 80 KB of the kernel, where the table of IPVS's scheduler mh has 33.
const fewestByHash = 1024

// Unplaced is how many destinations with weight get no new flows under that key, because a service
// has no more than MaxSlots slots. They are chosen by hash, so that others' coming and going moves
// few, and so that those of equal weight that are left have the share of all of them.
func (s Service) Unplaced(key Key) int {
	all := s.weighted(key)
	if len(all) <= MaxSlots {
		return 0
	}
	return len(all) - len(placed(all))
}

// slots are the endpoints of the slots of the service; none if no destination has weight. A
// destination's slots are in proportion to its weight, within the tolerance if MaxSlots slots allow
// that, and at least one.
func (s Service) slots(key Key) []netip.AddrPort {
	candidates := s.candidates(key)
	if len(candidates) == 0 {
		return nil
	}
	quotas, parts := s.quotas(candidates)
	return assign(candidates, quotas, parts)
}

// candidate is a destination that gets slots.
type candidate struct {
	endpoint netip.AddrPort
	weight   uint32
	// hash of the endpoint and the service: two services with the same endpoints give them different
	// slots.
	hash uint64
}

// candidates are the destinations with weight that get slots, sorted by endpoint.
func (s Service) candidates(key Key) []candidate {
	all := s.weighted(key)
	if len(all) > MaxSlots {
		all = placed(all)
	}
	return all
}

// weighted are the destinations with weight, sorted by endpoint.
func (s Service) weighted(key Key) []candidate {
	seed := hashKey(key)
	all := make([]candidate, 0, len(s.Destinations))
	for _, d := range s.Destinations {
		if d.Weight > 0 {
			endpoint := netip.AddrPortFrom(d.Address, d.Port)
			all = append(all, candidate{endpoint, d.Weight, mix(seed ^ hashAddress(d.Address) ^ uint64(d.Port)<<48)})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return a.endpoint.Compare(b.endpoint) })
	return slices.CompactFunc(all, func(a, b candidate) bool { return a.endpoint == b.endpoint })
}

// placed are those that get a slot where there are not enough for all. A slot is the least that one
// can have: so that the share of all of one weight is right, some of them have none.
func placed(all []candidate) []candidate {
	byWeight := map[uint32][]candidate{}
	for _, c := range all {
		byWeight[c.weight] = append(byWeight[c.weight], c)
	}
	weights, total := slices.Sorted(maps.Keys(byWeight)), float64(sum(all))
	exact := func(weight uint32) float64 { // how many slots all of that weight should have
		return float64(weight) * float64(len(byWeight[weight])) / total * MaxSlots
	}
	left := MaxSlots
	for _, weight := range weights {
		left -= int(exact(weight))
	}
	remainder := func(weight uint32) float64 { return exact(weight) - math.Floor(exact(weight)) }
	slices.SortStableFunc(weights, func(a, b uint32) int { return cmp.Compare(remainder(b), remainder(a)) })
	some := make([]candidate, 0, MaxSlots)
	for i, weight := range weights {
		alike, n := byWeight[weight], int(exact(weight))
		if i < left {
			n++
		}
		slices.SortFunc(alike, func(a, b candidate) int {
			return cmp.Or(cmp.Compare(b.hash, a.hash), a.endpoint.Compare(b.endpoint))
		})
		some = append(some, alike[:min(n, len(alike))]...)
	}
	slices.SortFunc(some, func(a, b candidate) int { return a.endpoint.Compare(b.endpoint) })
	return some
}

// quotas are the candidates' numbers of slots, in the smallest size that keeps them within the
// tolerance, or the largest; so many slots in a row are parts of one.
func (s Service) quotas(candidates []candidate) (quotas []int, parts int) {
	next := schedulers[s.Scheduler].next
	if s.Scheduler == ConsistentHash {
		size := next(enough(candidates))
		return apportion(candidates, size), size / fewestByHash
	}
	size := next(len(candidates))
	for size < MaxSlots && !fits(candidates, size) {
		size = next(size + 1)
	}
	return apportion(candidates, size), 1
}

// enough is how many slots keep every share within the tolerance, however they divide, since
// apportioning is off by less than one; MaxSlots at most. Fewer may do, but how many changes with
// every endpoint that comes or goes.
func enough(candidates []candidate) int {
	least := slices.MinFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.weight, b.weight) })
	return int(min(MaxSlots, math.Ceil(float64(sum(candidates))/float64(least.weight)/tolerance)))
}

func sum(candidates []candidate) (total uint64) {
	for _, c := range candidates {
		total += uint64(c.weight)
	}
	return total
}

// fits reports whether so many slots can be apportioned with every share within the tolerance.
func fits(candidates []candidate, size int) bool {
	total := float64(sum(candidates))
	for _, c := range candidates { // the quick way to say no: neither number beside the exact one is near enough
		exact := float64(c.weight) * float64(size) / total
		if math.Floor(exact) < exact*(1-tolerance) && math.Ceil(exact) > exact*(1+tolerance) {
			return false
		}
	}
	for i, quota := range apportion(candidates, size) {
		exact := float64(candidates[i].weight) * float64(size) / total
		if math.Abs(float64(quota)-exact) > exact*tolerance {
			return false
		}
	}
	return true
}

// apportion shares out the slots in proportion to the weights by the largest remainder, with at
// least one for each candidate. There are at least as many slots as candidates.
func apportion(candidates []candidate, size int) []int {
	type part struct {
		index     int
		remainder uint64
	}
	total := sum(candidates)
	quotas := make([]int, len(candidates))
	parts := make([]part, len(candidates))
	left := size
	for i, c := range candidates {
		share := uint64(c.weight) * uint64(size) // at most 2^32 * 2^12
		quotas[i] = max(1, int(share/total))
		parts[i] = part{i, share % total}
		if share < total {
			parts[i].remainder = 0 // it has more than its part already
		}
		left -= quotas[i]
	}
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(b.remainder, a.remainder), cmp.Compare(candidates[b.index].hash, candidates[a.index].hash),
			cmp.Compare(a.index, b.index))
	})
	for i := 0; left > 0; i++ {
		quotas[parts[i%len(parts)].index]++
		left--
	}
	for ; left < 0; left++ { // what the smallest have too much comes from the largest
		largest := 0
		for i, quota := range quotas {
			if quota > quotas[largest] {
				largest = i
			}
		}
		quotas[largest]--
	}
	return quotas
}
