package nftables

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
)

// MaxSlots is how many slots a service has at most, and with it how many destinations get new flows.
const MaxSlots = 4096

// tolerance is how far a destination's share may be from its weight.
const tolerance = 0.05

// schedulers by Scheduler: the API's name, the prefix of the chains' names, the nftables expression for one of n slots,
// and which numbers of slots there are: next is the least that is n or more.
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

// fewestByHash is the least number of slots for ConsistentHash: enough for 51 destinations of equal weight. They take some
// 80 KB of the kernel, where the table of IPVS's scheduler mh takes 33.
const fewestByHash = 1024

// Unplaced is how many destinations with weight get no new flows under that key, because a service has no more than
// MaxSlots slots. They are chosen by hash, so that others' coming and going moves few, and so that those of equal weight
// that are left have the share of all of them.
func (s Service) Unplaced(key Key) int {
	all := s.weighted(key)
	if len(all) <= MaxSlots {
		return 0
	}
	return len(all) - len(placed(all))
}

// slots are the endpoints of the slots of the service; none if no destination has weight. A destination's slots are
// in proportion to its weight, within the tolerance if MaxSlots slots allow that, and at least one.
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
	// hash of the endpoint and the service: two services with the same endpoints give them different slots.
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

// placed are those that get a slot where there are not enough for all. A slot is the least that one can have: so that the
// share of all of one weight is right, some of them have none.
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

// quotas are the candidates' numbers of slots, in the smallest size that keeps them within the tolerance, or the largest;
// so many slots in a row are parts of one.
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

// enough is how many slots keep every share within the tolerance, however they divide, since apportioning is off by less
// than one; MaxSlots at most. Fewer may do, but how many changes with every endpoint that comes or goes.
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

// fits tells whether so many slots can be apportioned with every share within the tolerance.
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

// apportion shares out the slots in proportion to the weights by the largest remainder, with at least one for each
// candidate. There are at least as many slots as candidates.
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

// assign gives each candidate as many slots as its quota says: the slots and the candidates prefer each other by a hash
// of both, and no slot and candidate that would rather have each other are apart (rendezvous hashing with quotas; the
// candidates defer their acceptance, after Gale and Shapley). So if a candidate comes or goes, or a weight changes, few
// more slots move than must.
//
// So many slots in a row, the parts of one, are alike in what they prefer. The kernel gives a client with hash h slot
// h*size/2^32, so that who has slot i among few slots has one of the parts of slot i among many: few clients move either
// when the number of slots changes.
func assign(candidates []candidate, quotas []int, parts int) []netip.AddrPort {
	size := 0
	for _, quota := range quotas {
		size += quota
	}
	bids := make([]bidder, size)
	held := make([]holding, len(candidates))
	even := !slices.ContainsFunc(candidates, func(c candidate) bool { return c.weight != candidates[0].weight })
	for slot := range bids {
		bids[slot].salt, bids[slot].even = mix(uint64(slot/parts)+1), even
	}
	for slot := range bids {
		for homeless := slot; homeless >= 0; {
			offer := bids[homeless].next(candidates)
			homeless = held[offer.candidate].accept(homeless, offer.score, quotas[offer.candidate])
		}
	}
	slots := make([]netip.AddrPort, size)
	for i, h := range held {
		for _, s := range h {
			slots[s.slot] = candidates[i].endpoint
		}
	}
	return slots
}

// offer of a slot to a candidate.
type offer struct {
	score     uint64
	candidate int
}

func (o offer) compare(other offer) int {
	return cmp.Or(cmp.Compare(o.score, other.score), cmp.Compare(o.candidate, other.candidate))
}

// bidder is a slot that offers itself to one candidate after the other, the best first.
type bidder struct {
	salt uint64
	// even is true where all candidates have the same weight.
	even bool
	// last is the last offer, and best are the next few, the best at the end.
	last  offer
	begun bool
	best  []offer
}

// few is how many offers are looked for in one go over the candidates.
const few = 8

func (b *bidder) next(candidates []candidate) offer {
	if len(b.best) == 0 {
		b.look(candidates)
	}
	n := len(b.best) - 1
	b.last, b.begun = b.best[n], true
	b.best = b.best[:n]
	return b.last
}

// score is how much the slot and the candidate prefer each other. Slots prefer those of more weight in proportion to it, so
// that few are turned down (weighted rendezvous hashing: Schindelhauer and Schomaker 2005).
func (b *bidder) score(c candidate) uint64 {
	h := mix(c.hash ^ b.salt)
	if b.even {
		return h
	}
	u := (float64(h>>12) + 0.5) / (1 << 52)                   // above 0 and below 1
	return math.Float64bits(float64(c.weight) / -math.Log(u)) // positive: the bits are in the order of the numbers
}

func (b *bidder) look(candidates []candidate) {
	b.best = make([]offer, 0, min(few, len(candidates)))
	for i, c := range candidates {
		o := offer{b.score(c), i}
		if b.begun && o.compare(b.last) >= 0 || len(b.best) == few && o.compare(b.best[0]) < 0 {
			continue
		}
		if len(b.best) == few {
			b.best = slices.Delete(b.best, 0, 1)
		}
		at, _ := slices.BinarySearchFunc(b.best, o, offer.compare)
		b.best = slices.Insert(b.best, at, o)
	}
}

// holding are the slots that a candidate has so far: a heap, the one that it likes least first.
type holding []held

type held struct {
	score uint64
	slot  int
}

func (h held) less(other held) bool {
	return cmp.Or(cmp.Compare(h.score, other.score), cmp.Compare(h.slot, other.slot)) < 0
}

// accept takes the slot if there is room, or in place of one that the candidate likes less. It returns the slot that is
// then without a place, or -1.
func (h *holding) accept(slot int, score uint64, quota int) int {
	offered := held{score, slot}
	s := *h
	if len(s) < quota {
		s = append(s, offered)
		for i := len(s) - 1; i > 0 && s[i].less(s[(i-1)/2]); i = (i - 1) / 2 {
			s[i], s[(i-1)/2] = s[(i-1)/2], s[i]
		}
		*h = s
		return -1
	}
	if offered.less(s[0]) {
		return slot
	}
	out := s[0].slot
	s[0] = offered
	for i := 0; ; {
		least := i
		for _, child := range [...]int{2*i + 1, 2*i + 2} {
			if child < len(s) && s[child].less(s[least]) {
				least = child
			}
		}
		if least == i {
			return out
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of the result depends on every bit of x. It
// must never change: slots would move in an upgrade.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func hashAddress(a netip.Addr) uint64 {
	b := a.As16()
	return mix(binary.BigEndian.Uint64(b[:8]) + mix(binary.BigEndian.Uint64(b[8:])))
}

func hashKey(k Key) uint64 {
	h := hashAddress(k.Address) + uint64(k.Port)
	for _, b := range []byte(k.Protocol.NFT()) {
		h = mix(h + uint64(b))
	}
	return h
}
