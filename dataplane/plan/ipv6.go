package plan

import (
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// withoutIPv6 is the network without what a node that has no IPv6 cannot have.
func (n Network) withoutIPv6(why string) Network {
	prefix := func(p netip.Prefix) bool { return p.Addr().Is6() }
	if slices.ContainsFunc(slices.Concat(n.VIPs, n.Own, n.Remote), prefix) {
		n.LeftOut = "IPv6 is left out: " + why
	}
	o := &n.Overlay
	for _, prefixes := range []*[]netip.Prefix{&n.VIPs, &n.Own, &n.Remote, &n.TransitCIDRs, &o.Near, &o.Far, &o.Tunnels} {
		*prefixes = slices.DeleteFunc(slices.Clone(*prefixes), prefix)
	}
	n.Transit = slices.DeleteFunc(slices.Clone(n.Transit), netip.Addr.Is6)
	o.Nodes, o.Self = slices.DeleteFunc(o.Nodes, netip.Addr.Is6), slices.DeleteFunc(o.Self, netip.Addr.Is6)
	n.Tunnel = slices.DeleteFunc(n.Tunnel, netip.Addr.Is6)
	n.Probes = slices.DeleteFunc(n.Probes, func(p Probe) bool { return p.Target.Is6() })
	n.Routes.Routes = slices.DeleteFunc(n.Routes.Routes, func(r route.Route) bool { return r.Destination.Addr().Is6() })
	n.Routes.Rules = slices.DeleteFunc(n.Routes.Rules, func(r route.Rule) bool { return r.IPv6 })
	n.VXLAN.Neighbours = slices.DeleteFunc(n.VXLAN.Neighbours, func(n vxlan.Neighbour) bool { return n.Address.Is6() })
	return n
}
