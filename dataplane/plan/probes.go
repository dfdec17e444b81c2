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

// ProbePort is the TCP port on which gateways refuse every connection, so that other nodes see that
// they live. Nothing listens there. It is the number of the gateways' own probes, which are UDP.
const ProbePort = 7472

// Probe is how a node asks a gateway whether it lives: from Source to ProbePort of Target, which is
// the gateway's tunnel address. A route leads to it over the VXLAN and by no other way.
type Probe struct {
	// Gateway is the name of the GatewayNode.
	Gateway string
	// Source is this node's transit address, or its InternalIP if it has none.
	Source, Target netip.Addr
}

// probe plans how the gateway is asked whether it lives: by IPv4, or by IPv6 where the clusters have
// no IPv4. A gateway is not probed while this cluster's index is unknown, nor if this node has no
// address of the family.
func (b *routing) probe(g *v1alpha1.GatewayNode, via peer) {
	for _, target := range b.tunnelAddresses(g) {
		source := clusterset.OfFamily(slices.Concat(b.n.Transit, b.self.addresses), target.Is4())
		hops := overVXLAN(via.nextHop(target.Is4()))
		if !hasFamily(b.remote, target.Is4()) || !source.IsValid() || len(hops) == 0 {
			continue
		}
		b.n.Probes = append(b.n.Probes, Probe{Gateway: g.Name, Source: source, Target: target})
		b.route(route.TableRemote, netip.PrefixFrom(target, target.BitLen()), route.Route{Type: route.Unicast, Hops: hops})
		return
	}
}

// tunnelAddresses are those of the gateway's lane, IPv4 first; none while this cluster's index is
// unknown.
func (b *routing) tunnelAddresses(g *v1alpha1.GatewayNode) []netip.Addr {
	var addresses []netip.Addr
	for _, block := range clusterset.TransitBlocks(&b.in.ClusterSet.Spec, b.in.ClusterSet.Status.Index) {
		addresses = append(addresses, clusterset.TunnelAddress(block, *g.Status.Lane))
	}
	return addresses
}

// probing are the addresses from which the node probes this gateway while it has no transit address:
// answers must go back over the VXLAN.
func (b *routing) probing(node *corev1.Node) []netip.Addr {
	var sources []netip.Addr
	for _, block := range b.blocks() {
		is4 := block.Addr().Is4()
		a := b.nodes.peer(node.Name).address(is4)
		if a.IsValid() && !clusterset.OfFamily(b.transits[node.Name], is4).IsValid() && !isGateway(b.in.Gateways, node) {
			sources = append(sources, a)
		}
	}
	return sources
}

// answers makes this gateway's answers to probes go back over the VXLAN, and all else that is for a
// transit address of this cluster. The device gets the tunnel address: without an IPv4 address it
// would be strict about what comes in, whatever its rp_filter. Answers to what a sibling gateway
// hands on leave by a tunnel.
func (b *routing) answers() {
	rule := func(from, to netip.Prefix) {
		b.n.Routes.Rules = append(b.n.Routes.Rules, route.Rule{Table: route.TableNodes, Priority: route.TableNodes,
			IPv6: to.Addr().Is6() || from.Addr().Is6(), From: from, To: to})
	}
	for _, block := range b.blocks() {
		rule(netip.Prefix{}, block)
	}
	for _, g := range withLane(b.in.Gateways) {
		if g.Spec.NodeName != b.in.Node {
			continue
		}
		b.n.Tunnel = b.tunnelAddresses(g)
		for _, a := range b.n.Tunnel {
			if a.Is4() {
				b.n.VXLAN.Addresses = append(b.n.VXLAN.Addresses, vxlan.Address{Device: vxlan.Name, Address: a})
			}
			if hasFamily(b.remote, a.Is4()) {
				rule(netip.PrefixFrom(a, a.BitLen()), netip.Prefix{})
			}
		}
		return
	}
}

// withLane are the gateways that have a lane, by lane and name.
func withLane(all []*v1alpha1.GatewayNode) []*v1alpha1.GatewayNode {
	return clusterset.GatewaysToUse(all, nil)
}
