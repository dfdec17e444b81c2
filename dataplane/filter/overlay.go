package filter

import (
	"fmt"
	"net/netip"

	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// frames match packets to the VXLAN's port. The protocol is given by number: its name is in
// /etc/protocols, which an image need not have.
func frames(o plan.Overlay) string { return fmt.Sprintf("meta l4proto 17 th dport %d", o.Port) }

// senderRules let pass what another node has sent, and what came by the way that leads to it: a pod
// may send from a node's address, but not by the node's device.
func senderRules() []string {
	rules := []string{"fib saddr . iif oif missing drop"}
	for _, f := range families {
		rules = append(rules, f.name+" saddr @nodes"+f.suffix+" return")
	}
	return append(rules, "drop")
}

// inputRules guard the port. They look at a packet when its destination has been translated: a
// Service may lead to the port.
func inputRules(o plan.Overlay) []string {
	if o.Port == 0 {
		return nil
	}
	return []string{frames(o) + " jump sender"}
}

// forwardRules guard the ports of other nodes against packets from this node's pods, which another
// node may take for this node's own.
func forwardRules(o plan.Overlay) (rules []string) {
	for _, f := range families {
		if o.Port != 0 {
			rules = append(rules, frames(o)+" "+f.name+" daddr @nodes"+f.suffix+" jump sender")
		}
	}
	return rules
}

// leavingRules do the same for packets that IPVS hands on, which are not forwarded. They come before
// a masquerade, which would give the packets this node's address.
func leavingRules(o plan.Overlay) (rules []string) {
	for _, f := range families {
		if o.Port != 0 {
			rules = append(rules, fmt.Sprintf("%s %s daddr @nodes%s %[2]s saddr != @nodes%[3]s %[2]s saddr != @self%[3]s drop", frames(o), f.name, f.suffix))
		}
	}
	return rules
}

// frameRules let in from the VXLAN what belongs there: packets of other clusters, packets to other
// clusters, answers of gateways to nodes that ask whether they live, and errors about all that. By
// the hand-over come packets to other clusters, and probes.
func frameRules(o plan.Overlay) []string {
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
				fmt.Sprintf("iifname %q %s meta l4proto 6 th sport %d return", vxlan.Name, from(tunnels), plan.ProbePort),
				fmt.Sprintf("iifname %q %s meta l4proto 17 th dport %d return", vxlan.HandoverName, from(tunnels), plan.ProbePort))
		}
	}
	return append(rules, "drop")
}
