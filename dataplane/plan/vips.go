package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// ConflictError means that a VIP CIDR holds addresses that are in use: serving it would make them
// unreachable.
type ConflictError struct {
	// VIPs is the VIP CIDR.
	VIPs netip.Prefix
	// Used is the prefix that it overlaps, and What says whose it is.
	Used netip.Prefix
	What string
}

// Error names both CIDRs and the remedy.
func (e ConflictError) Error() string {
	return fmt.Sprintf("the VIP CIDR %s overlaps %s, %s: set another block in vipCIDRs of the ClusterSet", e.VIPs, e.Used, e.What)
}

// vips makes the VIP CIDRs local, unless they hold addresses that are in use.
func (b *routing) vips() error {
	inUse := b.inUse()
	for _, vip := range clusterset.VIPBlocks(b.in.ClusterSet) {
		if o, overlaps := clusterset.FirstOverlap([]netip.Prefix{vip}, inUse); overlaps {
			return ConflictError{VIPs: vip, Used: o.Block.Prefix, What: o.Block.Owner}
		}
		source := b.self.address(vip.Addr().Is4())
		if !source.IsValid() {
			continue // a node without addresses of that family has no clients of it either
		}
		b.n.VIPs = append(b.n.VIPs, vip)
		b.route(route.TableLocal, vip, route.Route{Type: route.Local, Source: source})
	}
	return nil
}

// inUse are the blocks that no VIP CIDR may overlap, in an order that does not depend on that of
// nodes.
func (b *routing) inUse() []clusterset.Block {
	var pods, nodes []netip.Prefix
	for _, node := range b.in.Nodes {
		pods = append(pods, b.nodes.pods[node.Name]...)
		for _, a := range b.nodes.addresses[node.Name] {
			nodes = append(nodes, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	all := slices.Concat(
		clusterset.BlocksOf(b.n.Own, "the addresses of this cluster"),
		clusterset.BlocksOf(b.n.Remote, "the addresses of another cluster"),
		clusterset.BlocksOf(pods, "the pods of this cluster"),
		clusterset.BlocksOf(nodes, "the addresses of nodes of this cluster"),
		clusterset.BlocksOf(clusterset.TransitCIDRs(&b.in.ClusterSet.Spec), "the transit addresses of the clusterset"),
		clusterset.BlocksOf(loopback, "the block that addresses every host here"),
	)
	slices.SortFunc(all, func(x, y clusterset.Block) int {
		return cmp.Or(x.Prefix.Compare(y.Prefix), cmp.Compare(x.Owner, y.Owner))
	})
	return all
}

// LocalVIPs are the VIP CIDRs that the routes make local, in their order.
func LocalVIPs(routes route.Config) []netip.Prefix {
	var vips []netip.Prefix
	for _, r := range routes.Routes {
		if LeadsToVIPs(r) {
			vips = append(vips, r.Destination)
		}
	}
	return vips
}

// LeadsToVIPs tells whether a route of the dataplane makes a VIP CIDR local.
func LeadsToVIPs(r route.Route) bool { return r.Type == route.Local && r.Metric != route.MetricTransit }
