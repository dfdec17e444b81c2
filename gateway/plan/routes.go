package plan

import (
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// Routes is the second half of a plan: the routes to the clusters over their links, as these are
// now, and the rules that lead to the routes.
func Routes(t Tunnels, view View) route.Config {
	var config route.Config
	for _, c := range t.Clusters {
		config.Routes = append(config.Routes, clusterRoutes(c, t.TunnelAddresses, view)...)
	}
	config.Rules = append(tableRules(config.Routes), bypasses(config.Routes, t.Links)...)
	slices.SortFunc(config.Routes, func(x, y route.Route) int { return x.Compare(y.Key) })
	slices.SortFunc(config.Rules, route.Rule.Compare)
	return config
}

// clusterRoutes lead the cluster's prefixes over the links that are up, those to gateways that drain
// only if there is no other. If no link is up, they lead over all links: probes may be lost where packets are not, as on a gateway that is short of CPU.
// To withdraw the last way would turn a slow moment into an outage. Without any link the prefixes
// are refused: what is for a remote cluster never leaves by another way, in clear. The remote
// gateways' own addresses are routed over their own links only, up or not, for the probes.
func clusterRoutes(c Cluster, own []netip.Addr, view View) []route.Route {
	devices := devicesOf(linksToUse(c.Links, view))
	var routes []route.Route
	for _, p := range c.Prefixes {
		routes = append(routes, route.Route{
			Key:  route.Key{Table: route.TableTunnels, Destination: p, Metric: route.MetricUnreachable},
			Type: route.Unreachable,
		})
		if len(devices) > 0 {
			routes = append(routes, over(p, own, devices...))
		}
	}
	for _, l := range c.Links {
		for _, block := range c.Blocks {
			addr := clusterset.TunnelAddress(block, l.Lane)
			routes = append(routes, over(netip.PrefixFrom(addr, addr.BitLen()), own, l.Device))
		}
	}
	return routes
}

// linksToUse are the links of a cluster that carry its packets: the first choice that is not empty.
func linksToUse(all []Link, view View) []Link {
	for _, fits := range [...]func(LinkView) bool{
		func(l LinkView) bool { return l.Up && !l.Draining },
		func(l LinkView) bool { return l.Up },
	} {
		chosen := slices.DeleteFunc(slices.Clone(all), func(l Link) bool { return !fits(view.Links[l.LinkID]) })
		if len(chosen) > 0 {
			return chosen
		}
	}
	return all
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

// over is the route to dst over the devices. Its source is our tunnel address of the same family.
func over(dst netip.Prefix, own []netip.Addr, devices ...string) route.Route {
	return route.Route{
		Key:    route.Key{Table: route.TableTunnels, Destination: dst, Metric: route.MetricUnicast},
		Type:   route.Unicast,
		Hops:   nextHops(dst, devices),
		Source: clusterset.OfFamily(own, dst.Addr().Is4()),
	}
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

// tableRules lead to the table of the routes, in each family that has a route.
func tableRules(routes []route.Route) []route.Rule {
	var rules []route.Rule
	for _, is6 := range []bool{false, true} {
		if slices.ContainsFunc(routes, func(r route.Route) bool { return r.Destination.Addr().Is6() == is6 }) {
			rules = append(rules, route.Rule{Priority: route.TableTunnels, Table: route.TableTunnels, IPv6: is6})
		}
	}
	return rules
}

// bypasses let the tunnels' own packets go by the main table, where a remote cluster's CIDRs hold
// the addresses of gateways: those of its nodes may be among them.
func bypasses(routes []route.Route, links []Link) []route.Rule {
	var rules []route.Rule
	for _, l := range links {
		covered := slices.ContainsFunc(routes, func(r route.Route) bool { return r.Destination.Contains(l.Endpoint.Addr()) })
		if rule := bypass(l.Endpoint); covered && !slices.Contains(rules, rule) {
			rules = append(rules, rule)
		}
	}
	return rules
}

// bypass is the rule for what is sent to the end of a tunnel. It also holds for the reverse look-up
// of what comes from there, for which the kernel swaps addresses and ports (__fib_validate_source
// in net/ipv4/fib_frontend.c).
func bypass(endpoint netip.AddrPort) route.Rule {
	addr := endpoint.Addr()
	return route.Rule{
		Priority: route.PriorityBypass, Table: route.TableMain, IPv6: addr.Is6(), To: netip.PrefixFrom(addr, addr.BitLen()),
		Protocol: protocolUDP, Port: endpoint.Port(),
	}
}

// protocolUDP is UDP's number among IP protocols.
const protocolUDP = 17
