package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// peer is another node, or this one, as a next hop.
type peer struct {
	name string
	// addresses on the underlay. The node itself uses the first.
	addresses []netip.Addr
}

// gatewayPeer is the gateway with the addresses that it has published.
func gatewayPeer(g *v1alpha1.GatewayNode) peer {
	p := peer{name: g.Spec.NodeName}
	for _, a := range g.Spec.UnderlayAddresses {
		if addr, err := netip.ParseAddr(string(a)); err == nil {
			p.addresses = append(p.addresses, addr)
		}
	}
	return p
}

// address of that family; not valid if there is none.
func (p peer) address(is4 bool) netip.Addr { return clusterset.OfFamily(p.addresses, is4) }

// nextHop for addresses of that family: the InternalIP, or in IPv6 the address that stands for the
// node.
func (p peer) nextHop(is4 bool) netip.Addr {
	if is4 {
		return p.address(true)
	}
	return clusterset.NodeLinkLocal(p.name)
}

// neighbour makes the peer a next hop on the VXLAN; false if it has no address of the family of our
// underlay.
func (b *routing) neighbour(p peer) bool {
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

// isNeighbour reports whether the peer can be a next hop, as one of the nodes that are neighbours
// already.
func (b *routing) isNeighbour(p peer) bool {
	for _, is4 := range []bool{true, false} {
		hop := vxlan.Neighbour{Device: vxlan.Name, Address: p.nextHop(is4), MAC: clusterset.NodeMAC(p.name)}
		if hop.Address.IsValid() && !slices.Contains(b.n.VXLAN.Neighbours, hop) {
			return false
		}
	}
	return true
}

func (b *routing) underlay() netip.Addr { return b.self.addresses[0] }

// device adds the VXLAN device if there are neighbours. A gateway needs it even while it is alone:
// other nodes may know of it before it knows of them.
func (b *routing) device() {
	options := b.in.ClusterSet.Spec.Dataplane
	if len(b.n.VXLAN.Forwards) == 0 && !b.n.Gateway {
		return
	}
	rpFilter := rtnl.RPFilterOff // on a node that is no gateway it stays as it is
	if len(b.n.VXLAN.Addresses) > 0 {
		rpFilter = rtnl.RPFilterLoose
		// Only beside another address: a version of tombolo that does not know it removes it.
		b.n.VXLAN.Addresses = append(b.n.VXLAN.Addresses, vxlan.Address{Device: vxlan.Name, Address: vxlan.Anchor()})
	}
	b.n.VXLAN.Devices = []vxlan.Device{{
		Name:  vxlan.Name,
		ID:    uint32(cmp.Or(options.VXLANID, defaultVXLAN)),
		Port:  b.vxlanPort(),
		Local: b.underlay(),
		MTU:   b.in.UnderlayMTU - clusterset.VXLANOverhead(b.underlay()),
		MAC:   clusterset.NodeMAC(b.self.name), RPFilter: rpFilter,
	}}
}

// defaultVXLAN is the default of both vxlanID and vxlanPort, for a ClusterSet that was stored
// without them.
const defaultVXLAN = 7473
