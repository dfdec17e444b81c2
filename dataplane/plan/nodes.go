package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// nodes are the nodes of this cluster, with what counts of what they say of themselves: a kubelet
// may write any address into its own Node. What contradicts other nodes, or the VIP CIDRs, is left
// out, and nothing else changes by it. This node itself is believed.
type nodes struct {
	// self is this node's name.
	self string
	// own are this cluster's CIDRs.
	own, vips []netip.Prefix
	// addresses are the nodes' InternalIPs, the first of each family, and holders the nodes by them.
	addresses map[string][]netip.Addr
	holders   map[netip.Addr]string
	// pods are the blocks of pods that the nodes hold.
	pods map[string][]netip.Prefix
	// blocks are those of pods inside this cluster's CIDRs, with the nodes that hold them, and lengths
	// the lengths of prefix among them.
	blocks  map[netip.Prefix]string
	lengths []int
	// odd says what was left out, and why.
	odd []string
}

// bySeniority sorts nodes, the oldest first, then by name.
func bySeniority(nodes []*corev1.Node) []*corev1.Node {
	return slices.SortedFunc(slices.Values(nodes), func(a, b *corev1.Node) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
}

// newNodes looks at all nodes, the oldest first: if two claim one address or block, it stays with
// the older node, then with the one whose name sorts first.
func newNodes(in NetworkInput, own []netip.Prefix) *nodes {
	n := &nodes{self: in.Node, own: own, vips: clusterset.VIPBlocks(in.ClusterSet), addresses: map[string][]netip.Addr{},
		holders: map[netip.Addr]string{}, pods: map[string][]netip.Prefix{}, blocks: map[netip.Prefix]string{}}
	byAge := bySeniority(in.Nodes)
	for _, node := range byAge {
		for _, block := range podCIDRs(node) {
			n.addPods(node.Name, block)
		}
	}
	for _, node := range byAge {
		for _, a := range clusterset.InternalIPs(node) {
			n.addAddress(node.Name, a)
		}
	}
	underlays := underlaysOf(in.Tunnels)
	for _, r := range in.Routed {
		hop := r.Hop
		if underlay, found := underlays[tunnelHop{r.Link, r.Hop}]; found {
			hop = underlay
		}
		node, found := n.holders[hop]
		if found && within(r.Prefix, own) && !within(r.Prefix, n.pods[node]) {
			n.pods[node] = append(n.pods[node], r.Prefix)
		}
	}
	slices.Sort(n.odd)
	return n
}

// tunnelHop is a next hop on a VXLAN device.
type tunnelHop struct {
	device string
	hop    netip.Addr
}

// underlaysOf are the underlay addresses of next hops on VXLAN devices: a neighbour has the MAC of the
// hop, and a forward the address of the node that has this MAC.
func underlaysOf(tunnels vxlan.Config) map[tunnelHop]netip.Addr {
	type station struct {
		device string
		mac    vxlan.MAC
	}
	at, underlays := map[station]netip.Addr{}, map[tunnelHop]netip.Addr{}
	for _, f := range tunnels.Forwards {
		at[station{f.Device, f.MAC}] = f.Underlay
	}
	for _, n := range tunnels.Neighbours {
		if underlay, found := at[station{n.Device, n.MAC}]; found {
			underlays[tunnelHop{n.Device, n.Address}] = underlay
		}
	}
	return underlays
}

// addPods takes a block of the node's spec, unless other pods of another node are there.
func (n *nodes) addPods(node string, block netip.Prefix) {
	if node != n.self {
		if holder, found := n.podsAt(block, node); found {
			n.leaveOut(node, "podCIDR %s lies among the pods of node %s", block, holder)
			return
		}
		if n.servesVIPs(block) {
			n.leaveOut(node, "podCIDR %s overlaps a VIP CIDR", block)
			return
		}
	}
	n.pods[node] = append(n.pods[node], block)
	if within(block, n.own) {
		n.blocks[block] = node
		if !slices.Contains(n.lengths, block.Bits()) {
			n.lengths = append(n.lengths, block.Bits())
		}
	}
}

// addAddress takes an InternalIP of the node, unless it belongs to something else.
func (n *nodes) addAddress(node string, a netip.Addr) {
	if node != n.self {
		single := netip.PrefixFrom(a, a.BitLen())
		if holder, found := n.podsAt(single, node); found {
			n.leaveOut(node, "InternalIP %s lies among the pods of node %s", a, holder)
			return
		}
		if holder, found := n.holders[a]; found {
			n.leaveOut(node, "InternalIP %s is that of node %s", a, holder)
			return
		}
		if n.servesVIPs(single) {
			n.leaveOut(node, "InternalIP %s lies in a VIP CIDR", a)
			return
		}
	}
	n.holders[a] = node
	n.addresses[node] = append(n.addresses[node], a)
}

// podsAt is the node other than that one whose block of pods holds all of the prefix.
func (n *nodes) podsAt(p netip.Prefix, but string) (holder string, found bool) {
	for _, bits := range n.lengths {
		if bits > p.Bits() {
			continue
		}
		block, err := p.Addr().Prefix(bits)
		if holder, found = n.blocks[block]; err == nil && found && holder != but {
			return holder, true
		}
	}
	return "", false
}

func (n *nodes) servesVIPs(p netip.Prefix) bool {
	return slices.ContainsFunc(n.vips, func(vip netip.Prefix) bool { return vip.Overlaps(p) })
}

func (n *nodes) leaveOut(node, format string, args ...any) {
	n.odd = append(n.odd, "node "+node+": "+fmt.Sprintf(format, args...))
}

// peer is the node as a next hop.
func (n *nodes) peer(node string) peer { return peer{name: node, addresses: n.addresses[node]} }
