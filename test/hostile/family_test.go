//go:build e2e

package hostile

import (
	"net/netip"

	"github.com/google/gopacket/layers"
)

// family is what attacks of an IP family have of their own. Clusters are attacked in their primary
// family.
type family struct {
	metadata, foreign netip.Addr // that of clouds, and one that no member has
	icmp              layers.IPProtocol
	// Types and codes of ICMP.
	unreachable, redirect, request [2]uint8
	requestName                    string
	addressType                    string // of EndpointSlices
	away                           string // an address of the nodes' network, where nobody is
}

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return family{
			metadata: netip.MustParseAddr("169.254.169.254"), foreign: netip.MustParseAddr("203.0.113.9"), icmp: layers.IPProtocolICMPv4,
			unreachable: [2]uint8{3, 1}, redirect: [2]uint8{5, 1}, request: [2]uint8{13, 0}, requestName: "timestamp request", addressType: "IPv4",
			away: "192.168.127.200",
		}
	}
	return family{
		metadata: netip.MustParseAddr("fd00:ec2::254"), foreign: netip.MustParseAddr("2001:db8::9"), icmp: layers.IPProtocolICMPv6,
		unreachable: [2]uint8{1, 0}, redirect: [2]uint8{137, 0}, request: [2]uint8{139, 0}, requestName: "node information query", addressType: "IPv6",
		away: "fd00:192:168:127::200",
	}
}

// sourceRoute is a packet that asks to be sent on to a second address: by loose source routing (RFC
// 791 section 3.1), or by a routing header of type 0 (RFC 8200, RFC 5095).
func sourceRoute(to, then netip.Addr) packet {
	if to.Is4() {
		option := layers.IPv4Option{OptionType: 131, OptionLength: 7, OptionData: append([]byte{4}, then.AsSlice()...)}
		return packet{to: to, ports: [2]uint16{40000, packetPort}, options: []layers.IPv4Option{option}}
	}
	header := append([]byte{byte(layers.IPProtocolNoNextHeader), 2, 0, 1, 0, 0, 0, 0}, then.AsSlice()...)
	return packet{to: to, protocol: layers.IPProtocolIPv6Routing, payload: header}
}
