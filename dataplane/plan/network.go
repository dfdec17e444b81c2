package plan

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// ErrNoNode means that this node's object, or an InternalIP in it, is not there yet.
var ErrNoNode = errors.New("this node has no InternalIP in its Node object yet")

// ConflictError means that a VIP CIDR holds addresses that are in use: serving it would take them away.
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

// NetworkInput is what the routes of a node follow from.
type NetworkInput struct {
	// Node is this node's name.
	Node string // required
	// ClusterSet of this cluster.
	ClusterSet *v1alpha1.ClusterSet // required
	// Nodes of this cluster, this one among them.
	Nodes []*corev1.Node // required
	// Gateways of this cluster.
	Gateways []*v1alpha1.GatewayNode
	// Remotes are the other members.
	Remotes []*v1alpha1.RemoteCluster
	// Routed are the prefixes that this node routes by next hops (route.Routed). Where they lie inside this cluster's CIDRs
	// and the hop is a node, that node holds pods there, as if its spec.podCIDRs had them.
	Routed map[netip.Addr][]netip.Prefix // optional
	// UnderlayMTU is the MTU of the device that has this node's InternalIP, in bytes.
	UnderlayMTU int // required
}

// Network is what a node should route.
type Network struct {
	// VIPs are the VIP CIDRs that this node can serve.
	VIPs []netip.Prefix
	// Own are the addresses of this cluster that others see as they are, Remote those of the others.
	Own, Remote []netip.Prefix
	// Transit are this node's transit addresses, at most one of a family: the source that other clusters see of its own
	// processes. None of a family until the operator has given it, nor if it could not be answered.
	Transit []netip.Addr
	// TransitCIDRs hold the transit addresses of all members, of the families that are in use between clusters.
	TransitCIDRs []netip.Prefix
	// VXLAN and Routes are what the kernel should have: the device that joins the nodes, and what leads over it and to this
	// node itself.
	VXLAN  vxlan.Config
	Routes route.Config
	// Gateway is true if this node is one; else Via is the node name of the gateway that it uses, empty if there is none.
	Gateway bool
	Via     string
}

// peer is another node, or this one, as a next hop.
type peer struct {
	name string
	// underlay addresses, the first one is the node's own choice.
	addresses []netip.Addr
}

// newPeer is the node with its InternalIPs.
func newPeer(node *corev1.Node) peer {
	p := peer{name: node.Name}
	for _, a := range node.Status.Addresses {
		if addr, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP {
			p.addresses = append(p.addresses, addr)
		}
	}
	return p
}

// address of that family; not valid if there is none.
func (p peer) address(is4 bool) netip.Addr {
	for _, a := range p.addresses {
		if a.Is4() == is4 {
			return a
		}
	}
	return netip.Addr{}
}

// nextHop for addresses of that family: the InternalIP, or in IPv6 the address that stands for the node.
func (p peer) nextHop(is4 bool) netip.Addr {
	if is4 {
		return p.address(true)
	}
	return clusterset.NodeLinkLocal(p.name)
}

// InternalIPs are the node's, the first of each family, in the node's order.
func InternalIPs(node *corev1.Node) []netip.Addr {
	p := newPeer(node)
	var firsts []netip.Addr
	for _, a := range p.addresses {
		if p.address(a.Is4()) == a {
			firsts = append(firsts, a)
		}
	}
	return firsts
}

// NewNetwork plans a node's routes. The errors are ErrNoNode and ConflictError: then nothing should be changed.
func NewNetwork(in NetworkInput) (Network, error) {
	index := slices.IndexFunc(in.Nodes, func(n *corev1.Node) bool { return n.Name == in.Node })
	if index < 0 || len(newPeer(in.Nodes[index]).addresses) == 0 {
		return Network{}, ErrNoNode
	}
	b := &builder{in: in, self: newPeer(in.Nodes[index]), node: in.Nodes[index]}
	b.n.Remote = remoteCIDRs(in.Remotes)
	b.n.Own = prefixes(in.ClusterSet.Status.CIDRs)
	if err := b.vips(); err != nil {
		return Network{}, err
	}
	b.transit()
	b.fallback()
	b.n.Gateway = isGateway(in.Gateways, b.node)
	if b.n.Gateway {
		b.toNodes()
	} else {
		b.toGateway()
	}
	b.device()
	b.sort()
	return b.n, nil
}

