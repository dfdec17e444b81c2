package plan

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// ErrNoNode means that this node's object, or an InternalIP in it, is not there yet.
var ErrNoNode = errors.New("this node has no InternalIP in its Node object yet")

// NetworkInput is all that the routes of a node depend on.
type NetworkInput struct {
	// Node is this node's name.
	Node string // required
	// ClusterSet of this cluster.
	ClusterSet *v1alpha1.ClusterSet // required
	// Nodes of this cluster, this one among them.
	Nodes []*corev1.Node // required
	// Gateways of this cluster.
	Gateways []*v1alpha1.GatewayNode
	// Live are the gateways that live, as far as this node knows.
	Live clusterset.LiveGateways
	// Remotes are the other members.
	Remotes []*v1alpha1.RemoteCluster
	// Routed are the prefixes that this node routes by next hops. If a prefix lies inside this
	// cluster's CIDRs and its hop leads to a node, that node holds pods there, as if its spec.podCIDRs
	// had the prefix.
	Routed []route.Routed // optional
	// Tunnels are the neighbours and forwards of VXLAN devices that such hops are on. They lead to a
	// node by its underlay address.
	Tunnels vxlan.Config // optional
	// NoIPv6 says why this node has no IPv6, which is then left out; empty if it has.
	NoIPv6 string // optional
	// UnderlayMTU is the MTU of the device that has this node's InternalIP, in bytes.
	UnderlayMTU int // required
}

// Network is what a node should route, and whereto.
type Network struct {
	// VIPs are the VIP CIDRs that this node can serve.
	VIPs []netip.Prefix
	// Own are the addresses of this cluster that other clusters see untranslated, Remote those of
	// the other clusters.
	Own, Remote []netip.Prefix
	// Transit are this node's transit addresses, at most one of each family: the source that other
	// clusters see for its own processes. There is none until the operator has assigned it, nor if
	// answers to it could not arrive.
	Transit []netip.Addr
	// TransitCIDRs hold the transit addresses of all members, of the families that are in use
	// between clusters.
	TransitCIDRs []netip.Prefix
	// VXLAN and Routes are what the kernel should have: the device that joins the nodes, and what
	// leads over it and to this node itself.
	VXLAN  vxlan.Config
	Routes route.Config
	// Overlay says which packets belong into the VXLAN.
	Overlay Overlay
	// Open says that gateways admit all that other clusters send (ClusterSet.spec.gateway.ingress).
	Open bool
	// Gateway is true if this node is one. Tunnel are its tunnel addresses then, none while it has no
	// lane.
	Gateway bool
	Tunnel  []netip.Addr
	// Via are the names of the gateways that another node spreads its flows over, by lane. There are
	// none without other clusters.
	Via []string
	// Probes are how it asks gateways whether they live, by lane, at most one for each.
	Probes []Probe
	// Odd says what is left out of what other nodes say of themselves, sorted.
	Odd []string
	// LeftOut says why IPv6 is left out, although this cluster or another one has addresses of it.
	LeftOut string
}

// NewNetwork plans a node's routes. The errors are ErrNoNode and ConflictError: then nothing should
// be changed.
func NewNetwork(in NetworkInput) (Network, error) {
	index := slices.IndexFunc(in.Nodes, func(n *corev1.Node) bool { return n.Name == in.Node })
	if index < 0 || len(clusterset.InternalIPs(in.Nodes[index])) == 0 {
		return Network{}, ErrNoNode
	}
	b := &routing{in: in, node: in.Nodes[index]}
	b.n.Remote = remoteCIDRs(in.Remotes)
	b.n.Own = prefixes(in.ClusterSet.Status.CIDRs)
	b.n.Open = in.ClusterSet.Spec.Gateway.Ingress == v1alpha1.IngressAny
	b.nodes = newNodes(in, b.n.Own)
	b.self, b.n.Odd = b.nodes.peer(in.Node), b.nodes.odd
	if err := b.vips(); err != nil {
		return Network{}, err
	}
	b.transit()
	b.fallback()
	b.n.Gateway = isGateway(in.Gateways, b.node)
	if b.n.Gateway {
		b.toNodes()
		b.toSiblings()
	} else {
		b.toGateways()
	}
	b.device()
	b.overlay()
	b.sort()
	if in.NoIPv6 != "" {
		return b.n.withoutIPv6(in.NoIPv6), nil
	}
	return b.n, nil
}

// routing collects the plan of a node's routes.
type routing struct {
	in   NetworkInput
	self peer
	node *corev1.Node
	// nodes are all nodes of this cluster.
	nodes *nodes
	// remote are the other clusters' addresses, and their transit blocks.
	remote []netip.Prefix
	// transits are the nodes' transit addresses, by node.
	transits map[string][]netip.Addr
	n        Network
}

// fallback refuses the other clusters' addresses if no other route leads to them.
func (b *routing) fallback() {
	for _, p := range b.remote {
		b.route(route.TableFallback, p, route.Route{Type: route.Unreachable})
	}
	b.familyRules(route.TableFallback, route.PriorityFallback)
}

// route adds a route for that destination to the table.
func (b *routing) route(table int, dst netip.Prefix, r route.Route) {
	r.Key = route.Key{Table: table, Destination: dst, Metric: cmp.Or(r.Metric, route.Metric)}
	b.n.Routes.Routes = append(b.n.Routes.Routes, r)
}

// overVXLAN is the next hop over the device to the node or gateway that the address stands for, none
// if the address is not valid. No address of the device covers it, so the route must say that the
// hop is on the link.
func overVXLAN(hop netip.Addr) []route.NextHop {
	if !hop.IsValid() {
		return nil
	}
	return []route.NextHop{{Link: vxlan.Name, Gateway: hop, OnLink: true}}
}

// familyRules leads all packets of the families that have other clusters' addresses to a table.
func (b *routing) familyRules(table, priority int) {
	for _, is6 := range []bool{false, true} {
		if hasFamily(b.remote, !is6) {
			b.n.Routes.Rules = append(b.n.Routes.Rules, route.Rule{Table: table, Priority: priority, IPv6: is6})
		}
	}
}

func (b *routing) sort() {
	r, v := &b.n.Routes, &b.n.VXLAN
	slices.SortFunc(r.Routes, func(a, b route.Route) int { return a.Compare(b.Key) })
	r.Routes = slices.CompactFunc(r.Routes, func(a, b route.Route) bool { return a.Key == b.Key })
	slices.SortFunc(r.Rules, route.Rule.Compare)
	slices.SortFunc(v.Addresses, vxlan.Address.Compare)
	slices.SortFunc(v.Neighbours, vxlan.Neighbour.Compare)
	slices.SortFunc(v.Forwards, vxlan.Forward.Compare)
}

// remoteCIDRs of all members, sorted. The operator writes only what may be used into a
// RemoteCluster: one that it refuses has no CIDRs, or keeps those that were in use before.
func remoteCIDRs(remotes []*v1alpha1.RemoteCluster) []netip.Prefix {
	var all []v1alpha1.CIDR
	for _, r := range remotes {
		if r.DeletionTimestamp == nil {
			all = append(all, r.Spec.CIDRs...)
		}
	}
	return prefixes(all)
}

// prefixes are the CIDRs, sorted and without duplicates.
func prefixes(cidrs []v1alpha1.CIDR) []netip.Prefix {
	parsed := clusterset.Prefixes(cidrs)
	slices.SortFunc(parsed, netip.Prefix.Compare)
	return slices.Compact(parsed)
}
