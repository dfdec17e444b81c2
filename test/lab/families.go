package lab

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/test/lab/underlay"
)

// Values of Options.IPFamily.
const (
	IPv4  = "ipv4"
	IPv6  = "ipv6"
	Dual  = "dual"  // both, IPv4 first
	Dual6 = "dual6" // both, IPv6 first
)

// IPFamilies are the values of Options.IPFamily.
func IPFamilies() []string { return []string{IPv4, IPv6, Dual, Dual6} }

// inFamilies returns those of an IPv4 and an IPv6 value that a cluster has, its primary family's first.
func inFamilies[T any](family string, v4, v6 T) []T {
	switch family {
	case IPv6:
		return []T{v6}
	case Dual:
		return []T{v4, v6}
	case Dual6:
		return []T{v6, v4}
	default:
		return []T{v4}
	}
}

// prefix6 is the IPv6 prefix whose groups read like the decimal numbers of an IPv4 address:
// fd00:10:1::/56 stands beside 10.1.0.0/16.
func prefix6(a, b, bits int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("fd00:%d:%d::/%d", a, b, bits))
}

// Primary4 says whether the cluster's primary IP family is IPv4.
func (c Cluster) Primary4() bool { return c.ServiceCIDRs[0].Addr().Is4() }

// Has says whether the cluster has addresses of IPv4, or of IPv6.
func (c Cluster) Has(is4 bool) bool {
	return slices.ContainsFunc(c.ServiceCIDRs, func(p netip.Prefix) bool { return p.Addr().Is4() == is4 })
}

// addressOf is the node's address of a family, not valid if it has none.
func (n Node) addressOf(is4 bool) netip.Addr {
	for _, a := range n.Addresses {
		if a.Is4() == is4 {
			return a
		}
	}
	return netip.Addr{}
}

// prefixes are the node's addresses with the networks that they lie in.
func (n Node) prefixes(host underlay.HostConfig) []netip.Prefix {
	var all []netip.Prefix
	for _, a := range n.Addresses {
		bits := host.V6.Subnet.Bits()
		if a.Is4() {
			bits = host.V4.Subnet.Bits()
		}
		all = append(all, netip.PrefixFrom(a, bits))
	}
	return all
}
