package nftables

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

var web = Key{Address: netip.MustParseAddr("244.0.0.1"), Protocol: serviceport.TCP, Port: 80}

// weighted is a service with destinations of those weights.
func weighted(scheduler Scheduler, weights ...uint32) Service {
	s := Service{Scheduler: scheduler}
	for i, weight := range weights {
		address := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		s.Destinations = append(s.Destinations, Destination{Address: address, Port: 8080, Weight: weight})
	}
	return s
}

func alike(n int) []uint32 {
	weights := make([]uint32, n)
	for i := range weights {
		weights[i] = 1
	}
	return weights
}

func counts(slots []netip.AddrPort) map[netip.AddrPort]int {
	counts := map[netip.AddrPort]int{}
	for _, endpoint := range slots {
		counts[endpoint]++
	}
	return counts
}

func TestNumberOfSlots(t *testing.T) {
	tests := []struct {
		name      string
		scheduler Scheduler
		weights   []uint32
		want      int
	}{
		{"nobody", Random, nil, 0},
		{"only draining", Random, []uint32{0, 0}, 0},
		{"one", Random, []uint32{7}, 1},
		{"alike", Random, alike(20), 20},
		{"one drains", Random, []uint32{1, 1, 0, 1}, 3},
		{"canary", Random, []uint32{95, 5}, 20},
		{"three to one", Random, []uint32{48, 16}, 4},
		{"one in turn", RoundRobin, []uint32{7}, 16},
		{"alike in turn", RoundRobin, alike(16), 16},
		{"three in turn", RoundRobin, alike(3), 18},
		{"one by hash", ConsistentHash, []uint32{7}, 1024},
		{"51 by hash", ConsistentHash, alike(51), 1024},
		{"52 by hash", ConsistentHash, alike(52), 4096},
		{"a canary by hash", ConsistentHash, []uint32{95, 5}, 1024},
		{"many by hash", ConsistentHash, alike(204), 4096},
		{"a weight too small for any size by hash", ConsistentHash, []uint32{math.MaxUint32, 1}, MaxSlots},
		{"more than there can be", Random, alike(5000), MaxSlots},
		{"a weight too small for any size", Random, []uint32{math.MaxUint32, 1}, MaxSlots},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := weighted(tt.scheduler, tt.weights...)
			slots := s.slots(web)
			if len(slots) != tt.want {
				t.Errorf("%d slots, want %d", len(slots), tt.want)
			}
			seen := counts(slots)
			missing := 0
			for _, d := range s.Destinations {
				if n := seen[netip.AddrPortFrom(d.Address, d.Port)]; d.Weight > 0 && n == 0 {
					missing++
				} else if d.Weight == 0 && n > 0 {
					t.Errorf("%s drains, and has %d slots", d.Address, n)
				}
			}
			if unplaced := s.Unplaced(web); missing != unplaced {
				t.Errorf("%d destinations have no slot, Unplaced says %d", missing, unplaced)
			}
		})
	}
}

// TestShares: every destination's share is within the tolerance of its weight, or the size is the
// largest, and no slot is empty.
func TestShares(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 3))
	for range 300 {
		weights := make([]uint32, 1+random.IntN(40))
		total := 0.0
		for i := range weights {
			weights[i] = random.Uint32N(256)
			total += float64(weights[i])
		}
		s := weighted(Scheduler(random.IntN(3)), weights...)
		slots := s.slots(web)
		if total == 0 {
			continue
		}
		seen := counts(slots)
		for i, d := range s.Destinations {
			want := float64(weights[i]) / total
			got := float64(seen[netip.AddrPortFrom(d.Address, d.Port)]) / float64(len(slots))
			if math.Abs(got-want) > want*tolerance+1e-9 && (len(slots) != MaxSlots || math.Abs(got-want) > 1.0/MaxSlots) {
				t.Fatalf("%s of weights %v in %d slots: share %.4f, want %.4f", s.Scheduler, weights, len(slots), got, want)
			}
		}
		if seen[netip.AddrPort{}] > 0 {
			t.Fatalf("empty slots: %v", slots)
		}
	}
}

// TestMoreDestinationsThanSlots: those that have no slot do not change what share others have, and
// few slots move when a destination comes.
func TestMoreDestinationsThanSlots(t *testing.T) {
	for _, tt := range []struct {
		name         string
		many, others int
		weight       uint32 // of the others
	}{
		{"alike", 4500, 500, 1}, {"canary", 1000, 4000, 19 * 1000 / 4000}, {"a few heavy ones", 5000, 100, 1000}, {"many light ones", 20000, 2, 10000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := weighted(Random, slices.Concat(alike(tt.many), slices.Repeat([]uint32{tt.weight}, tt.others))...)
			slots := s.slots(web)
			share := 0.0
			seen := counts(slots)
			for _, d := range s.Destinations[tt.many:] {
				share += float64(seen[netip.AddrPortFrom(d.Address, d.Port)]) / MaxSlots
			}
			want := float64(tt.weight) * float64(tt.others) / (float64(tt.weight)*float64(tt.others) + float64(tt.many))
			if math.Abs(share-want) > tolerance*want || math.Abs(share-want) > tolerance*(1-want) {
				t.Errorf("the others' share is %.4f, want %.4f", share, want)
			}
			if missing := len(s.Destinations) - len(seen); missing != s.Unplaced(web) {
				t.Errorf("%d have no slot, Unplaced says %d", missing, s.Unplaced(web))
			}
			s.Destinations = s.Destinations[1:]
			moved := 0
			for i, endpoint := range s.slots(web) {
				if endpoint != slots[i] {
					moved++
				}
			}
			if moved > 16 {
				t.Errorf("%d slots moved as one destination of %d went", moved, len(s.Destinations)+1)
			}
		})
	}
}

