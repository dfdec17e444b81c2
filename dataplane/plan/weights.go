package plan

import "math"

const (
	// neat is how large a weight may become for precision. nftables needs as many slots as the
	// weights' sum, and the kernel needs a table of that size for IPVS's mh.
	neat = 256
	// largest is what moby/ipvs reads back: 16 bits.
	largest = math.MaxUint16
	// fine is how far a share may be off, as a part of it; coarse is how far it may be off before
	// weights beyond neat are used.
	fine, coarse = 0.01, 0.05
)

// group is a set of endpoints that get equal parts of a share.
type group struct {
	// level and member, an index in portChooser.members, tell groups apart; member is -1 if all are
	// alike.
	level, member int
	count         int // above 0
	// share of new flows, above 0, relative to the sum of all shares. It is exact: only the weights
	// are rounded.
	share float64
	// weight of each endpoint, from weigh.
	weight uint32
}

// weigh sets the weights of the groups' endpoints: the smallest whole numbers with which every
// group's share is right within 1 % of it; if none up to 256 are, the best of those; if that is off
// by more than 5 %, larger ones up to 65535 with which it is not, or else the best of them.
// Endpoints that are to get equal parts all get 1.
func weigh(groups []group) {
	if len(groups) == 1 {
		groups[0].weight = 1
		return
	}
	most, least, sum := 0.0, math.Inf(1), 0.0
	for i := range groups {
		part := groups[i].share / float64(groups[i].count)
		most, least, sum = max(most, part), min(least, part), sum+groups[i].share
	}
	best, bestScale := math.Inf(1), 1.0
	try := func(scale float64) float64 {
		off := deviation(groups, scale/most, sum)
		if off < best {
			best, bestScale = off, scale
		}
		return off
	}
	for scale := 1.0; scale <= neat && try(scale) > fine; scale++ {
		continue
	}
	if best > coarse {
		// What is off is above all the smallest part, rounded: let it be 1, 2 and so on.
		for k := 1.0; k <= 1/coarse; k++ {
			scale := min(largest, math.Round(k*most/least))
			if scale > neat && try(scale) <= coarse || scale == largest {
				break
			}
		}
	}
	divisor := uint32(0)
	for i := range groups {
		groups[i].weight = rounded(groups[i], bestScale/most)
		divisor = gcd(divisor, groups[i].weight)
	}
	for i := range groups {
		groups[i].weight /= divisor
	}
}

// rounded is the weight of each endpoint of the group: at least 1.
func rounded(g group, factor float64) uint32 {
	return max(1, uint32(math.Round(g.share/float64(g.count)*factor)))
}

// deviation is how far the worst group's share is off, as a part of what is wanted; sum is that of
// all wanted shares.
func deviation(groups []group, factor, sum float64) float64 {
	total := 0.0
	for _, g := range groups {
		total += float64(g.count) * float64(rounded(g, factor))
	}
	worst := 0.0
	for _, g := range groups {
		got, want := float64(g.count)*float64(rounded(g, factor))/total, g.share/sum
		worst = max(worst, math.Abs(got-want)/want)
	}
	return worst
}

func gcd(a, b uint32) uint32 {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}
