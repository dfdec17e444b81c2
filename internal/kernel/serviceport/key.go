// Package serviceport names one port of a service: an address, a protocol and a port. Plans, IPVS,
// nftables and connection tracking all use this Key, so that none converts the keys of another. It
// is pure, and knows neither plan nor kernel.
package serviceport

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// Protocol is a transport protocol, by its IANA number. Zero is none.
type Protocol uint8

// The protocols that a service may have.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// Protocols are all that a service may have.
func Protocols() [3]Protocol { return [...]Protocol{TCP, UDP, SCTP} }

// ParseProtocol reads a protocol's name in upper or lower case. It returns zero for a protocol that
// no service may have.
func ParseProtocol(name string) Protocol {
	for _, p := range Protocols() {
		if strings.EqualFold(p.String(), name) {
			return p
		}
	}
	return 0
}

// Known reports whether a service may have the protocol.
func (p Protocol) Known() bool { return p == TCP || p == UDP || p == SCTP }

// String is the protocol's name as Kubernetes and ipvsadm write it, such as "TCP".
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	}
	return fmt.Sprintf("IP protocol %d", uint8(p))
}

// NFT is the protocol's name as nft writes it, such as "tcp". It is empty for a protocol that no
// service may have.
func (p Protocol) NFT() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return ""
}

// Key is what makes one port of a service distinct.
type Key struct {
	Address  netip.Addr
	Protocol Protocol
	Port     uint16
}

// String is, for example, "TCP 244.0.0.1:80".
func (k Key) String() string {
	return k.Protocol.String() + " " + netip.AddrPortFrom(k.Address, k.Port).String()
}

// Compare orders keys by address, the protocol's name and port.
func (k Key) Compare(o Key) int {
	if c := k.Address.Compare(o.Address); c != 0 {
		return c
	}
	if k.Protocol != o.Protocol {
		return cmp.Compare(k.Protocol.String(), o.Protocol.String())
	}
	return cmp.Compare(k.Port, o.Port)
}
