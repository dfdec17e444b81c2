package plan

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// toGateway leads the other clusters' addresses to a gateway: the one with the lowest lane among
// those that are not unready.
func (b *routing) toGateway() {
	gateways := usableGateways(b.in.Gateways)
	if len(gateways) == 0 || len(b.remote) == 0 {
		return
	}
	// Failover and the sharing of flows among gateways will choose here.
	g := gateways[0]
	via := peer{name: g.Spec.NodeName}
	for _, a := range g.Spec.UnderlayAddresses {
		if addr, err := netip.ParseAddr(string(a)); err == nil {
			via.addresses = append(via.addresses, addr)
		}
	}
	if !b.neighbour(via) {
		return
	}
	b.n.Via = via.name
	for _, p := range b.remote {
		if hop := via.nextHop(p.Addr().Is4()); hop.IsValid() {
			b.route(route.TableRemote, p, route.Route{Type: route.Unicast, Hops: overVXLAN(hop),
				MTU: b.in.UnderlayMTU - clusterset.TunnelOverhead})
		}
	}
	b.familyRules(route.TableRemote, route.TableRemote)
}

// toNodes leads what comes from other clusters to the nodes that hold the pods.
func (b *routing) toNodes() {
	if len(b.remote) == 0 {
		return
	}
	b.ownBlocks()
	for _, node := range b.in.Nodes {
		other := newPeer(node)
		if node.Name == b.in.Node || !b.neighbour(other) {
			continue
		}
		held := b.pods(node)
		for _, a := range other.addresses {
			// The node itself may be an endpoint: a pod in the host's network.
			if clusterset.Contains(b.n.Own, a) {
				held = append(held, netip.PrefixFrom(a, a.BitLen()))
			}
		}
		for _, a := range b.transits[node.Name] {
			held = append(held, netip.PrefixFrom(a, a.BitLen()))
		}
		for _, p := range held {
			if hop := other.nextHop(p.Addr().Is4()); hop.IsValid() {
				b.route(route.TableNodes, p, route.Route{Type: route.Unicast, Hops: overVXLAN(hop)})
			}
		}
	}
	for _, p := range b.remote {
		b.n.Routes.Rules = append(b.n.Routes.Rules,
			route.Rule{Table: route.TableNodes, Priority: route.TableNodes, IPv6: p.Addr().Is6(), From: p})
	}
}

// pods are the prefixes of pods that a node holds, by its spec and by what the CNI routes to it.
func (b *routing) pods(node *corev1.Node) []netip.Prefix {
	held := slices.Clone(podCIDRs(node))
	for _, hop := range newPeer(node).addresses {
		for _, p := range b.in.Routed[hop] {
			if within(p, b.n.Own) && !within(p, held) {
				held = append(held, p)
			}
		}
	}
	return held
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

// usableGateways are those with a lane: first those that are not unready, then by lane and name.
func usableGateways(all []*v1alpha1.GatewayNode) []*v1alpha1.GatewayNode {
	var usable []*v1alpha1.GatewayNode
	for _, g := range all {
		if g.Status.Lane != nil && g.DeletionTimestamp == nil {
			usable = append(usable, g)
		}
	}
	unready := func(g *v1alpha1.GatewayNode) int {
		if meta.IsStatusConditionFalse(g.Status.Conditions, v1alpha1.ConditionReady) {
			return 1
		}
		return 0
	}
	slices.SortFunc(usable, func(a, b *v1alpha1.GatewayNode) int {
		return cmp.Or(cmp.Compare(unready(a), unready(b)), cmp.Compare(*a.Status.Lane, *b.Status.Lane), cmp.Compare(a.Name, b.Name))
	})
	return usable
}
