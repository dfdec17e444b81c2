package route

import "slices"

// Tables of routes. The rules that lead to TableTunnels, TableRemote and TableNodes have the number
// of their table as priority.
const (
	// TableMain is the kernel's table of ordinary routes (RT_TABLE_MAIN).
	TableMain = 254
	// TableLocal is the kernel's own table of local addresses (RT_TABLE_LOCAL). It is consulted before
	// all others.
	TableLocal = 255
	// TableTunnels leads from a gateway into the tunnels to other clusters.
	TableTunnels = 7473
	// TableRemote leads from a node to a gateway.
	TableRemote = 7474
	// TableNodes leads what comes from other clusters from a gateway to the other nodes.
	TableNodes = 7475
	// TableFallback refuses the addresses of remote clusters, so that nothing leaves in clear while
	// there is no gateway.
	TableFallback = 7476
	// TableHandover leads what another gateway of this cluster has handed over into this gateway's
	// tunnels, and nowhere else: a packet is handed over once.
	TableHandover = 7477
)

// Priorities of rules that are not the number of a table.
const (
	// PriorityHandover is before TableTunnels, which may hand over.
	PriorityHandover = 7471
	// PriorityBypass is just before TableTunnels: the tunnels' own packets go by TableMain.
	PriorityBypass = 7472
	// PriorityTransit and PrioritySpare are those of a gateway's ways over other gateways, for its own
	// pods while it has no tunnels. They are after TableTunnels and TableNodes. What has come over the
	// VXLAN is refused before: two gateways without tunnels would send it to and fro.
	PriorityTransit = 7477
	PrioritySpare   = 7478
	// PriorityFallback is after every other table of tombolo and before TableMain (32766).
	PriorityFallback = 32000
)

// Loopback is the device by which this node's own packets come to the rules, and the look-ups by
// which reverse path filters ask for the way back.
const Loopback = "lo"

// Protocol numbers (rtm_protocol, FRA_PROTOCOL), from the range that nobody has registered.
const (
	ProtocolGateway   = 147
	ProtocolDataplane = 148
)

// Owner says which routes and rules of a node belong to one agent.
type Owner struct {
	// Protocol is the number that its routes and rules carry.
	Protocol int
	// Tables are those of its routes.
	Tables []int
	// Lookups are what its rules do.
	Lookups []Lookup
}

// Lookup is that a rule of that priority leads to a table. Priority zero stands for any.
type Lookup struct{ Priority, Table int }

// GatewayOwner owns the routes and rules of the gateway agent.
func GatewayOwner() Owner {
	return Owner{
		Protocol: ProtocolGateway,
		Tables:   []int{TableTunnels, TableHandover},
		Lookups:  []Lookup{{TableTunnels, TableTunnels}, {PriorityBypass, TableMain}, {PriorityHandover, TableHandover}},
	}
}

// DataplaneOwner owns the routes and rules of the dataplane agent.
func DataplaneOwner() Owner {
	return Owner{
		Protocol: ProtocolDataplane,
		Tables:   []int{TableLocal, TableRemote, TableNodes, TableFallback},
		Lookups:  []Lookup{{0, TableLocal}, {0, TableRemote}, {0, TableNodes}, {0, TableFallback}},
	}
}

// ownsRoute reports whether a route with that protocol in that table is the owner's.
func (o Owner) ownsRoute(protocol, table int) bool {
	return protocol == o.Protocol && slices.Contains(o.Tables, table)
}

// ownsRule reports whether a rule with that protocol and priority that leads to that table is the
// owner's.
func (o Owner) ownsRule(protocol, priority, table int) bool {
	return protocol == o.Protocol && slices.ContainsFunc(o.Lookups, func(l Lookup) bool {
		return l.Table == table && (l.Priority == priority || l.Priority == 0)
	})
}
