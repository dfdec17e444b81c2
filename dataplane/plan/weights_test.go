package plan

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestWeigh(t *testing.T) {
	type of struct {
		count int
		share float64
	}
	tests := []struct {
		name   string
		groups []of
		want   []uint32
	}{
		{"one", []of{{7, 3}}, []uint32{1}},
		{"equal parts", []of{{2, 1}, {8, 4}, {1, .5}}, []uint32{1, 1, 1}},
		{"halves of 1 and 2", []of{{1, 1}, {2, 1}}, []uint32{2, 1}},
		{"95 and 5", []of{{1, 95}, {1, 5}}, []uint32{19, 1}},
		{"95 and 5 of 2 and 8", []of{{2, 95}, {8, 5}}, []uint32{76, 1}},
		{"reduced", []of{{1, 500}, {1, 250}}, []uint32{2, 1}},
		{"within 1 % is near enough", []of{{1, 1000}, {1, 1001}}, []uint32{1, 1}},
		{"2 % off is not", []of{{1, 100}, {1, 104}}, []uint32{17, 18}}, // 48.57 % for 49.02, the first within 1 % of it
		{"up to 256 with what is left of precision", []of{{1, 1000}, {1, 3.8}}, []uint32{256, 1}},
		{"beyond, where 256 is off by more than 5 %", []of{{1, 999}, {1, 1}}, []uint32{999, 1}},
		{"far beyond", []of{{1, 64000}, {100, 1}}, []uint32{65535, 1}},
		{"three", []of{{3, 60}, {2, 30}, {5, 10}}, []uint32{20, 15, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var groups []group
			for _, g := range tt.groups {
				groups = append(groups, group{count: g.count, share: g.share})
			}
			weigh(groups)
			var got []uint32
			for _, g := range groups {
				got = append(got, g.weight)
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("weights %v (off by %.4f), want %v", got, off(groups), tt.want)
			}
		})
	}
}

// off is how far the worst group's share is off, as a part of it.
func off(groups []group) float64 {
	var total, sum float64
	for _, g := range groups {
		total += float64(g.count) * float64(g.weight)
		sum += g.share
	}
	worst := 0.0
	for _, g := range groups {
		worst = max(worst, math.Abs(float64(g.count)*float64(g.weight)/total/(g.share/sum)-1))
	}
	return worst
}

// Whatever is wanted, weights are from 1 to 65535, without a common divisor, right within 5 %
// wherever that can be, and not larger than the promise allows.
func TestWeighAnything(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		groups := make([]group, 1+random.IntN(6))
		for i := range groups {
			groups[i] = group{count: 1 + random.IntN(50), share: float64(1 + random.IntN(1000))}
		}
		weigh(groups)
		divisor, most, least := uint32(0), uint32(0), uint32(math.MaxUint32)
		parts := [2]float64{math.Inf(1), 0}
		for _, g := range groups {
			divisor, most, least = gcd(divisor, g.weight), max(most, g.weight), min(least, g.weight)
			part := g.share / float64(g.count)
			parts = [2]float64{min(parts[0], part), max(parts[1], part)}
		}
		worst := off(groups)
		switch ratio := parts[1] / parts[0]; {
		case divisor != 1 || least < 1 || most > largest:
			t.Fatalf("weights of %+v", groups)
		case worst > coarse && ratio < largest/20:
			t.Fatalf("off by %.4f: %+v", worst, groups)
		case most > neat && ratio < neat/20:
			t.Fatalf("large for a ratio of %.2f: %+v", ratio, groups)
		case most > neat && worst > coarse:
			t.Fatalf("large and yet off by %.4f: %+v", worst, groups)
		}
	}
}