type builder struct {
	in   NetworkInput
	self peer
	node *corev1.Node
	// remote are the other clusters' addresses, and their transit blocks.
	remote []netip.Prefix
	// transits are the nodes' transit addresses, by node.
	transits map[string][]netip.Addr
	n        Network
}

// vips makes the VIP CIDRs local, unless they hold addresses that are in use.
func (b *builder) vips() error {
	used := map[string][]netip.Prefix{
		"the addresses of this cluster":            b.n.Own,
		"the addresses of another cluster":         b.n.Remote,
		"the pods of this cluster":                 nil,
		"the addresses of nodes of this cluster":   nil,
		"the transit addresses of the clusterset":  clusterset.TransitCIDRs(&b.in.ClusterSet.Spec),
		"the block that addresses every host here": {netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}
	for _, node := range b.in.Nodes {
		used["the pods of this cluster"] = append(used["the pods of this cluster"], b.pods(node)...)
		for _, a := range newPeer(node).addresses {
			used["the addresses of nodes of this cluster"] = append(used["the addresses of nodes of this cluster"], netip.PrefixFrom(a, a.BitLen()))
		}
	}
	for _, vip := range prefixes(b.in.ClusterSet.Spec.VIPCIDRs) {
		if err := conflict(vip, used); err != nil {
			return err
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

func conflict(vip netip.Prefix, used map[string][]netip.Prefix) error {
	var found []ConflictError
	for what, list := range used {
		for _, p := range list {
			if p.Overlaps(vip) {
				found = append(found, ConflictError{VIPs: vip, Used: p, What: what})
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return slices.MinFunc(found, func(a, b ConflictError) int { return cmp.Compare(a.Error(), b.Error()) })
}

// fallback refuses the other clusters' addresses where no other route takes them.
func (b *builder) fallback() {
	for _, p := range b.remote {
		b.route(route.TableFallback, p, route.Route{Type: route.Unreachable})
	}
	b.familyRules(route.TableFallback, route.PriorityFallback)
}

// toGateway leads the other clusters' addresses to a gateway: the one of the lowest lane that does not say that it is
// unfit.
func (b *builder) toGateway() {
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

// toNodes leads what comes from the other clusters on to the nodes that hold the pods.
func (b *builder) toNodes() {
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
			// The node itself, if it may be an endpoint: a pod in the host's network.
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

// pods are the prefixes of pods that a node holds: by its spec, and by what the CNI routes to it.
func (b *builder) pods(node *corev1.Node) []netip.Prefix {
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

// podCIDRs are the node's own, of its spec.
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

// neighbour makes the peer a next hop on the VXLAN; false if it has no address of the family of our underlay.
func (b *builder) neighbour(p peer) bool {
	underlay := p.address(b.underlay().Is4())
	if !underlay.IsValid() {
		return false
	}
	v, mac := &b.n.VXLAN, clusterset.NodeMAC(p.name)
	v.Forwards = append(v.Forwards, vxlan.Forward{Device: vxlan.Name, MAC: mac, Underlay: underlay})
	v.Neighbours = append(v.Neighbours, vxlan.Neighbour{Device: vxlan.Name, Address: p.nextHop(false), MAC: mac})
	if hop := p.nextHop(true); hop.IsValid() {
		v.Neighbours = append(v.Neighbours, vxlan.Neighbour{Device: vxlan.Name, Address: hop, MAC: mac})
	}
	return true
}

func (b *builder) underlay() netip.Addr { return b.self.addresses[0] }

// device is needed by a gateway also while it is alone: others may know of it before it knows of them.
func (b *builder) device() {
	options := b.in.ClusterSet.Spec.Dataplane
	if len(b.n.VXLAN.Forwards) == 0 && !b.n.Gateway {
		return
	}
	b.n.VXLAN.Devices = []vxlan.Device{{
		Name:  vxlan.Name,
		ID:    uint32(cmp.Or(options.VXLANID, defaultVXLAN)),
		Port:  uint16(cmp.Or(int32(options.VXLANPort), defaultVXLAN)),
		Local: b.underlay(),
		MTU:   b.in.UnderlayMTU - clusterset.VXLANOverhead(b.underlay()),
		MAC:   clusterset.NodeMAC(b.self.name),
	}}
}

// defaultVXLAN is the default of both vxlanID and vxlanPort, for a ClusterSet that was stored without.
const defaultVXLAN = 7473

// route adds a route for that destination to the table.
func (b *builder) route(table int, dst netip.Prefix, r route.Route) {
	r.Key = route.Key{Table: table, Destination: dst, Metric: cmp.Or(r.Metric, route.Metric)}
	b.n.Routes.Routes = append(b.n.Routes.Routes, r)
}

// overVXLAN is the way by the device to the node or gateway that the address stands for. The device has no addresses, so
// that the kernel must be told that the hop is on the link.
func overVXLAN(hop netip.Addr) []route.NextHop {
	return []route.NextHop{{Link: vxlan.Name, Gateway: hop, OnLink: true}}
}

// familyRules leads all packets of the families that have other clusters' addresses to a table.
func (b *builder) familyRules(table, priority int) {
	for _, is6 := range []bool{false, true} {
		if hasFamily(b.remote, !is6) {
			b.n.Routes.Rules = append(b.n.Routes.Rules, route.Rule{Table: table, Priority: priority, IPv6: is6})
		}
	}
}

func (b *builder) sort() {
	r, v := &b.n.Routes, &b.n.VXLAN
	slices.SortFunc(r.Routes, func(a, b route.Route) int { return a.Compare(b.Key) })
	r.Routes = slices.CompactFunc(r.Routes, func(a, b route.Route) bool { return a.Key == b.Key })
	slices.SortFunc(r.Rules, route.Rule.Compare)
	slices.SortFunc(v.Neighbours, vxlan.Neighbour.Compare)
	slices.SortFunc(v.Forwards, vxlan.Forward.Compare)
}

// LocalVIPs are the VIP CIDRs that the routes make local, in their order.
func LocalVIPs(routes route.Config) []netip.Prefix {
	var vips []netip.Prefix
	for _, r := range routes.Routes {
		if r.Type == route.Local && r.Metric != route.MetricTransit {
			vips = append(vips, r.Destination)
		}
	}
	return vips
}

// isGateway tells whether the node is one: because it has said so, or because the admin has.
func isGateway(gateways []*v1alpha1.GatewayNode, node *corev1.Node) bool {
	return node.Labels[v1alpha1.LabelGateway] == "true" ||
		slices.ContainsFunc(gateways, func(g *v1alpha1.GatewayNode) bool { return g.Spec.NodeName == node.Name })
}

// usableGateways are those with a lane, the fit ones first, by lane and name.
func usableGateways(all []*v1alpha1.GatewayNode) []*v1alpha1.GatewayNode {
	var usable []*v1alpha1.GatewayNode
	for _, g := range all {
		if g.Status.Lane != nil && g.DeletionTimestamp == nil {
			usable = append(usable, g)
		}
	}
	unfit := func(g *v1alpha1.GatewayNode) int {
		if meta.IsStatusConditionFalse(g.Status.Conditions, v1alpha1.ConditionReady) {
			return 1
		}
		return 0
	}
	slices.SortFunc(usable, func(a, b *v1alpha1.GatewayNode) int {
		return cmp.Or(cmp.Compare(unfit(a), unfit(b)), cmp.Compare(*a.Status.Lane, *b.Status.Lane), cmp.Compare(a.Name, b.Name))
	})
	return usable
}

// remoteCIDRs of all members, sorted. The operator gives a RemoteCluster only what may be used: one that it refuses has
// no CIDRs, or keeps those that were in use before.
func remoteCIDRs(remotes []*v1alpha1.RemoteCluster) []netip.Prefix {
	var all []v1alpha1.CIDR
	for _, r := range remotes {
		if r.DeletionTimestamp == nil {
			all = append(all, r.Spec.CIDRs...)
		}
	}
	return prefixes(all)
}

// prefixes are sorted, without duplicates and without what cannot be parsed, which the API refuses in the first place.
func prefixes(cidrs []v1alpha1.CIDR) []netip.Prefix {
	var parsed []netip.Prefix
	for _, c := range cidrs {
		if p, err := netip.ParsePrefix(string(c)); err == nil {
			parsed = append(parsed, p.Masked())
		}
	}
	slices.SortFunc(parsed, comparePrefixes)
	return slices.Compact(parsed)
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
