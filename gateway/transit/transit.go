// Package transit says what the gateway's nftables table does with packets that only pass through
// the gateway. It does no I/O: internal/kernel/firewall writes the table.
package transit

import "github.com/tombolo-net/tombolo/internal/kernel/firewall"

// raw is the priority before connection tracking (NF_IP_PRI_RAW in linux/netfilter_ipv4.h).
const raw = -300

// ourDevices are the devices between the clusters: tunnels, the VXLAN, and the hand-over.
const ourDevices = `"tombolo*"`

// Table is the gateway's table. It takes packets that go from one of our devices to another out of
// connection tracking, in both families and whatever the protocol. With several gateways the answer
// may come back by another gateway than the question. One that had tracked it would call it
// invalid, and kube-proxy and host firewalls drop what is invalid.
//
// What goes to this node or its pods stays tracked: they may need the translation of their
// destination undone. The look-up of the route goes by rules about sources, too, as the one for
// forwarding does.
func Table() firewall.Config {
	return firewall.Config{Chains: []firewall.Chain{{
		Name: "untracked", Type: "filter", Hook: "prerouting", Priority: raw,
		Rules: []string{"iifname " + ourDevices + " fib daddr oifname " + ourDevices + " notrack"},
	}}}
}
