// Package transit says what the gateway's nftables table does with packets that only pass through
// the gateway. It does no I/O: internal/kernel/firewall writes the table.
package transit

import (
	"slices"

	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
)

// raw is the priority before connection tracking (NF_IP_PRI_RAW in linux/netfilter_ipv4.h).
const raw = -300

// ourDevices is what the names of the devices between the clusters begin with: tunnels, the VXLAN,
// and the hand-over.
const ourDevices = "tombolo"

// Table is the gateway's table, with these tunnels, while gateways probe each other at that port.
//
// It takes packets that go from one of our devices to another out of connection tracking, in both
// families and whatever the protocol. With several gateways the answer may come back by another
// gateway than the question. One that had tracked it would call it invalid, and kube-proxy and host
// firewalls drop what is invalid. What goes to this node or its pods stays tracked: they may need
// the translation of their destination undone. The look-up of the route goes by rules about sources,
// too, as the one for forwarding does.
func Table(tunnels wireguard.Config, probes uint16) firewall.Config {
	return firewall.Config{
		Chains: []firewall.Chain{{
			Name: "untracked", Type: "filter", Hook: "prerouting", Priority: raw,
			Rules: []string{`iifname "` + ourDevices + `*" fib daddr oifname "` + ourDevices + `*" notrack`},
		}},
		Passages: passages(tunnels, probes),
	}
}

// passages must pass the node's own firewall. What goes to pods is not among them: a NetworkPolicy
// may drop it.
func passages(tunnels wireguard.Config, probes uint16) []firewall.Passage {
	all := []firewall.Passage{
		{Name: "transit", What: "packets between this cluster and others", Hook: "forward", In: ourDevices, Out: ourDevices, Admit: firewall.AdmitFirst},
		{Name: "probes", What: "probes of other gateways", Hook: "input", In: ourDevices, Ports: []uint16{probes}, Admit: firewall.AdmitFirst},
	}
	var ports []uint16
	for _, d := range tunnels.Devices {
		ports = append(ports, uint16(d.ListenPort))
	}
	if slices.Sort(ports); len(ports) > 0 {
		all = append(all, firewall.Passage{Name: "wireguard", What: "WireGuard's packets", Hook: "input", Ports: slices.Compact(ports), Admit: firewall.AdmitFirst})
	}
	return all
}
