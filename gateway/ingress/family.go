package ingress

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// family is what the families differ in, as nft names it.
type family struct {
	index                 int
	is4                   bool
	name, suffix, address string
	// errors is the chain for ICMP, kind its name in a rule, and icmp its number.
	errors, kind, icmp string
	// errorTypes are unreachable, too big, time exceeded and parameter problem; echo those of question
	// and answer.
	errorTypes, echo string
	// inner is where the source address stands in the packet that an error quotes, in bits after the
	// beginning of ICMP.
	inner int
}

var families = [...]family{
	{
		index: 0, is4: true, name: "ip", suffix: "4", address: "ipv4_addr", errors: "icmp4", kind: "icmp", icmp: "1",
		errorTypes: "{ 3, 11, 12 }", echo: "{ 0, 8 }", inner: 8 * (8 + 12),
	},
	{
		index: 1, name: "ip6", suffix: "6", address: "ipv6_addr", errors: "icmp6", kind: "icmpv6", icmp: "58",
		errorTypes: "{ 1, 2, 3, 4 }", echo: "{ 128, 129 }", inner: 8 * (8 + 8),
	},
}

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return families[0]
	}
	return families[1]
}

func (f family) of(prefixes []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(nft.Disjoint(prefixes), func(p netip.Prefix) bool { return p.Addr().Is4() != f.is4 })
}

// innerSource matches an error about a packet whose source is in the prefix.
func (f family) innerSource(p netip.Prefix) string {
	if p.Bits() == 0 {
		return ""
	}
	value := p.Masked().Addr().AsSlice()
	if whole := (p.Bits() + 7) / 8; p.Bits()%8 == 0 {
		return fmt.Sprintf("@th,%d,%d 0x%x", f.inner, p.Bits(), value[:whole])
	}
	// A part of a byte: as a number of that many bits.
	bits := p.Bits()
	shifted := slices.Clone(value[:(bits+7)/8])
	for range 8*len(shifted) - bits {
		carry := byte(0)
		for i, b := range shifted {
			shifted[i], carry = b>>1|carry<<7, b&1
		}
	}
	return fmt.Sprintf("@th,%d,%d 0x%x", f.inner, bits, shifted)
}

// keys are the addresses of the family as elements of a set.
func (f family) keys(addresses []netip.Addr) firewall.Keys {
	var keys []string
	for _, a := range addresses {
		if a.Is4() == f.is4 {
			keys = append(keys, string(a.AsSlice()))
		}
	}
	return firewall.KeysOf(keys)
}
