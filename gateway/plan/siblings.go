package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// Sibling is another gateway of this cluster, as the hand-over device leads to it.
type Sibling struct {
	Name      string
	PublicKey wireguard.PublicKey
	// NextHops stand for it on the device, IPv4 first. The IPv4 one is its tunnel address, which
	// answers probes.
	NextHops []netip.Addr
}

// addSiblings adds the siblings that can be used, and the device that leads to them. What is wrong
// with one is a warning, and the others are used.
func (t *Tunnels) addSiblings(in Input) {
	if len(in.Underlay) == 0 {
		return
	}
	held := map[v1alpha1.Lane]string{in.Lane: in.Name}
	for _, s := range slices.SortedFunc(slices.Values(in.Siblings), func(a, b GatewayPeer) int { return cmp.Compare(a.Name, b.Name) }) {
		if other, taken := held[s.Lane]; taken {
			t.warnSibling(in, s, "it has the same lane %d as gateway %s", s.Lane, other)
			continue
		}
		if fault := clusterset.KeyFault(s.PublicKey); fault != "" {
			t.warnSibling(in, s, "its public key %s", fault)
			continue
		}
		key, err := wireguard.ParsePublicKey(s.PublicKey)
		if err != nil {
			t.warnSibling(in, s, "%s", err)
			continue
		}
		underlay := clusterset.OfFamily(s.Underlay, in.Underlay[0].Is4())
		if !underlay.IsValid() {
			t.warnSibling(in, s, "it has no address of the family of %s", in.Underlay[0])
			continue
		}
		held[s.Lane] = s.Name
		t.addSibling(in, s, key, underlay)
	}
	if len(t.Siblings) > 0 {
		t.addHandover(in)
	}
}

func (t *Tunnels) warnSibling(in Input, s GatewayPeer, format string, args ...any) {
	t.Warnings = append(t.Warnings, Warning{in.ClusterID, s.Name, "no hand-over to it: " + fmt.Sprintf(format, args...)})
}

func (t *Tunnels) addSibling(in Input, s GatewayPeer, key wireguard.PublicKey, underlay netip.Addr) {
	blocks, _ := transitBlocks(in.Transit, in.ClusterSetID, in.Index) // they gave our own addresses before
	sibling := Sibling{Name: s.Name, PublicKey: key, NextHops: []netip.Addr{clusterset.TunnelAddress(blocks[0], s.Lane)}}
	if in.NoIPv6 == "" {
		sibling.NextHops = append(sibling.NextHops, clusterset.NodeLinkLocal(s.Name))
	}
	t.Siblings = append(t.Siblings, sibling)
	mac := clusterset.NodeMAC(s.Name)
	t.Handover.Forwards = append(t.Handover.Forwards, vxlan.Forward{Device: vxlan.HandoverName, MAC: mac, Underlay: underlay})
	for _, hop := range sibling.NextHops {
		t.Handover.Neighbours = append(t.Handover.Neighbours, vxlan.Neighbour{Device: vxlan.HandoverName, Address: hop, MAC: mac})
	}
}

// addHandover adds the device. Without an address of its own, and with a strict reverse path filter,
// the kernel would drop what is handed over: the way back goes by another device.
func (t *Tunnels) addHandover(in Input) {
	t.Handover.Devices = []vxlan.Device{{
		Name: vxlan.HandoverName, ID: handoverID(in.VXLANID), Port: uint16(cmp.Or(in.VXLANPort, defaultVXLAN)), Local: in.Underlay[0],
		MTU: in.MTU - clusterset.VXLANOverhead(in.Underlay[0]), MAC: clusterset.NodeMAC(in.Name), RPFilter: rtnl.RPFilterLoose,
	}}
	t.Handover.Addresses = []vxlan.Address{{Device: vxlan.HandoverName, Address: t.TunnelAddresses[0]}}
	slices.SortFunc(t.Handover.Neighbours, vxlan.Neighbour.Compare)
	slices.SortFunc(t.Handover.Forwards, vxlan.Forward.Compare)
}

const (
	// defaultVXLAN is the default of both vxlanID and vxlanPort, for a ClusterSet that was stored
	// without them.
	defaultVXLAN = 7473
	// maxVNI is the largest VXLAN network identifier.
	maxVNI = 1<<24 - 1
)

// handoverID is the identifier after that of the nodes' VXLAN; after the last one, the one before.
func handoverID(nodes int32) uint32 {
	if nodes = cmp.Or(nodes, defaultVXLAN); nodes == maxVNI {
		return maxVNI - 1
	}
	return uint32(nodes) + 1
}
