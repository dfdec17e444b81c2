package clusterset

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
)

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// AddressFault is why no other cluster can reach an address; the zero value: one may.
type AddressFault string

// The faults, each a sentence that begins behind the address.
const (
	AddressHasZone     AddressFault = "has a zone, which means something on its own node only"
	AddressIs4In6      AddressFault = "is an IPv4 address written as IPv6, which no packet carries"
	AddressUnspecified AddressFault = "is the unspecified address"
	AddressLoopback    AddressFault = "is a loopback address, which every node takes for its own"
	AddressMulticast   AddressFault = "is a multicast address"
	AddressLinkLocal   AddressFault = "is a link-local address, which means something on its own link only"
	AddressBroadcast   AddressFault = "is the broadcast address"
)

// FaultOf says why an address can never be an endpoint for another cluster: neither of a pod nor of
// a gateway.
func FaultOf(addr netip.Addr) AddressFault {
	switch {
	case addr.Zone() != "":
		return AddressHasZone
	case addr.Is4In6():
		return AddressIs4In6
	case addr.IsUnspecified():
		return AddressUnspecified
	case addr.IsLoopback():
		return AddressLoopback
	case addr.IsMulticast():
		return AddressMulticast
	case addr.IsLinkLocalUnicast():
		return AddressLinkLocal
	case addr == broadcast:
		return AddressBroadcast
	}
	return ""
}

// KnownProtocol tells whether a port of that protocol can be served: TCP, UDP or SCTP, as the API
// server admits them in an EndpointSlice.
func KnownProtocol(p corev1.Protocol) bool {
	return p == corev1.ProtocolTCP || p == corev1.ProtocolUDP || p == corev1.ProtocolSCTP
}
