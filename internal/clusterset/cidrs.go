package clusterset

import (
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// ParseCIDR reads a CIDR in its canonical form; false: it cannot be parsed or has host bits.
func ParseCIDR(c v1alpha1.CIDR) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(string(c))
	if err != nil || p != p.Masked() {
		return netip.Prefix{}, false
	}
	return p, true
}

// Prefixes parses CIDRs, in their order, and clears host bits. It leaves out what cannot be parsed,
// which the API refuses in the first place.
func Prefixes(cidrs []v1alpha1.CIDR) []netip.Prefix {
	prefixes := make([]netip.Prefix, 0, len(cidrs))
	for _, c := range cidrs {
		if p, err := netip.ParsePrefix(string(c)); err == nil {
			prefixes = append(prefixes, p.Masked())
		}
	}
	return prefixes
}

// Contains tells whether one of the prefixes holds the address.
func Contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Block is a prefix that is in use.
type Block struct {
	Prefix netip.Prefix
	Owner  string // what uses it, as a message names it: "pods of node east-1"
}

// BlocksOf are the prefixes as blocks of that owner.
func BlocksOf(prefixes []netip.Prefix, owner string) []Block {
	blocks := make([]Block, 0, len(prefixes))
	for _, p := range prefixes {
		blocks = append(blocks, Block{p, owner})
	}
	return blocks
}

// Overlap is a prefix that overlaps a block that is in use.
type Overlap struct {
	Prefix netip.Prefix
	Block  Block
}

// FirstOverlap is the one rule for claims that collide: what is in use stays, and the prefixes that
// come later lose. It returns the first of the prefixes that overlaps a block, with the first such
// block; false if all are free.
func FirstOverlap(prefixes []netip.Prefix, inUse []Block) (Overlap, bool) {
	for _, p := range prefixes {
		for _, b := range inUse {
			if p.Overlaps(b.Prefix) {
				return Overlap{p, b}, true
			}
		}
	}
	return Overlap{}, false
}
