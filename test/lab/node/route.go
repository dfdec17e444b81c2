package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"
)

// routeProtocol marks the routes to other nodes' pods; all others are not ours.
const routeProtocol = 197

// routeChange says which routes a pass has changed, sorted.
type routeChange struct{ added, removed []netip.Prefix }

func (c routeChange) empty() bool { return len(c.added)+len(c.removed) == 0 }

// syncRoutes makes the main table hold the routes of want, from destination to
// next hop, and no other of our protocol. If a device is given they go there,
// whether or not it has the next hops in its network, and routes elsewhere are not looked at.
func syncRoutes(want map[netip.Prefix]netip.Addr, device netlink.Link) (routeChange, error) {
	have, err := readRoutes(device)
	if err != nil {
		return routeChange{}, err
	}
	add, remove := diffRoutes(have, want)
	var done routeChange
	var errs []error
	for _, dst := range add {
		if err := netlink.RouteReplace(routeFor(dst, want[dst], device)); err != nil {
			errs = append(errs, fmt.Errorf("adding the route to %s via %s: %w", dst, want[dst], err))
			continue
		}
		done.added = append(done.added, dst)
	}
	for _, dst := range remove {
		err := netlink.RouteDel(routeFor(dst, have[dst], nil))
		if err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("removing the route to %s: %w", dst, err))
			continue
		}
		done.removed = append(done.removed, dst)
	}
	return done, errors.Join(errs...)
}

// readRoutes returns our routes, those of a device if one is given, from destination to next hop.
func readRoutes(device netlink.Link) (map[netip.Prefix]netip.Addr, error) {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL,
		&netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	have := map[netip.Prefix]netip.Addr{}
	for _, r := range routes {
		if r.Dst == nil || device != nil && r.LinkIndex != device.Attrs().Index {
			continue
		}
		addr, _ := netip.AddrFromSlice(r.Dst.IP)
		ones, _ := r.Dst.Mask.Size()
		via, _ := netip.AddrFromSlice(r.Gw)
		have[netip.PrefixFrom(addr.Unmap(), ones)] = via.Unmap()
	}
	return have, nil
}

// diffRoutes returns the destinations whose routes are to be written and to be
// removed to get from have to want, sorted.
func diffRoutes(have, want map[netip.Prefix]netip.Addr) (add, remove []netip.Prefix) {
	for dst, via := range want {
		if have[dst] != via {
			add = append(add, dst)
		}
	}
	for dst := range have {
		if _, ok := want[dst]; !ok {
			remove = append(remove, dst)
		}
	}
	slices.SortFunc(add, comparePrefix)
	slices.SortFunc(remove, comparePrefix)
	return add, remove
}

func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

func routeFor(dst netip.Prefix, via netip.Addr, device netlink.Link) *netlink.Route {
	r := &netlink.Route{Dst: ipNet(dst), Gw: via.AsSlice(), Protocol: routeProtocol}
	if device != nil {
		r.LinkIndex, r.Flags = device.Attrs().Index, int(netlink.FLAG_ONLINK)
	}
	return r
}

// masqueradeTable is the nftables table of the masquerade rules.
const masqueradeTable = "lab-masquerade"

// masquerade has everything that leaves the cluster leave with the node's own
// address, which is what the cni takes for it.
func masquerade(ctx context.Context, cni string, podCIDRs []netip.Prefix) error {
	nft, err := knftables.New(knftables.InetFamily, masqueradeTable)
	if err != nil {
		return fmt.Errorf("preparing nftables: %w", err)
	}
	tx := nft.NewTransaction()
	tx.Add(&knftables.Table{})
	tx.Flush(&knftables.Table{})
	tx.Add(&knftables.Chain{
		Name:     "postrouting",
		Type:     knftables.PtrTo(knftables.NATType),
		Hook:     knftables.PtrTo(knftables.PostroutingHook),
		Priority: knftables.PtrTo(knftables.SNATPriority),
	})
	for _, family := range []knftables.Family{knftables.IPv4Family, knftables.IPv6Family} {
		if rule := masqueradeRule(cni, family, podCIDRs); rule != "" {
			tx.Add(&knftables.Rule{Chain: "postrouting", Rule: rule})
		}
	}
	if err := nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("writing the masquerade rules: %w", err)
	}
	return nil
}

// masqueradeRule returns the rule for one family, "" if no pod has it.
func masqueradeRule(cni string, family knftables.Family, podCIDRs []netip.Prefix) string {
	var cidrs []string
	for _, p := range podCIDRs {
		if p.Addr().Is4() == (family == knftables.IPv4Family) {
			cidrs = append(cidrs, p.Masked().String())
		}
	}
	if len(cidrs) == 0 {
		return ""
	}
	outside := knftables.Concat(string(family), "daddr != {", strings.Join(cidrs, ", "), "}")
	if cni == CNIKindnet {
		// The node's own packets as well, and whichever device they leave by.
		return knftables.Concat(outside, "fib daddr type != local", "masquerade")
	}
	return knftables.Concat("oifname", uplink, outside, "fib saddr type != local", "masquerade")
}
