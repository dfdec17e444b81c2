package nftables

import (
	"cmp"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
)

// assign assigns each candidate as many slots as its quota says. Slots and candidates prefer each
// other by a hash of both. In the result no slot and candidate that would rather have each other
// are apart. This is rendezvous hashing with quotas, where the candidates defer their acceptance,
// after Gale and Shapley. So if a candidate comes or goes, or a weight changes, few more slots move
// than must.
//
// Runs of parts slots, the parts of one slot, are alike in what they prefer. The kernel maps a
// client with hash h to slot h*size/2^32. So a client that has slot i among few slots has one of
// the parts of slot i among many. That is why few clients move, too, when the number of slots
// changes.
func assign(candidates []candidate, quotas []int, parts int) []netip.AddrPort {
	size := 0
	for _, quota := range quotas {
		size += quota
	}
	bids, room := make([]bidder, size), min(few, len(candidates))
	offers := make([]offer, size*room)
	held := make([]holding, len(candidates))
	even := !slices.ContainsFunc(candidates, func(c candidate) bool { return c.weight != candidates[0].weight })
	for slot := range bids {
		bids[slot].salt, bids[slot].even = mix(uint64(slot/parts)+1), even
		bids[slot].best = offers[slot*room : slot*room : (slot+1)*room]
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

// few is how many offers one go over the candidates finds.
const few = 8

func (b *bidder) next(candidates []candidate) offer {
	if len(b.best) == 0 {
		b.rank(candidates)
	}
	n := len(b.best) - 1
	b.last, b.begun = b.best[n], true
	b.best = b.best[:n]
	return b.last
}

// score is how much the slot and the candidate prefer each other. Slots prefer those of more weight
// in proportion to it, so that few are turned down (weighted rendezvous hashing: Schindelhauer and
// Schomaker 2005).
func (b *bidder) score(c candidate) uint64 {
	h := mix(c.hash ^ b.salt)
	if b.even {
		return h
	}
	u := (float64(h>>12) + 0.5) / (1 << 52)                   // above 0 and below 1
	return math.Float64bits(float64(c.weight) / -math.Log(u)) // positive: the bits are in the order of the numbers
}

// rank finds the next few offers after the last one.
func (b *bidder) rank(candidates []candidate) {
	b.best = b.best[:0]
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

// accept accepts the slot if there is room, or in place of one that the candidate likes less. It
// returns the slot that then has no place, or -1.
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

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of the result depends
// on every bit of x. It must never change: slots would move in an upgrade.
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
