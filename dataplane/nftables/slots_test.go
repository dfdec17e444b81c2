package nftables

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func serviceOf(scheduler Scheduler, weights ...uint32) Service {
	s := Service{Scheduler: scheduler}
	for i, w := range weights {
		s.Destinations = append(s.Destinations, Destination{Address: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), Port: 8080, Weight: w})
	}
	return s
}

func TestMoved(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	k := Key{netip.MustParseAddr("244.0.0.1"), "tcp", 80}
	for _, d := range []int{2, 3, 5, 16, 40, 200, 1000, 4000} {
		w := make([]uint32, d)
		for i := range w {
			w[i] = 1
		}
		total, least, n := 0, 0, 0
		for range max(1, 400/d) {
			s := serviceOf(ConsistentHash, w...)
			i := random.IntN(d)
			before := s.slots(k)
			s.Destinations[i].Weight = 0
			after := s.slots(k)
			if len(before) != len(after) {
				continue
			}
			n = len(before)
			count := map[netip.AddrPort]int{}
			for j := range before {
				if before[j] != after[j] {
					total++
				}
				count[before[j]]--
				count[after[j]]++
			}
			for _, c := range count {
				if c > 0 {
					least += c
				}
			}
		}
		t.Log(d, n, total, least, float64(total)/float64(least))
	}
}
func BenchmarkSlots4000(b *testing.B) {
	w := make([]uint32, 4000)
	for i := range w {
		w[i] = 1 + uint32(i%3)
	}
	s := serviceOf(ConsistentHash, w...)
	k := Key{netip.MustParseAddr("244.0.0.1"), "tcp", 80}
	for b.Loop() {
		s.slots(k)
	}
}
