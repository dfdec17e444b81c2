package clusterset

import (
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// MaxMemberCIDRs is how many CIDRs a Member may have.
const MaxMemberCIDRs = 64

// Coverage is what a cluster uses beyond its approved CIDRs.
type Coverage struct {
	// Outside are the used blocks that the approved CIDRs do not hold, in the order of the input.
	Outside []Block
	// Enough are the CIDRs that would hold everything, the approved ones among them, as few as they
	// can be. Around a single address they hold its /24, or /64 for IPv6, where nobody else has a
	// part of that.
	Enough []netip.Prefix
	// Clash is the first of them that another member has a part of; nil: none.
	Clash *Overlap
}

// JudgeCoverage compares what a cluster uses with the CIDRs that its Member approves. others are
// what other members have.
func JudgeCoverage(approved []netip.Prefix, used, others []Block) Coverage {
	var a Coverage
	held := setOf(approved)
	var wanted []netip.Prefix
	for _, u := range used {
		if held.ContainsPrefix(u.Prefix) {
			continue
		}
		a.Outside = append(a.Outside, u)
		wanted = append(wanted, around(u.Prefix, others))
	}
	if len(a.Outside) == 0 {
		return a
	}
	if overlap, clashes := FirstOverlap(wanted, others); clashes {
		a.Clash = &overlap
	}
	a.Enough = setOf(slices.Concat(approved, wanted)).Prefixes()
	if len(a.Enough) > MaxMemberCIDRs {
		a.Enough = cover(a.Enough)
		if overlap, clashes := FirstOverlap(a.Enough, others); clashes {
			a.Clash = &overlap
		}
	}
	return a
}

// around is what to approve for a block: itself or, for a single address, the network that it
// probably belongs to, unless another member has a part of that.
func around(p netip.Prefix, others []Block) netip.Prefix {
	if !p.IsSingleIP() {
		return p
	}
	bits := 24
	if p.Addr().Is6() {
		bits = 64
	}
	network := netip.PrefixFrom(p.Addr(), bits).Masked()
	if _, clashes := FirstOverlap([]netip.Prefix{network}, others); clashes {
		return p
	}
	return network
}

// cover is one prefix for each IP family, which holds all of that family.
func cover(all []netip.Prefix) []netip.Prefix {
	var covers []netip.Prefix
	for _, p := range all {
		i := slices.IndexFunc(covers, func(c netip.Prefix) bool { return c.Addr().Is4() == p.Addr().Is4() })
		if i < 0 {
			covers = append(covers, p)
			continue
		}
		bits := min(covers[i].Bits(), p.Bits())
		for bits > 0 && netip.PrefixFrom(covers[i].Addr(), bits).Masked() != netip.PrefixFrom(p.Addr(), bits).Masked() {
			bits--
		}
		covers[i] = netip.PrefixFrom(p.Addr(), bits).Masked()
	}
	return covers
}

func setOf(prefixes []netip.Prefix) *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, p := range prefixes {
		b.AddPrefix(p)
	}
	set, _ := b.IPSet() // its only error is a prefix that is not valid, which it leaves out
	return set
}
