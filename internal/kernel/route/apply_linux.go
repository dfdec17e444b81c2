package route

import (
	"context"
	"errors"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
)

// Sync makes the owner's routes and rules match want and returns what it changed. It is safe to
// repeat.
func (o Owner) Sync(ctx context.Context, want Config) (Change, error) {
	have, err := o.Read(ctx)
	if err != nil {
		return Change{}, err
	}
	change := Diff(have, want)
	if change.Empty() {
		return change, nil
	}
	return o.Apply(ctx, change)
}

// Apply makes the change in the owner's name. It tries every part, and returns what it applied and
// the joined errors of the rest; what is gone already counts as deleted. Routes come before the
// rules that lead to them and go after them. What is added comes before what goes.
func (o Owner) Apply(ctx context.Context, change Change) (Change, error) {
	w := writer{owner: o}
	var tried rtnl.Attempts
	var done Change
	done.SetRoutes = rtnl.Each(ctx, &tried, "setting", change.SetRoutes, w.setRoute)
	done.AddRules = rtnl.Each(ctx, &tried, "adding", change.AddRules, w.addRule)
	done.DeleteRules = rtnl.Each(ctx, &tried, "deleting", reversed(change.DeleteRules), w.deleteRule)
	_ = rtnl.Each(ctx, &tried, "adding", w.covered, w.addRule)
	done.DeleteRoutes = rtnl.Each(ctx, &tried, "deleting", reversed(change.DeleteRoutes), w.deleteRoute)
	return done, tried.Err()
}

// writer writes in the owner's name.
type writer struct {
	owner Owner
	links rtnl.Links
	// covered are the rules to add that the kernel said it had.
	covered []Rule
}

func (w *writer) setRoute(r Route) error {
	route := w.toKernel(r)
	if err := w.addHops(route, r.Hops); err != nil {
		return err
	}
	return netlink.RouteReplace(route)
}

// deleteRoute names an only next hop, since IPv4 may have several routes with one Key. It does not
// name more than one: the kernel would compare them in order (fib_nh_match in
// net/ipv4/fib_semantics.c), and we do not know theirs.
func (w *writer) deleteRoute(r Route) error {
	route := w.toKernel(r)
	if len(r.Hops) == 1 && w.addHops(route, r.Hops) != nil {
		route.LinkIndex, route.Gw = 0, nil // the link is gone, and most likely the route with it
	}
	return rtnl.Unless(unix.ESRCH, netlink.RouteDel(route))
}

// addRule counts a rule that is there as added. The kernel says so, too, if it has one with the
// same priority and table that selects less (rule_exists in net/core/fib_rules.c). That one may be
// about to go, so Apply adds the rule again then.
func (w *writer) addRule(r Rule) error {
	err := netlink.RuleAdd(w.toRule(r))
	if errors.Is(err, unix.EEXIST) {
		w.covered = append(w.covered, r)
		return nil
	}
	return err
}

func (w *writer) deleteRule(r Rule) error {
	return rtnl.Unless(unix.ENOENT, netlink.RuleDel(w.toRule(r)))
}

// loopback is the index of lo, the first device of every network namespace (LOOPBACK_IFINDEX in the
// kernel).
const loopback = 1

// toKernel is the route without its next hops.
func (w *writer) toKernel(r Route) *netlink.Route {
	route := &netlink.Route{
		Table: r.Table, Protocol: netlink.RouteProtocol(w.owner.Protocol), Dst: rtnl.IPNet(r.Destination), Tos: r.TOS,
		Priority: r.Metric, Type: int(r.Type), Scope: scope(r), Src: r.Source.AsSlice(), MTU: r.MTU,
		Family: rtnl.Family(r.Destination.Addr()),
	}
	if r.Type == Local {
		route.LinkIndex = loopback
	}
	return route
}

func (w *writer) addHops(route *netlink.Route, hops []NextHop) error {
	for _, h := range hops {
		index, err := w.links.Index(h.Link)
		if err != nil {
			return err
		}
		hop := &netlink.NexthopInfo{LinkIndex: index, Gw: h.Gateway.AsSlice(), Hops: max(h.Weight, 1) - 1}
		if h.OnLink {
			hop.Flags = int(netlink.FLAG_ONLINK)
		}
		route.MultiPath = append(route.MultiPath, hop)
	}
	if hops := route.MultiPath; len(hops) == 1 {
		route.LinkIndex, route.Gw, route.Flags, route.MultiPath = hops[0].LinkIndex, hops[0].Gw, hops[0].Flags, nil
	}
	return nil
}

// scope says how far away the destination is, as `ip route` derives it. IPv6 has no scopes and
// ignores it.
func scope(r Route) netlink.Scope {
	onLink := func(h NextHop) bool { return !h.Gateway.IsValid() }
	switch {
	case r.Type == Local:
		return netlink.SCOPE_HOST
	case r.Type == Unicast && r.Destination.Addr().Is4() && slices.ContainsFunc(r.Hops, onLink):
		return netlink.SCOPE_LINK
	}
	return netlink.SCOPE_UNIVERSE
}

func (w *writer) toRule(r Rule) *netlink.Rule {
	rule := netlink.NewRule()
	rule.Table, rule.Priority, rule.Protocol, rule.Family = r.Table, r.Priority, uint8(w.owner.Protocol), unix.AF_INET
	if r.IPv6 {
		rule.Family = unix.AF_INET6
	}
	if r.From.IsValid() {
		rule.Src = rtnl.IPNet(r.From)
	}
	if r.To.IsValid() {
		rule.Dst = rtnl.IPNet(r.To)
	}
	rule.IifName, rule.IPProto = r.IIF, int(r.Protocol)
	if r.SourcePort != 0 {
		rule.Sport = netlink.NewRulePortRange(r.SourcePort, r.SourcePort)
	}
	if r.Port != 0 {
		rule.Dport = netlink.NewRulePortRange(r.Port, r.Port)
	}
	return rule
}

func reversed[T any](items []T) []T {
	items = slices.Clone(items)
	slices.Reverse(items)
	return items
}
