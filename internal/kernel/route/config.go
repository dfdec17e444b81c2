package route

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
)

// Device is the name of the VXLAN device that joins a cluster's nodes with its gateways.
const Device = "tombolo-vx"

// Protocol is the number that our routes and rules carry (rtm_protocol, FRA_PROTOCOL), so that they are known as ours.
const Protocol = 148

// The routing tables. Rules that lead to them have the table's number as their priority, except for TableFallback.
const (
	// TableLocal is the kernel's own table of local addresses (RT_TABLE_LOCAL), consulted before all others.
	TableLocal = 255
	// TableRemote leads from a node to a gateway.
	TableRemote = 7474
	// TableNodes leads what comes from other clusters from a gateway to the other nodes.
	TableNodes = 7475
	// TableFallback refuses remote clusters' addresses, so that nothing leaves in clear while there is no gateway.
	TableFallback = 7476
)

// PriorityFallback is the priority of the rules for TableFallback: after every other table of tombolo, also the
// gateway's (7473), and before the table `main` (32766).
const PriorityFallback = 32000

// Metric of the routes; the same in both families, though IPv4 would default to 0.
const Metric = 1024

// MetricTransit is the metric of the local routes to this node's transit addresses, by which those to VIP CIDRs can be
// told from them.
const MetricTransit = 1025

// VXLANOverhead is what VXLAN adds to a packet, in bytes, by the family of the underlay (RFC 7348 section 5): outer
// Ethernet, IP, UDP and VXLAN headers, less the inner Ethernet header's own place on the underlay.
func VXLANOverhead(underlay netip.Addr) int {
	if underlay.Is4() {
		return 50
	}
	return 70
}

// TunnelOverhead is what WireGuard adds to a packet over IPv6, in bytes; over IPv4 it is 20 less.
const TunnelOverhead = 80

// MAC is an Ethernet address.
type MAC [6]byte

// String is the address in the usual form.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// NodeMAC is the address of a node's VXLAN device, known to the other nodes by the node's name alone: locally
// administered, from SHA-256("vxlan/" + name).
func NodeMAC(node string) MAC {
	sum := sha256.Sum256([]byte("vxlan/" + node))
	mac := MAC(sum[:6])
	mac[0] = mac[0]&^0x01 | 0x02 // unicast, locally administered
	return mac
}

// LinkLocal is the IPv6 address that stands for the node on the VXLAN: fe80:: and the modified EUI-64 of the MAC (RFC
// 4291 appendix A). The node does not have it; it is a next hop, with a permanent neighbour entry. The node's own IPv6
// address cannot be the next hop, since the kernel refuses one that another device leads to, unlike in IPv4.
func (m MAC) LinkLocal() netip.Addr {
	b := [16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 0x02, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]}
	return netip.AddrFrom16(b)
}

// VXLAN is the device.
type VXLAN struct {
	// ID is the VXLAN network identifier.
	ID uint32
	// Port is the UDP port, of both sides.
	Port uint16
	// Local is the node's underlay address.
	Local netip.Addr
	// MTU in bytes.
	MTU int
	// MAC is NodeMAC of this node.
	MAC MAC
	// Down is true of a device in the kernel that somebody set down; nobody asks for it.
	Down bool
}

// Neighbour is a permanent neighbour entry on the device: a next hop and its MAC.
type Neighbour struct {
	Address netip.Addr
	MAC     MAC
}

// Compare orders neighbours by address and MAC.
func (n Neighbour) Compare(other Neighbour) int {
	return cmp.Or(n.Address.Compare(other.Address), cmp.Compare(n.MAC.String(), other.MAC.String()))
}

// String is, for example, "neighbour 192.0.2.7".
func (n Neighbour) String() string { return "neighbour " + n.Address.String() }

// Forward is a permanent entry of the device's forwarding database: which node has a MAC.
type Forward struct {
	MAC      MAC
	Underlay netip.Addr
}

// Compare orders entries by MAC and address.
func (f Forward) Compare(other Forward) int {
	return cmp.Or(cmp.Compare(f.MAC.String(), other.MAC.String()), f.Underlay.Compare(other.Underlay))
}

// String is, for example, "forwarding entry 02:...:0a".
func (f Forward) String() string { return "forwarding entry " + f.MAC.String() }

// Kind is what a route does with a packet.
type Kind uint8

// The kinds of routes.
const (
	// Local delivers to this node.
	Local Kind = iota + 1
	// Via sends to a next hop over the device.
	Via
	// Unreachable refuses.
	Unreachable
)

// Route is one route.
type Route struct {
	Table  int
	Prefix netip.Prefix
	Metric int
	Kind   Kind
	// Source is the address that this node takes for its own packets (Local only; zero: the kernel chooses).
	Source netip.Addr
	// Gateway is the next hop on the device (Via only).
	Gateway netip.Addr
	// MTU in bytes; zero is the device's.
	MTU int
}

// id is what makes a route distinct in the kernel: a second one with the same id replaces the first.
func (r Route) id() Route { return Route{Table: r.Table, Prefix: r.Prefix, Metric: r.Metric} }

// Compare orders routes by what makes them distinct.
func (r Route) Compare(other Route) int {
	return cmp.Or(cmp.Compare(r.Table, other.Table), r.Prefix.Addr().Compare(other.Prefix.Addr()),
		cmp.Compare(r.Prefix.Bits(), other.Prefix.Bits()), cmp.Compare(r.Metric, other.Metric))
}

// String is, for example, "route to 10.1.0.0/16 in table 7474".
func (r Route) String() string { return fmt.Sprintf("route to %s in table %d", r.Prefix, r.Table) }

// Rule leads packets to a table.
type Rule struct {
	Table    int
	Priority int
	// IPv6 rules are distinct from those of IPv4.
	IPv6 bool
	// From is the source that the rule is for; zero is any.
	From netip.Prefix
}

// Compare orders rules by all that makes them distinct.
func (r Rule) Compare(other Rule) int {
	family := func(r Rule) int {
		if r.IPv6 {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(r.Priority, other.Priority), cmp.Compare(r.Table, other.Table),
		cmp.Compare(family(r), family(other)), r.From.Addr().Compare(other.From.Addr()), cmp.Compare(r.From.Bits(), other.From.Bits()))
}

// String is, for example, "rule 7475 from 10.1.0.0/16".
func (r Rule) String() string {
	if r.From.IsValid() {
		return fmt.Sprintf("rule %d from %s", r.Priority, r.From)
	}
	return fmt.Sprintf("rule %d from all", r.Priority)
}

// Config is what a node needs, or what of ours it has. The lists are in any order, without duplicates.
type Config struct {
	// VXLAN is nil where no device is needed.
	VXLAN      *VXLAN
	Neighbours []Neighbour
	Forwards   []Forward
	Routes     []Route
	Rules      []Rule
}

// VIPs are the VIP CIDRs that the Config makes local, in the order of its routes.
func (c Config) VIPs() []netip.Prefix {
	var vips []netip.Prefix
	for _, r := range c.Routes {
		if r.Kind == Local && r.Metric != MetricTransit {
			vips = append(vips, r.Prefix)
		}
	}
	return vips
}
