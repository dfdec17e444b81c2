package clusterset

import "net/netip"

// TunnelOverhead is how many bytes a packet grows in a tunnel between clusters at most: 40 for
// IPv6, 8 for UDP, 32 for WireGuard's header and tag. Over IPv4 it is 20 less.
const TunnelOverhead = 80

// VXLANOverhead is what VXLAN adds to a packet, in bytes, by the family of the underlay (RFC 7348
// section 5): outer Ethernet, IP, UDP and VXLAN headers, less the inner Ethernet header's own place
// on the underlay.
func VXLANOverhead(underlay netip.Addr) int {
	if underlay.Is4() {
		return 50
	}
	return 70
}
