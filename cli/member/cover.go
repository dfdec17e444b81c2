package member

import (
	"net/netip"
	"slices"
)

// widest is the largest block that two blocks of pods are joined to, by family.
func widest(addr netip.Addr) int {
	if addr.Is4() {
		return 16
	}
	return 48
}

// cover returns few blocks that hold all of the given ones: blocks that lie in one /16, or in one /48
// of IPv6, become the smallest block that holds them. The result is sorted.
func cover(all []netip.Prefix) []netip.Prefix {
	var joined []netip.Prefix
	for _, p := range all {
		i := slices.IndexFunc(joined, func(q netip.Prefix) bool {
			return common(p, q).Bits() >= widest(p.Addr()) && p.Addr().BitLen() == q.Addr().BitLen()
		})
		if i < 0 {
			joined = append(joined, p.Masked())
			continue
		}
		joined[i] = common(p, joined[i])
	}
	slices.SortFunc(joined, netip.Prefix.Compare)
	return joined
}

// common is the smallest block that holds both; of two families it is that of the first with no bits.
func common(a, b netip.Prefix) netip.Prefix {
	bits := min(a.Bits(), b.Bits())
	for bits > 0 && !netip.PrefixFrom(a.Addr(), bits).Contains(b.Addr()) {
		bits--
	}
	return netip.PrefixFrom(a.Addr(), bits).Masked()
}
