package route

import (
	"cmp"
	"net/netip"
	"slices"
)

// Numbers that mark what is ours on the node.
const (
	// Table holds the routes.
	Table = 7473
	// Protocol is the origin on our routes and rules (rtm_protocol), from the range that nobody has registered.
	Protocol = 147
	// RulePriority is where the table is looked up: before main (32766), after local (0).
	RulePriority = 7473
	// BypassPriority is where exceptions are looked up: just before the table.
	BypassPriority = 7472
)

// Type is what a route does.
type Type int

// The types. Unreachable refuses the packet with an ICMP error.
const (
	Unicast Type = iota
	Unreachable
)

// Metrics of the routes: the one that refuses is the last resort.
const (
	MetricUnicast     = 100
	MetricUnreachable = 65535
)

// Config is what the table is to hold. The zero value wants neither routes nor rules. A family has a rule if it has a
// route.
type Config struct {
	// Routes by Key.
	Routes []Route
	// Bypasses are the UDP destinations, in order, that go by the main table although a route here covers them: the
	// outer packets of tunnels whose ends lie inside the CIDRs that they lead to.
	Bypasses []netip.AddrPort
}

// Key is what makes a route distinct in the kernel, beside our table.
type Key struct {
	Destination netip.Prefix
	Metric      int
}

// Route is one route of our table.
type Route struct {
	Key
	Type Type
	// Source is the address that this node's own packets take; not valid: the kernel chooses.
	Source netip.Addr
	// Links are the names of the devices to send by, sorted; more than one share the flows. Empty for Unreachable.
	Links []string
}

// Equal tells whether the routes are the same in all.
func (r Route) Equal(o Route) bool {
	return r.Key == o.Key && r.Type == o.Type && r.Source == o.Source && slices.Equal(r.Links, o.Links)
}

// Compare orders routes by family, destination and metric.
func (k Key) Compare(o Key) int {
	return cmp.Or(
		k.Destination.Addr().Compare(o.Destination.Addr()),
		cmp.Compare(k.Destination.Bits(), o.Destination.Bits()),
		cmp.Compare(k.Metric, o.Metric),
	)
}

// Family is an IP family.
type Family int

// The families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

func familyOf(addr netip.Addr) Family {
	if addr.Is4() {
		return IPv4
	}
	return IPv6
}

// State is what the kernel has of ours.
type State struct {
	// Rules are the families that have our rule.
	Rules []Family
	// Routes by Key.
	Routes []Route
	// Bypasses in order.
	Bypasses []netip.AddrPort
}

// Change is the difference between what is and what is wanted. The zero value changes nothing.
type Change struct {
	// Set are the routes to add or to replace in place.
	Set []Route
	// Remove are the routes to delete.
	Remove         []Route
	AddRules       []Family
	RemoveRules    []Family
	AddBypasses    []netip.AddrPort
	RemoveBypasses []netip.AddrPort
}

// Empty tells whether there is nothing to do.
func (c Change) Empty() bool {
	return len(c.Set) == 0 && len(c.Remove) == 0 && len(c.AddRules) == 0 && len(c.RemoveRules) == 0 &&
		len(c.AddBypasses) == 0 && len(c.RemoveBypasses) == 0
}

// Diff is the change that makes have into want.
func Diff(have State, want Config) Change {
	var change Change
	var rules []Family
	for _, w := range want.Routes {
		if f := familyOf(w.Destination.Addr()); !slices.Contains(rules, f) {
			rules = append(rules, f)
		}
		if !slices.ContainsFunc(have.Routes, w.Equal) {
			change.Set = append(change.Set, w)
		}
	}
	for _, h := range have.Routes {
		if !slices.ContainsFunc(want.Routes, func(w Route) bool { return w.Key == h.Key }) {
			change.Remove = append(change.Remove, h)
		}
	}
	change.AddRules = without(rules, have.Rules)
	change.RemoveRules = without(have.Rules, rules)
	change.AddBypasses = without(want.Bypasses, have.Bypasses)
	change.RemoveBypasses = without(have.Bypasses, want.Bypasses)
	return change
}

// without is the elements of a that are not in b, in a's order; nil if there are none.
func without[T comparable](a, b []T) []T {
	var rest []T
	for _, x := range a {
		if !slices.Contains(b, x) {
			rest = append(rest, x)
		}
	}
	return rest
}
