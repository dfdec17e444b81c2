package conntrack

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// Flow is all flows of clients to one port of a service's address that one endpoint serves.
type Flow struct {
	// Key is what the clients send to.
	serviceport.Key
	// Endpoint is what answers. It is the address and port of the Key for a flow that was not
	// translated.
	Endpoint netip.AddrPort
}

// String is, for example, "UDP 244.0.0.1:53 at 10.1.0.5:5353".
func (f Flow) String() string { return fmt.Sprintf("%s at %s", f.Key, f.Endpoint) }

// Stale are flows that may have begun under other rules than those of now. A flow keeps what was
// decided about its first packet for as long as its client sends.
type Stale struct {
	// Services are the blocks of the services' addresses. A flow to them is stale if nothing has
	// answered it, or if it is of UDP and not among those to Keep. Connections notice by themselves
	// when their endpoint has gone.
	Services []netip.Prefix // optional, default none
	// Keep are the flows to endpoints that serve.
	Keep map[Flow]bool // optional, default none
	// Others are ports inside Services that others serve. Their flows are never stale.
	Others []serviceport.Key // optional, default none
	// Remote are blocks to which clients send without a service. A flow to them is stale if nothing
	// has answered it.
	Remote []netip.Prefix // optional, default none
}

// entry is what connection tracking remembers of one flow.
type entry struct {
	flow Flow
	// answered is true if a packet came in the other direction.
	answered bool
}

func (s Stale) holds(e entry) bool {
	to := e.flow.Address
	switch {
	case !e.flow.Protocol.Known():
		return false
	case inside(s.Services, to):
		if slices.Contains(s.Others, e.flow.Key) {
			return false
		}
		return !e.answered || e.flow.Protocol == serviceport.UDP && !s.Keep[e.flow]
	}
	return !e.answered && inside(s.Remote, to)
}

func inside(blocks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(blocks, func(p netip.Prefix) bool { return p.Contains(a) })
}
