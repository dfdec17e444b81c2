package route

import (
	"context"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
)

// Read returns the owner's routes and rules, in the network namespace of the caller.
func (o Owner) Read(ctx context.Context) (Config, error) {
	var have Config
	var links rtnl.Links
	for _, family := range rtnl.Families() {
		if err := o.readRoutes(ctx, family, &links, &have); err != nil {
			return Config{}, err
		}
		if err := o.readRules(ctx, family, &have); err != nil {
			return Config{}, err
		}
	}
	slices.SortFunc(have.Routes, func(a, b Route) int { return a.Compare(b.Key) })
	slices.SortFunc(have.Rules, Rule.Compare)
	return have, nil
}

func (o Owner) readRoutes(ctx context.Context, family int, links *rtnl.Links, have *Config) error {
	filter := &netlink.Route{Protocol: netlink.RouteProtocol(o.Protocol), Table: unix.RT_TABLE_UNSPEC} // of any table
	list, err := rtnl.Dump(ctx, "routes", func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(family, filter, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return err
	}
	for _, r := range list {
		if !o.ownsRoute(int(r.Protocol), r.Table) {
			continue
		}
		route, err := fromKernel(r, family, links)
		if err != nil {
			return err
		}
		have.Routes = append(have.Routes, route)
	}
	return nil
}

// fromKernel is the kernel's route in our terms.
func fromKernel(r netlink.Route, family int, links *rtnl.Links) (Route, error) {
	route := Route{
		Key:  Key{Table: r.Table, Destination: prefixOf(r, family), TOS: r.Tos, Metric: r.Priority},
		Type: Type(r.Type), Source: rtnl.Addr(r.Src), MTU: r.MTU,
	}
	hops := r.MultiPath
	switch {
	case route.Type != Unicast && route.Type != Local: // no packet leaves by it, although in IPv6 the kernel says lo
		return route, nil
	case route.Type == Local && r.LinkIndex == loopback && len(r.Gw) == 0 && len(hops) == 0:
		return route, nil
	case len(hops) == 0:
		hops = []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex, Gw: r.Gw, Flags: r.Flags}}
	}
	for _, h := range hops {
		name, err := links.Name(h.LinkIndex)
		if err != nil {
			return Route{}, err
		}
		route.Hops = append(route.Hops, NextHop{
			Link: name, Gateway: rtnl.Addr(h.Gw), OnLink: h.Flags&unix.RTNH_F_ONLINK != 0, Weight: h.Hops + 1,
		})
	}
	slices.SortFunc(route.Hops, NextHop.Compare)
	return route, nil
}

// prefixOf is the destination; the netlink library may leave out that of a default route.
func prefixOf(r netlink.Route, family int) netip.Prefix {
	switch {
	case r.Dst != nil:
		return rtnl.Prefix(r.Dst)
	case family == unix.AF_INET:
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

func (o Owner) readRules(ctx context.Context, family int, have *Config) error {
	list, err := rtnl.Dump(ctx, "rules", func() ([]netlink.Rule, error) { return netlink.RuleList(family) })
	if err != nil {
		return err
	}
	for _, r := range list {
		if !o.ownsRule(int(r.Protocol), r.Priority, r.Table) {
			continue
		}
		rule := Rule{
			Priority: r.Priority, Table: r.Table, IPv6: family == unix.AF_INET6,
			From: rtnl.Prefix(r.Src), To: rtnl.Prefix(r.Dst), IIF: r.IifName, Protocol: uint8(r.IPProto),
		}
		if r.Sport != nil {
			rule.SourcePort = r.Sport.Start
		}
		if r.Dport != nil {
			rule.Port = r.Dport.Start
		}
		have.Rules = append(have.Rules, rule)
	}
	return nil
}

// ReadRouted returns the prefixes that the main table leads to by a next hop, sorted. They say where a
// CNI that routes has its pods. The default routes are not among them.
func ReadRouted(ctx context.Context) (routed []Routed, err error) {
	var links rtnl.Links
	for _, family := range rtnl.Families() {
		list, err := rtnl.Dump(ctx, "the main table's routes", func() ([]netlink.Route, error) {
			return netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			prefix, hop := prefixOf(r, family), rtnl.Addr(r.Gw)
			if !hop.IsValid() || prefix.Bits() == 0 || r.Type != unix.RTN_UNICAST {
				continue
			}
			link, err := links.Name(r.LinkIndex)
			if err != nil {
				return nil, err
			}
			routed = append(routed, Routed{Prefix: prefix, Hop: hop, Link: link})
		}
	}
	slices.SortFunc(routed, Routed.compare)
	return routed, nil
}
