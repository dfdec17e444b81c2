package conntrack

import (
	"fmt"
	"net/netip"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// Flow is all flows of clients to one port of a service's address that one endpoint serves.
type Flow struct {
	// Key is what the clients send to.
	serviceport.Key
	// Endpoint is what answers.
	Endpoint netip.AddrPort
}

// String is, for example, "UDP 244.0.0.1:53 at 10.1.0.5:5353".
func (f Flow) String() string { return fmt.Sprintf("%s at %s", f.Key, f.Endpoint) }

// Stale are the flows to addresses inside some blocks that lead to endpoints, except those that are
// kept.
type Stale struct {
	// Inside are the blocks. None: no flows.
	Inside []netip.Prefix // required
	// Keep are flows that are not stale.
	Keep map[Flow]bool // optional, default none
	// Protocol of the flows.
	Protocol serviceport.Protocol // optional, default all
}
