package plan

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// toGateways leads the other clusters' addresses to this cluster's gateways: the flows spread over
// all those that should get any. A gateway that should not is a neighbour all the same, since it is
// probed.
func (b *routing) toGateways() {
	if len(b.remote) == 0 {
		return
	}
	peers := map[string]peer{}
	var gateways []*v1alpha1.GatewayNode
	var via []peer
	for _, g := range withLane(b.in.Gateways) {
		p := gatewayPeer(g)
		if b.neighbour(p) {
			peers[g.Name], gateways = p, append(gateways, g)
			b.probe(g, p)
		}
	}
	for _, g := range clusterset.GatewaysToUse(gateways, b.in.Live) {
		b.n.Via = append(b.n.Via, g.Name)
		via = append(via, peers[g.Name])
	}
	b.spread(via)
	if len(via) > 0 {
		b.familyRules(route.TableRemote, route.TableRemote)
	}
}

// toSiblings leads a gateway's own packets to the other gateways while it has no tunnels, as a node
// that has just become a gateway, or has just booted. Its tunnels' routes come first.
func (b *routing) toSiblings() {
	var siblings []*v1alpha1.GatewayNode
	for _, g := range withLane(b.in.Gateways) {
		if g.Spec.NodeName != b.in.Node && b.isNeighbour(gatewayPeer(g)) {
			siblings = append(siblings, g)
		}
	}
	if len(siblings) == 0 || len(b.remote) == 0 {
		return
	}
	var via []peer
	for _, g := range clusterset.GatewaysToUse(siblings, b.in.Live) {
		via = append(via, gatewayPeer(g))
	}
	b.spread(via)
	first := len(b.n.Routes.Rules)
	b.familyRules(route.TableFallback, route.PriorityTransit)
	for i := range b.n.Routes.Rules[first:] {
		b.n.Routes.Rules[first+i].IIF = vxlan.Name
	}
	b.familyRules(route.TableRemote, route.PrioritySpare)
}

// spread leads the other clusters' addresses to the peers, with equal shares.
func (b *routing) spread(via []peer) {
	for _, p := range b.remote {
		var hops []route.NextHop
		for _, peer := range via {
			hops = append(hops, overVXLAN(peer.nextHop(p.Addr().Is4()))...)
		}
		if len(hops) > 0 {
			slices.SortFunc(hops, route.NextHop.Compare)
			b.route(route.TableRemote, p, route.Route{Type: route.Unicast, Hops: slices.Compact(hops),
				MTU: b.in.UnderlayMTU - clusterset.TunnelOverhead})
		}
	}
}

// toNodes leads what comes from other clusters to the nodes that hold the pods.
func (b *routing) toNodes() {
	if len(b.remote) == 0 {
		return
	}
	b.ownBlocks()
	for _, node := range b.in.Nodes {
		other := b.nodes.peer(node.Name)
		if node.Name == b.in.Node || !b.neighbour(other) {
			continue
		}
		held := slices.Clone(b.nodes.pods[node.Name])
		for _, a := range other.addresses {
			// The node itself may be an endpoint: a pod in the host's network.
			if clusterset.Contains(b.n.Own, a) {
				held = append(held, netip.PrefixFrom(a, a.BitLen()))
			}
		}
		for _, a := range slices.Concat(b.transits[node.Name], b.probing(node)) {
			held = append(held, netip.PrefixFrom(a, a.BitLen()))
		}
		for _, p := range held {
			if hops := overVXLAN(other.nextHop(p.Addr().Is4())); len(hops) > 0 {
				b.route(route.TableNodes, p, route.Route{Type: route.Unicast, Hops: hops})
			}
		}
	}
	b.answers()
	for _, p := range b.remote {
		b.n.Routes.Rules = append(b.n.Routes.Rules,
			route.Rule{Table: route.TableNodes, Priority: route.TableNodes, IPv6: p.Addr().Is6(), From: p})
	}
}

// podCIDRs are those of the node's spec.
func podCIDRs(node *corev1.Node) []netip.Prefix {
	var parsed []netip.Prefix
	for _, cidr := range node.Spec.PodCIDRs {
		if p, err := netip.ParsePrefix(cidr); err == nil {
			parsed = append(parsed, p.Masked())
		}
	}
	return parsed
}

// within tells whether one of the blocks holds all of the prefix.
func within(p netip.Prefix, blocks []netip.Prefix) bool {
	return slices.ContainsFunc(blocks, func(b netip.Prefix) bool { return b.Bits() <= p.Bits() && b.Contains(p.Addr()) })
}

// isGateway tells whether the node is a gateway: its GatewayNode or its label says so.
func isGateway(gateways []*v1alpha1.GatewayNode, node *corev1.Node) bool {
	return node.Labels[v1alpha1.LabelGateway] == "true" ||
		slices.ContainsFunc(gateways, func(g *v1alpha1.GatewayNode) bool { return g.Spec.NodeName == node.Name })
}
