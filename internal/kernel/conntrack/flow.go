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
	// Services are the blocks of the services' addresses. A flow of UDP to them is stale if it is not
	// one to Keep. Connections notice by themselves when their endpoint has gone.
	Services []netip.Prefix // optional, default none
	// Keep reports whether the flow goes to an endpoint that serves.
	Keep func(Flow) bool // optional, default none does
	// Others are ports inside Services that others serve. Their flows are never stale.
	Others []serviceport.Key // optional, default none
	// Unanswered makes flows of every protocol stale that nothing has answered, if they go to none of
	// the endpoints, or if the endpoint sees another source than it should. It is for when rules have
	// come.
	Unanswered bool
	// Remote are blocks to which clients send without a service, too. Own are the addresses that
	// should be seen there as they are, and Transit those that the node's own processes should have.
	Remote, Own []netip.Prefix // optional, default none
	Transit     []netip.Addr   // optional, default none
}

// entry is what connection tracking remembers of one flow.
type entry struct {
	flow Flow
	// client began the flow, and the endpoint sees the source.
	client, source netip.Addr
	// answered is true if a packet came in the other direction.
	answered bool
}

func (s Stale) holds(e entry) bool {
	to := e.flow.Address
	service := inside(s.Services, to)
	switch {
	case !e.flow.Protocol.Known(), !service && !inside(s.Remote, to), slices.Contains(s.Others, e.flow.Key):
		return false
	case service && e.flow.Protocol == serviceport.UDP && !s.keeps(e.flow):
		return true
	case e.answered, !s.Unanswered:
		return false
	}
	return service && !s.keeps(e.flow) || !s.rightSource(e)
}

func (s Stale) keeps(f Flow) bool { return s.Keep != nil && s.Keep(f) }

// rightSource reports whether the endpoint sees the source that it would see of a flow that begins
// now. A client that is its own endpoint is masqueraded.
func (s Stale) rightSource(e entry) bool {
	endpoint := e.flow.Endpoint.Addr()
	if slices.Contains(s.Transit, e.source) || endpoint == e.client {
		return true
	}
	transit := slices.ContainsFunc(s.Transit, func(a netip.Addr) bool { return a.Is4() == e.client.Is4() })
	return e.source == e.client && (inside(s.Own, e.client) || !transit || !inside(s.Remote, endpoint))
}

func inside(blocks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(blocks, func(p netip.Prefix) bool { return p.Contains(a) })
}
