package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Overlay says which packets belong into the VXLAN. The lists are sorted.
type Overlay struct {
	// Port is the UDP port. Zero: there is no VXLAN in this cluster.
	Port uint16
	// Nodes are the addresses from which the other nodes of this cluster send frames, and Self those
	// from which this node does.
	Nodes, Self []netip.Addr
	// Near are the sources that this cluster sends to others from, Far those of the other clusters:
	// CIDRs and transit blocks.
	Near, Far []netip.Prefix
	// Tunnels hold the tunnel addresses of this cluster's gateways.
	Tunnels []netip.Prefix
}

// Equal tells whether two overlays are the same in every field.
func (o Overlay) Equal(other Overlay) bool {
	return o.Port == other.Port && slices.Equal(o.Nodes, other.Nodes) && slices.Equal(o.Self, other.Self) &&
		slices.Equal(o.Near, other.Near) && slices.Equal(o.Far, other.Far) && slices.Equal(o.Tunnels, other.Tunnels)
}

// overlay says who may send frames, and what. Any node may: others may take it for a gateway before
// it knows of that, or after it has stopped to be one.
func (b *routing) overlay() {
	o := &b.n.Overlay
	o.Port = b.vxlanPort()
	for _, node := range b.in.Nodes {
		addresses := b.nodes.addresses[node.Name]
		if node.Name == b.in.Node {
			o.Self = append(o.Self, addresses...)
		} else {
			o.Nodes = append(o.Nodes, addresses...)
		}
	}
	blocks := clusterset.TransitBlocks(&b.in.ClusterSet.Spec, b.in.ClusterSet.Status.Index)
	o.Near = slices.Concat(b.n.Own, blocks)
	o.Far = b.remote
	for _, block := range blocks {
		o.Tunnels = append(o.Tunnels, clusterset.TunnelBlock(block))
	}
	for _, addresses := range []*[]netip.Addr{&o.Nodes, &o.Self} {
		slices.SortFunc(*addresses, netip.Addr.Compare)
		*addresses = slices.Compact(*addresses)
	}
	slices.SortFunc(o.Near, netip.Prefix.Compare)
}

func (b *routing) vxlanPort() uint16 {
	return uint16(cmp.Or(int32(b.in.ClusterSet.Spec.Dataplane.VXLANPort), defaultVXLAN))
}
