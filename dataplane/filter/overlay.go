package filter

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// Overlay says who may send VXLAN frames to this node, and what may be in them. The lists are in any
// order.
type Overlay struct {
	// Port is the UDP port of the frames. Zero: nothing is guarded.
	Port uint16
	// Nodes are the addresses of the other nodes of this cluster, Self those of this one.
	Nodes, Self []netip.Addr
	// Near are the sources that this cluster sends to others from, Far those of the other clusters.
	Near, Far []netip.Prefix
	// Tunnels hold the tunnel addresses of this cluster's gateways.
	Tunnels []netip.Prefix
	// Probes is the port of the gateways' probes.
	Probes uint16
}

// frames match packets to the VXLAN's port. The protocol is given by number: its name is in
// /etc/protocols, which an image need not have.
func (o Overlay) frames() string { return fmt.Sprintf("meta l4proto 17 th dport %d", o.Port) }

// senderRules let pass what another node has sent, and what came by the way that leads to it: a pod
// may send from a node's address, but not by the node's device.
func (o Overlay) senderRules() []string {
	rules := []string{"fib saddr . iif oif missing drop"}
	for _, f := range families {
		if nodes := addressesOf(f, o.Nodes); nodes != "" {
			rules = append(rules, f.name+" saddr "+nodes+" return")
		}
	}
	return append(rules, "drop")
}

// inputRules guard the port. They look at a packet when its destination has been translated: a
// Service may lead to the port.
func (o Overlay) inputRules() []string {
	if o.Port == 0 {
		return nil
	}
	return []string{o.frames() + " jump sender"}
}

// forwardRules guard the ports of other nodes against packets from this node's pods, which another
// node may take for this node's own.
func (o Overlay) forwardRules() (rules []string) {
	for _, f := range families {
		if nodes := addressesOf(f, o.Nodes); o.Port != 0 && nodes != "" {
			rules = append(rules, o.frames()+" "+f.name+" daddr "+nodes+" jump sender")
		}
	}
	return rules
}

// leavingRules do the same for packets that IPVS hands on, which are not forwarded. They come before
// a masquerade, which would give the packets this node's address.
func (o Overlay) leavingRules() (rules []string) {
	for _, f := range families {
		if nodes := addressesOf(f, o.Nodes); o.Port != 0 && nodes != "" {
			rules = append(rules, o.frames()+" "+f.name+" daddr "+nodes+" "+f.name+" saddr != "+
				addressesOf(f, slices.Concat(o.Nodes, o.Self))+" drop")
		}
	}
	return rules
}

// frameRules let in from the VXLAN what belongs there: packets of other clusters, packets to other
// clusters, answers of gateways to nodes that ask whether they live, and errors about all that. By
// the hand-over come packets to other clusters, and probes.
func (o Overlay) frameRules() []string {
	if o.Port == 0 {
		return nil
	}
	rules := []string{
		fmt.Sprintf("iifname != { %q, %q } return", vxlan.Name, vxlan.HandoverName),
		"icmp type { 3, 11, 12 } return",
		"icmpv6 type { 1, 2, 3, 4 } return",
	}
	for _, f := range families {
		near, far, tunnels := byFamily(o.Near)[f], byFamily(o.Far)[f], byFamily(o.Tunnels)[f]
		from := func(prefixes []netip.Prefix) string { return f.name + " saddr " + nft.Set(prefixes) }
		if len(far) > 0 {
			rules = append(rules, fmt.Sprintf("iifname %q %s return", vxlan.Name, from(far)))
		}
		if len(near) > 0 && len(far) > 0 {
			rules = append(rules, from(near)+" "+f.name+" daddr "+nft.Set(far)+" return")
		}
		if len(tunnels) > 0 {
			rules = append(rules,
				fmt.Sprintf("iifname %q %s meta l4proto 6 th sport %d return", vxlan.Name, from(tunnels), o.Probes),
				fmt.Sprintf("iifname %q %s meta l4proto 17 th dport %d return", vxlan.HandoverName, from(tunnels), o.Probes))
		}
	}
	return append(rules, "drop")
}

// addressesOf is the set of the addresses of a family. It is empty if there are no such addresses.
func addressesOf(f family, all []netip.Addr) string {
	of := slices.DeleteFunc(slices.SortedFunc(slices.Values(all), netip.Addr.Compare), func(a netip.Addr) bool { return a.Is4() != f.is4 })
	if len(of) == 0 {
		return ""
	}
	return nft.Set(slices.Compact(of))
}
