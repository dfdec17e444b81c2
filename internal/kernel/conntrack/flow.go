package conntrack

import (
	"fmt"
	"net/netip"
)

// Flow is all flows of clients to one port of a clusterset IP that one endpoint serves.
type Flow struct {
	// Address, Protocol (tcp, udp or sctp) and Port are what the clients send to.
	Address  netip.Addr
	Protocol string
	Port     uint16
	// Endpoint is what answers.
	Endpoint netip.AddrPort
}

// String is, for example, "udp 244.0.0.1:53 at 10.1.0.5:5353".
func (f Flow) String() string {
	return fmt.Sprintf("%s %s at %s", f.Protocol, netip.AddrPortFrom(f.Address, f.Port), f.Endpoint)
}

// Stale are the flows to addresses inside some blocks that lead to endpoints, but for those that are kept.
type Stale struct {
	// Inside are the blocks. None: no flows.
	Inside []netip.Prefix // required
	// Keep are flows that are not stale.
	Keep map[Flow]bool // optional, default none
	// Protocol of the flows (tcp, udp or sctp).
	Protocol string // optional, default all
}
