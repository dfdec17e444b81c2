package plan

import (
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// Routes is the second half of a plan: the routes to the clusters over their links, as these are
// now, and the rules that lead to the routes.
func Routes(t Tunnels, view View) route.Config {
	r := routing{tunnels: t, view: view}
	for _, c := range t.Clusters {
		r.toCluster(c)
	}
	r.toSiblings()
	config := route.Config{Routes: r.routes, Rules: append(tableRules(r.routes), bypasses(r.routes, t)...)}
	slices.SortFunc(config.Routes, func(x, y route.Route) int { return x.Compare(y.Key) })
	slices.SortFunc(config.Rules, route.Rule.Compare)
	return config
}

// Reached are the indexes of the clusters to which this gateway has a link that is up, sorted: its
// siblings may hand packets for them over to it.
func Reached(t Tunnels, view View) []int32 {
	var indexes []int32
	for _, c := range t.Clusters {
		if slices.ContainsFunc(c.Links, func(l Link) bool { return view.Links[l.LinkID].Up }) {
			indexes = append(indexes, c.Index)
		}
	}
	slices.Sort(indexes)
	return indexes
}

// routing collects routes.
type routing struct {
	tunnels Tunnels
	view    View
	routes  []route.Route
}

// toCluster leads the cluster's prefixes over links, or else over siblings, or yields to the
// dataplane's routes over siblings. What a sibling has handed over goes over links, or nowhere. The
// prefixes are refused where no way leads there: what
// is for a remote cluster never leaves by another way, in clear. The remote gateways' own addresses
// are routed over their own links only, up or not, for the probes.
func (r *routing) toCluster(c Cluster) {
	links, up := linksToUse(c.Links, r.view)
	devices := devicesOf(links)
	var siblings []Sibling
	if !up {
		siblings = r.siblingsTo(c.ID)
	}
	yields := r.leaves(c) || !up && len(siblings) == 0 && r.knowsNothingOf(c)
	for _, p := range c.Prefixes {
		if !yields {
			r.intoTunnels(p, siblings, devices)
		}
		if len(r.tunnels.Siblings) == 0 {
			continue
		}
		r.refuse(route.TableHandover, p)
		if len(devices) > 0 {
			r.overLinks(route.TableHandover, p, devices...)
		}
	}
	for _, l := range c.Links {
		for _, block := range c.Blocks {
			addr := clusterset.TunnelAddress(block, l.Lane)
			r.overLinks(route.TableTunnels, netip.PrefixFrom(addr, addr.BitLen()), l.Device)
		}
	}
}

// intoTunnels leads to the prefix over the siblings, or else over the devices.
func (r *routing) intoTunnels(p netip.Prefix, siblings []Sibling, devices []string) {
	r.refuse(route.TableTunnels, p)
	switch {
	case len(siblings) > 0:
		r.overSiblings(p, siblings)
	case len(devices) > 0:
		r.overLinks(route.TableTunnels, p, devices...)
	}
}

// knowsNothingOf reports whether there are siblings, and no link to the cluster has ever been seen
// to work or to fail. Then the dataplane's routes over siblings stay in force: the tunnels of a
// gateway that has just started carry nothing yet.
func (r *routing) knowsNothingOf(c Cluster) bool {
	return len(r.tunnels.Siblings) > 0 && !slices.ContainsFunc(c.Links, func(l Link) bool { return !r.view.Links[l.LinkID].New })
}

// leaves reports whether the node's own packets to the cluster go by the dataplane's routes over
// siblings, because the node is no gateway any more. So they no longer use the tunnels when the other
// clusters remove their ends. What others still hand over goes by the tunnels.
func (r *routing) leaves(c Cluster) bool {
	return r.view.Leaving && slices.ContainsFunc(r.tunnels.Siblings, func(s Sibling) bool {
		v := r.view.Siblings[s.Name]
		return v.Up && v.Reaches[c.ID] && !v.Draining
	})
}

// toSiblings leads to the siblings' tunnel addresses, for the probes.
func (r *routing) toSiblings() {
	for _, s := range r.tunnels.Siblings {
		addr := s.NextHops[0]
		r.overSiblings(netip.PrefixFrom(addr, addr.BitLen()), []Sibling{s})
	}
}

// siblingsTo are those that reach the cluster: first choice are those that do not drain.
func (r *routing) siblingsTo(cluster v1alpha1.ClusterID) []Sibling {
	for _, draining := range []bool{false, true} {
		chosen := slices.DeleteFunc(slices.Clone(r.tunnels.Siblings), func(s Sibling) bool {
			v := r.view.Siblings[s.Name]
			return !v.Up || !v.Reaches[cluster] || v.Draining != draining
		})
		if len(chosen) > 0 {
			return chosen
		}
	}
	return nil
}

func (r *routing) refuse(table int, dst netip.Prefix) {
	r.routes = append(r.routes, route.Route{
		Key:  route.Key{Table: table, Destination: dst, Metric: route.MetricUnreachable},
		Type: route.Unreachable,
	})
}

// overLinks adds the route over the devices.
func (r *routing) overLinks(table int, dst netip.Prefix, devices ...string) {
	r.over(table, dst, nextHops(dst, devices), 0)
}

// overSiblings adds the route over the hand-over device. Its MTU is that of the tunnels that the
// siblings send by.
func (r *routing) overSiblings(dst netip.Prefix, siblings []Sibling) {
	var hops []route.NextHop
	for _, s := range siblings {
		if hop := clusterset.OfFamily(s.NextHops, dst.Addr().Is4()); hop.IsValid() {
			hops = append(hops, route.NextHop{Link: vxlan.HandoverName, Gateway: hop, OnLink: true})
		}
	}
	slices.SortFunc(hops, route.NextHop.Compare)
	if len(hops) > 0 {
		r.over(route.TableTunnels, dst, hops, r.tunnels.MTU)
	}
}

// over adds the route to dst over the hops. Its source is our tunnel address of the same family.
func (r *routing) over(table int, dst netip.Prefix, hops []route.NextHop, mtu int) {
	r.routes = append(r.routes, route.Route{
		Key:  route.Key{Table: table, Destination: dst, Metric: route.MetricUnicast},
		Type: route.Unicast, Hops: hops, MTU: mtu, Source: clusterset.OfFamily(r.tunnels.TunnelAddresses, dst.Addr().Is4()),
	})
}

// linksToUse are the links of a cluster that carry its packets: those that are up, to gateways that
// drain only if there is no other. If none is up, they are all links, and up is false: probes may be
// lost where packets are not, as on a gateway that is short of CPU. To withdraw the last way would
// turn a slow moment into an outage.
func linksToUse(all []Link, view View) (links []Link, up bool) {
	for _, fits := range [...]func(LinkView) bool{
		func(l LinkView) bool { return l.Up && !l.Draining },
		func(l LinkView) bool { return l.Up },
	} {
		chosen := slices.DeleteFunc(slices.Clone(all), func(l Link) bool { return !fits(view.Links[l.LinkID]) })
		if len(chosen) > 0 {
			return chosen, true
		}
	}
	return all, false
}

// devicesOf are the devices of the links, sorted.
func devicesOf(links []Link) []string {
	devices := make([]string, 0, len(links))
	for _, l := range links {
		devices = append(devices, l.Device)
	}
	slices.Sort(devices)
	return devices
}

// nextHops share the flows among the devices. On IPv6 the kernel does that only among next hops
// that have a gateway (ip6_route_multipath_add in net/ipv6/route.c). So they get a link-local one
// that no host has: WireGuard goes by the packet's destination. On IPv4 there is no gateway.
func nextHops(dst netip.Prefix, devices []string) []route.NextHop {
	hops := route.Over(devices...)
	for i := range hops {
		if dst.Addr().Is6() {
			hops[i].Gateway = netip.MustParseAddr("fe80::1")
		}
	}
	return hops
}

// tableRules lead to the tables of the routes, in each family that has a route.
func tableRules(routes []route.Route) []route.Rule {
	var rules []route.Rule
	for _, is6 := range []bool{false, true} {
		for _, rule := range []route.Rule{
			{Priority: route.TableTunnels, Table: route.TableTunnels, IPv6: is6},
			{Priority: route.PriorityHandover, Table: route.TableHandover, IPv6: is6, IIF: vxlan.HandoverName},
		} {
			if slices.ContainsFunc(routes, func(r route.Route) bool { return r.Table == rule.Table && r.Destination.Addr().Is6() == is6 }) {
				rules = append(rules, rule)
			}
		}
	}
	return rules
}

// bypasses let the tunnels' own packets go by the main table, where a remote cluster's CIDRs hold
// the addresses of gateways: those of its nodes may be among them.
func bypasses(routes []route.Route, t Tunnels) []route.Rule {
	var rules []route.Rule
	for _, is6 := range []bool{false, true} {
		covered := slices.ContainsFunc(t.Links, func(l Link) bool {
			return slices.ContainsFunc(l.Endpoints, func(e netip.AddrPort) bool {
				return e.Addr().Is6() == is6 && slices.ContainsFunc(routes, func(r route.Route) bool { return r.Destination.Contains(e.Addr()) })
			})
		})
		if !covered {
			continue
		}
		for _, d := range t.WireGuard.Devices {
			rules = append(rules, bypass(uint16(d.ListenPort), is6))
		}
		if !is6 {
			rules = append(rules, dissection())
		}
	}
	return rules
}

// dissection is a rule that no packet matches. The kernel looks for the ports of packets that come in
// only if there is a rule about protocols that is for packets of other devices than the loopback
// (fib_rule_requires_fldissect in include/net/fib_rules.h).
func dissection() route.Rule {
	return route.Rule{Priority: route.PriorityBypass, Table: route.TableMain, Protocol: protocolUDP, To: netip.PrefixFrom(vxlan.Anchor(), 32)}
}

// bypass is the rule for what this node itself sends from the UDP port of a device, which no other
// program can use beside it. A packet of a pod does not match, whatever its ports. The rule also
// holds for the reverse look-up of what comes to the port, for which the kernel swaps addresses and
// ports, and takes the device for the loopback (__fib_validate_source in net/ipv4/fib_frontend.c).
// A mark on the sockets would not hold there. IPv6 has no such look-up.
func bypass(port uint16, is6 bool) route.Rule {
	return route.Rule{
		Priority: route.PriorityBypass, Table: route.TableMain, IPv6: is6, IIF: route.Loopback, Protocol: protocolUDP, SourcePort: port,
	}
}

// protocolUDP is UDP's number among IP protocols.
const protocolUDP = 17
