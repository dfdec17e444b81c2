package route

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Config is what an owner wants in the kernel, or what the kernel has. The lists are in any order
// and without duplicates; Read returns them sorted. The zero value has neither routes nor rules.
type Config struct {
	Routes []Route
	Rules  []Rule
}

// Metrics of routes. Those of the gateway: the route that refuses is the last resort. Those of the
// dataplane are the same in both families, although IPv4 would default to 0.
const (
	// MetricUnicast is that of routes into the tunnels.
	MetricUnicast = 100
	// MetricUnreachable is that of the gateway's routes that refuse.
	MetricUnreachable = 65535
	// Metric is that of the dataplane's routes.
	Metric = 1024
	// MetricTransit is that of the local routes to a node's transit addresses. It tells them from
	// those to VIP CIDRs.
	MetricTransit = 1025
)

// Type is what a route does with a packet, as the kernel numbers it (rtm_type in
// linux/rtnetlink.h). Read may return types other than these; they differ from every wanted one.
type Type uint8

// The types.
const (
	// Unicast sends to the next hops.
	Unicast Type = 1
	// Local delivers to this node, over its loopback device.
	Local Type = 2
	// Unreachable refuses with an ICMP error.
	Unreachable Type = 7
)

// Key is what makes a route distinct in the kernel: a second route with the same Key replaces the
// first. Its type and its next hops are no part of it.
type Key struct {
	Table       int
	Destination netip.Prefix
	// TOS is the type of service that the route is for (IPv4 only). We set none; others' may show.
	TOS int
	// Metric is the route's priority: the lowest wins.
	Metric int
}

// Compare orders routes by table, family, destination, type of service and metric.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Table, o.Table), k.Destination.Compare(o.Destination), cmp.Compare(k.TOS, o.TOS),
		cmp.Compare(k.Metric, o.Metric))
}

// Routed is a prefix that a route of any program leads to by a next hop.
type Routed struct {
	Prefix netip.Prefix
	Hop    netip.Addr
	// Link is the name of the device that the hop is on.
	Link string
}

func (r Routed) compare(o Routed) int {
	return cmp.Or(r.Prefix.Compare(o.Prefix), r.Hop.Compare(o.Hop), cmp.Compare(r.Link, o.Link))
}

// Route is one route.
type Route struct {
	Key
	Type Type
	// Source is the address that this node's own packets get. Not valid: the kernel chooses.
	Source netip.Addr
	// MTU in bytes. Zero: that of the device.
	MTU int
	// Hops are sorted by Compare. Only Unicast routes have any. More than one share the flows.
	Hops []NextHop
}

// NextHop is one way that a route sends packets.
type NextHop struct {
	// Link is the name of the device.
	Link string
	// Gateway is the address of the next hop on the link. Not valid: the destination is on the link
	// itself.
	Gateway netip.Addr
	// OnLink says that the gateway is on the link, although no address of the link covers it.
	OnLink bool
	// Weight is the hop's share of the flows, 1 to 256, relative to those of the route's other hops.
	// Zero counts as 1. The weight of an only hop means nothing, and the kernel does not keep it.
	Weight int
}

// Compare orders next hops by link and gateway.
func (h NextHop) Compare(o NextHop) int {
	return cmp.Or(cmp.Compare(h.Link, o.Link), h.Gateway.Compare(o.Gateway), cmp.Compare(h.Weight, o.Weight))
}

// Over are the next hops of a route that sends by the links, with equal shares and without
// gateways.
func Over(links ...string) []NextHop {
	hops := make([]NextHop, len(links))
	for i, link := range links {
		hops[i].Link = link
	}
	slices.SortFunc(hops, NextHop.Compare)
	return hops
}

// Equal reports whether the routes are the same in every respect.
func (r Route) Equal(o Route) bool {
	return r.Key == o.Key && r.Type == o.Type && r.Source == o.Source && r.MTU == o.MTU &&
		slices.EqualFunc(r.Hops, o.Hops, func(a, b NextHop) bool {
			a.Weight, b.Weight = max(a.Weight, 1), max(b.Weight, 1)
			if len(r.Hops) == 1 {
				a.Weight = b.Weight
			}
			return a == b
		})
}

// Links are the names of the devices that the route sends by, in the order of its hops.
func (r Route) Links() []string {
	links := make([]string, len(r.Hops))
	for i, h := range r.Hops {
		links[i] = h.Link
	}
	return links
}

// String is, for example, "route to 10.1.0.0/16 in table 7474".
func (r Route) String() string { return fmt.Sprintf("route to %s in table %d", r.Destination, r.Table) }

// Rule leads the packets that it selects to a table. All of its fields make it distinct in the
// kernel.
type Rule struct {
	Priority int
	Table    int
	// IPv6 rules are distinct from those of IPv4.
	IPv6 bool
	// From and To are the source and the destination that the rule is for. Not valid: any.
	From, To netip.Prefix
	// IIF is the name of the device that packets come in by. Empty: any. Loopback stands for this
	// node's own packets.
	IIF string
	// Protocol is the IP protocol, SourcePort the source port, and Port the destination port. Zero: any.
	Protocol   uint8
	SourcePort uint16
	Port       uint16
}

// Compare orders rules by priority, table, family and what they select.
func (r Rule) Compare(o Rule) int {
	return cmp.Or(cmp.Compare(r.Priority, o.Priority), cmp.Compare(r.Table, o.Table), compareBool(r.IPv6, o.IPv6),
		r.From.Compare(o.From), r.To.Compare(o.To), cmp.Compare(r.IIF, o.IIF), cmp.Compare(r.Protocol, o.Protocol),
		cmp.Compare(r.SourcePort, o.SourcePort), cmp.Compare(r.Port, o.Port))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// String is, for example, "rule 7475 from 10.1.0.0/16".
func (r Rule) String() string {
	words := []string{fmt.Sprintf("rule %d from", r.Priority), "all"}
	if r.From.IsValid() {
		words[1] = r.From.String()
	}
	if r.To.IsValid() {
		words = append(words, "to", r.To.String())
	}
	if r.IIF != "" {
		words = append(words, "iif", r.IIF)
	}
	if r.SourcePort != 0 {
		words = append(words, fmt.Sprintf("sport %d", r.SourcePort))
	}
	if r.Port != 0 {
		words = append(words, fmt.Sprintf("port %d", r.Port))
	}
	return strings.Join(words, " ")
}
