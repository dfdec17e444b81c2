package route

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// dumpTries is how often a dump that other changes interrupted is taken again.
const dumpTries = 5

// families in the order in which they are read.
var families = [...]Family{IPv4, IPv6}

// ours selects our routes in a dump.
const ours = netlink.RT_FILTER_TABLE | netlink.RT_FILTER_PROTOCOL

// Sync makes the table and its rules match want and returns what it changed. It is safe to repeat.
func Sync(ctx context.Context, want Config) (Change, error) {
	have, err := Read(ctx)
	if err != nil {
		return Change{}, fmt.Errorf("reading table %d: %w", Table, err)
	}
	change := Diff(have, want)
	if change.Empty() {
		return change, nil
	}
	return Apply(ctx, change)
}

// Read returns what is ours in this network namespace.
func Read(_ context.Context) (State, error) {
	names, err := linkNames()
	if err != nil {
		return State{}, err
	}
	var state State
	for _, family := range families {
		if err := readRules(family, &state); err != nil {
			return State{}, err
		}
		routes, err := readRoutes(family)
		if err != nil {
			return State{}, err
		}
		for _, r := range routes {
			state.Routes = append(state.Routes, fromKernel(r, names))
		}
	}
	slices.SortFunc(state.Routes, func(a, b Route) int { return a.Compare(b.Key) })
	slices.SortFunc(state.Bypasses, netip.AddrPort.Compare)
	return state, nil
}

func readRoutes(family Family) ([]netlink.Route, error) {
	filter := &netlink.Route{Table: Table, Protocol: Protocol}
	routes, err := dump(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlinkFamily(family), filter, ours)
	})
	if err != nil {
		return nil, fmt.Errorf("listing IPv%d routes of table %d: %w", family, Table, err)
	}
	return routes, nil
}

func linkNames() (map[int]string, error) {
	links, err := dump(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing links: %w", err)
	}
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	return names, nil
}

// fromKernel is the kernel's route in our terms. A type, next hop or metric that we never set makes it differ from
// every wanted route, so that it is replaced or removed.
func fromKernel(r netlink.Route, names map[int]string) Route {
	route := Route{Key: Key{Destination: prefix(r.Dst), Metric: r.Priority}}
	switch r.Type {
	case unix.RTN_UNICAST:
	case unix.RTN_UNREACHABLE:
		route.Type = Unreachable
		return route
	default:
		route.Type = Type(-r.Type)
	}
	if src, ok := netip.AddrFromSlice(r.Src); ok {
		route.Source = src.Unmap()
	}
	if len(r.MultiPath) == 0 {
		route.Links = []string{names[r.LinkIndex]}
	}
	for _, hop := range r.MultiPath {
		route.Links = append(route.Links, names[hop.LinkIndex])
	}
	slices.Sort(route.Links)
	return route
}

func prefix(n *net.IPNet) netip.Prefix {
	addr, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), ones)
}

// Apply makes the change. It tries all of it, and returns what was applied and the joined errors of what was not.
// Routes and exceptions come before the rule that leads to them, and what is added before what goes.
func Apply(_ context.Context, change Change) (Change, error) {
	var done Change
	var errs []error
	for _, r := range change.Set {
		done.Set = attempt(done.Set, r, setRoute, &errs)
	}
	for _, b := range change.AddBypasses {
		done.AddBypasses = attempt(done.AddBypasses, b, addBypass, &errs)
	}
	for _, f := range change.AddRules {
		done.AddRules = attempt(done.AddRules, f, addRule, &errs)
	}
	for _, f := range change.RemoveRules {
		done.RemoveRules = attempt(done.RemoveRules, f, removeRule, &errs)
	}
	for _, b := range change.RemoveBypasses {
		done.RemoveBypasses = attempt(done.RemoveBypasses, b, removeBypass, &errs)
	}
	for _, r := range change.Remove {
		done.Remove = attempt(done.Remove, r, removeRoute, &errs)
	}
	return done, errors.Join(errs...)
}

// attempt applies f to x and appends it to done, or the error to errs.
func attempt[T any](done []T, x T, f func(T) error, errs *[]error) []T {
	if err := f(x); err != nil {
		*errs = append(*errs, err)
		return done
	}
	return append(done, x)
}

func setRoute(r Route) error {
	route, err := toKernel(r)
	if err != nil {
		return fmt.Errorf("setting route %s metric %d: %w", r.Destination, r.Metric, err)
	}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("setting route %s metric %d: %w", r.Destination, r.Metric, err)
	}
	return nil
}

// removeRoute deletes the route; one that is gone already is no error.
func removeRoute(r Route) error {
	route := &netlink.Route{
		Table: Table, Protocol: Protocol, Dst: ipNet(r.Destination), Priority: r.Metric, Type: kernelType(r.Type),
		Scope: scope(r),
	}
	if err := netlink.RouteDel(route); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("removing route %s metric %d: %w", r.Destination, r.Metric, err)
	}
	return nil
}

func toKernel(r Route) (*netlink.Route, error) {
	route := &netlink.Route{
		Table: Table, Protocol: Protocol, Dst: ipNet(r.Destination), Priority: r.Metric, Type: kernelType(r.Type),
		Scope: scope(r), Src: r.Source.AsSlice(),
	}
	for _, name := range r.Links {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return nil, fmt.Errorf("finding link %s: %w", name, err)
		}
		route.MultiPath = append(route.MultiPath, &netlink.NexthopInfo{LinkIndex: link.Attrs().Index, Gw: nextHop(r)})
	}
	if hops := route.MultiPath; len(hops) == 1 {
		route.LinkIndex, route.Gw, route.MultiPath = hops[0].LinkIndex, hops[0].Gw, nil
	}
	return route, nil
}

// nextHop is the gateway of a route. On IPv6 the kernel shares flows only among next hops that have one
// (ip6_route_multipath_add in net/ipv6/route.c), so there is a link-local one, which is nobody's: WireGuard goes by the
// packet's destination. On IPv4 there is none.
func nextHop(r Route) net.IP {
	if r.Destination.Addr().Is4() {
		return nil
	}
	return net.ParseIP("fe80::1")
}

// scope is that of a route without gateway, which on IPv4 reaches its destination on the link itself.
func scope(r Route) netlink.Scope {
	if r.Type == Unicast && r.Destination.Addr().Is4() {
		return netlink.SCOPE_LINK
	}
	return netlink.SCOPE_UNIVERSE
}

func kernelType(t Type) int {
	if t == Unreachable {
		return unix.RTN_UNREACHABLE
	}
	return unix.RTN_UNICAST
}

func netlinkFamily(f Family) int {
	if f == IPv4 {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// dump calls f until its dump was not interrupted by a change: an interrupted one may lack entries.
func dump[T any](f func() ([]T, error)) ([]T, error) {
	var err error
	for range dumpTries {
		var list []T
		if list, err = f(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return list, err
		}
	}
	return nil, err
}