// TestFewClientsMove: with any number of destinations, one more moves few more clients than it
// gets, also where the number of slots changes with it: four times as many on average, and eight
// times at most.
func TestFewClientsMove(t *testing.T) {
	for _, tt := range []struct {
		name    string
		weights []uint32
	}{
		{"alike", alike(200)}, {"two to one", slices.Repeat([]uint32{1, 2}, 45)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before []netip.AddrPort
			worst, all, sizes := 0.0, 0.0, map[int]bool{}
			for n := 1; n <= len(tt.weights); n++ {
				s := weighted(ConsistentHash, tt.weights[:n]...)
				slots := s.slots(web)
				after := endpoints(slots)
				sizes[len(slots)] = true
				if n > 1 {
					own := float64(tt.weights[n-1]) / float64(sum(s.weighted(web)))
					shares := moved(before, after) / own
					worst, all = max(worst, shares), all+shares
					if shares > 8 {
						t.Errorf("when destination %d comes and gets %.4f of the clients, %.1f times as many move (%d slots)", n, own, shares, len(slots))
					}
				}
				before = after
			}
			average := all / float64(len(tt.weights)-1)
			t.Logf("%.1f times as many clients move as one gets on average, %.1f times at most; numbers of slots: %v", average, worst, sizes)
			if average > 4 || len(sizes) < 2 {
				t.Errorf("%.1f times as many clients move as one gets, in sizes %v", average, sizes)
			}
		})
	}
}

// endpoints of clients whose hashes are spread evenly over all that there are.
func endpoints(slots []netip.AddrPort) []netip.AddrPort {
	all := make([]netip.AddrPort, 1<<14)
	for i := range all {
		hash := uint64(i)<<18 | 1<<17
		all[i] = slots[hash*uint64(len(slots))>>32] // reciprocal_scale, as nft_jhash_eval has it
	}
	return all
}

// moved is how many of the clients have another endpoint now, from 0 to 1.
func moved(before, after []netip.AddrPort) float64 {
	n := 0
	for i, endpoint := range after {
		if endpoint != before[i] {
			n++
		}
	}
	return float64(n) / float64(len(after))
}

// TestFewSlotsMove: when a destination goes, or a weight changes, and the number of slots stays, as
// good as only the slots that must move do: at most three times as many in a service of up to 64
// destinations, where the least is one destination's slots.
func TestFewSlotsMove(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{2, 4, 8, 16, 30, 64} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			moved, least := 0, 0
			for i := range min(200, 8000/(n*n)) {
				key := web
				key.Port = uint16(i + 1)
				candidates := weighted(ConsistentHash, alike(n)...).candidates(key)
				before := assign(candidates, apportion(candidates, 1024), 1)
				switch i % 2 {
				case 0:
					gone := random.IntN(n)
					candidates = append(candidates[:gone:gone], candidates[gone+1:]...)
				case 1:
					candidates[random.IntN(n)].weight = 2
				}
				after := assign(candidates, apportion(candidates, 1024), 1)
				change := counts(after)
				for slot, endpoint := range before {
					change[endpoint]--
					if endpoint != after[slot] {
						moved++
					}
				}
				for _, more := range change {
					least += max(0, more)
				}
			}
			t.Logf("%d slots moved, %d had to: %.2f times", moved, least, float64(moved)/float64(least))
			if moved > 3*least {
				t.Errorf("%d slots moved, %d had to", moved, least)
			}
		})
	}
}

// TestSlotsAreStable: an upgrade must not move the slots of what has not changed.
func TestSlotsAreStable(t *testing.T) {
	got := fmt.Sprint(weighted(Random, 3, 1).slots(web), weighted(ConsistentHash, 1, 1, 1).slots(web)[:4])
	want := "[10.1.0.0:8080 10.1.0.0:8080 10.1.0.0:8080 10.1.0.1:8080] [10.1.0.1:8080 10.1.0.0:8080 10.1.0.2:8080 10.1.0.1:8080]"
	if got != want {
		t.Errorf("slots %s, want %s", got, want)
	}
}

func BenchmarkSlotsOf16(b *testing.B) { benchmarkSlots(b, weighted(Random, alike(16)...)) }

func BenchmarkSlotsOf4000(b *testing.B) { benchmarkSlots(b, weighted(ConsistentHash, alike(4000)...)) }

func benchmarkSlots(b *testing.B, s Service) {
	for b.Loop() {
		s.slots(web)
	}
}
