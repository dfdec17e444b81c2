package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// Input is all that the table depends on. The lists are in any order; duplicates do no harm. What there
// may be much of are Endpoints, which come and go one by one.
type Input struct {
	// VIPs are the VIP CIDRs.
	VIPs []netip.Prefix
	// Own are the addresses of this cluster that other clusters see as they are.
	Own []netip.Prefix
	// Remote are the addresses of the other clusters.
	Remote []netip.Prefix
	// Transit are this node's transit addresses, at most one of a family: the source that its own
	// processes have in the other clusters.
	Transit []netip.Addr
	// TransitCIDRs hold the transit addresses of all clusters, which others see as they are.
	TransitCIDRs []netip.Prefix
	// Tunnel are a gateway's tunnel addresses. At plan.ProbePort other nodes ask whether it lives:
	// connections to it over the VXLAN are refused, which is the answer. Other gateways send probes of
	// UDP to the same port.
	Tunnel []netip.Addr
	// Overlay says what the VXLAN may carry. Nothing is guarded if it has no port.
	Overlay plan.Overlay
	// Open says that UDP from other clusters need not be an answer.
	Open bool
	// Endpoints are the elements of all Endpoints, by the names of the sets.
	Endpoints map[string]firewall.Keys
}

// Table is the table for the Input; the zero Config if no table is needed.
func Table(in Input) firewall.Config {
	if len(in.VIPs)+len(in.Own)+len(in.Remote) == 0 {
		return firewall.Config{}
	}
	cfg := firewall.Config{Counters: []string{unasked, untracked}, Chains: in.chains()}
	for _, f := range families {
		cfg.Sets = append(cfg.Sets, in.sets(f)...)
	}
	cfg.Sets = append(cfg.Sets, strayedSet())
	return cfg
}

// chains are those first that others jump to. Their names, hooks and priorities are the same for
// every Input.
func (in Input) chains() []firewall.Chain {
	vips, own, remote := byFamily(in.VIPs), byFamily(in.Own), byFamily(in.Remote)
	toVIP := func(verdict string) (rules []string) {
		for _, f := range families {
			if len(vips[f]) > 0 {
				rules = append(rules, f.name+" daddr "+nft.Set(vips[f])+" "+verdict)
			}
		}
		return rules
	}
	var stay, keep, clamp []string
	for _, f := range families {
		if len(vips[f]) > 0 {
			stay = append(stay, "dnat "+f.name+" prefix to "+f.name+" daddr map { "+identity(vips[f])+" }")
		}
		keep = append(keep, in.keepRules(f, vips[f], own[f], remote[f])...)
		if len(remote[f]) > 0 {
			for _, field := range []string{"saddr", "daddr"} {
				clamp = append(clamp, "tcp flags syn / syn,rst "+f.name+" "+field+" "+nft.Set(remote[f])+" tcp option maxseg size set rt mtu")
			}
		}
	}
	return []firewall.Chain{
		{Name: "unserved", Rules: []string{
			// Errors about served flows must arrive, and an echo tells no more than that the node has the
			// route. ICMP and ICMPv6 are given by number: their names are in /etc/protocols, which an image
			// need not have.
			"meta l4proto { 1, 58 } return",
			"ip daddr . meta l4proto . th dport @served4 return",
			"ip6 daddr . meta l4proto . th dport @served6 return",
			"jump no-service",
		}},
		{Name: "no-service", Rules: []string{
			"meta l4proto { 1, 58 } return",
			"meta l4proto tcp reject with tcp reset",
			"reject with icmpx type port-unreachable",
		}},
		{Name: "unasked", Rules: unaskedRules()},
		{Name: "sender", Rules: senderRules()},
		// Before connection tracking (-200), so that questions leave no entries, and before everything that
		// may drop: a host's firewall says nothing about what the gateway forwards.
		{Name: "probed", Type: "filter", Hook: "prerouting", Priority: -300, Rules: in.probedRules()},
		{Name: "frames", Type: "filter", Hook: "prerouting", Priority: -299, Rules: frameRules(in.Overlay)},
		{Name: "strayed", Type: "filter", Hook: "prerouting", Priority: -298, Rules: in.strayedRules()},
		// Before kube-proxy's NodePorts, which in iptables mode answer on every local address.
		{Name: "prerouting", Type: "filter", Hook: "prerouting", Priority: -105, Rules: slices.Concat(toVIP(isUntracked+countUntracked), untrackedRules(), toVIP(isAstray+"drop"), toVIP("jump unserved"), in.transitRules(), answerRules())},
		{Name: "output", Type: "filter", Hook: "output", Priority: -105, Rules: slices.Concat(toVIP(isUntracked+countUntracked), toVIP(isAstray+"drop"), toVIP("jump unserved"))},
		// Before kube-proxy's NodePorts again, and all else that translates what is sent to any local
		// address: a port that is served may have a NodePort's number. A connection's destination is
		// translated once, here to itself, unless the dataplane itself did before.
		{Name: "stay-prerouting", Type: "nat", Hook: "prerouting", Priority: -101, Rules: stay},
		{Name: "stay-output", Type: "nat", Hook: "output", Priority: -101, Rules: stay},
		// After IPVS, which takes its packets out of this hook at 98 and 99: what is left here has no
		// virtual service.
		{Name: "input", Type: "filter", Hook: "input", Priority: 105, Rules: append(inputRules(in.Overlay), toVIP("jump no-service")...)},
		{Name: "forward", Type: "filter", Hook: "forward", Priority: -150, Rules: forwardRules(in.Overlay)},
		{Name: "leaving", Type: "filter", Hook: "postrouting", Priority: -151, Rules: append(leavingRules(in.Overlay), in.resetRules()...)},
		{Name: "clamp", Type: "filter", Hook: "postrouting", Priority: -150, Rules: clamp},
		// Before the CNI's masquerade: a connection's source is translated once, here to itself.
		{Name: "keep", Type: "nat", Hook: "postrouting", Priority: 95, Rules: keep},
	}
}

// ourDevices are the devices between the clusters: the dataplane's and the gateway's.
const ourDevices = `"tombolo*"`

// probedRules refuse connections to where other nodes ask whether this gateway lives.
func (in Input) probedRules() (rules []string) {
	for _, a := range in.Tunnel {
		rules = append(rules, fmt.Sprintf("iifname %q %s daddr %s tcp dport %d tcp flags syn / syn,ack,rst,fin notrack reject with tcp reset",
			vxlan.Name, familyOf(a).name, a, plan.ProbePort))
	}
	return rules
}

// keepRules translate the sources of one family to themselves: between clusters, and of all flows
// that go through a clusterset IP, whichever endpoint they got. What this node sends itself gets
// its transit address.
func (in Input) keepRules(f family, vips, own, remote []netip.Prefix) []string {
	rules := []string{f.name + " saddr . " + f.name + " daddr @hairpin" + f.suffix + " masquerade"}
	if transit := in.transitOf(f); transit.IsValid() && len(remote) > 0 {
		// By its source, because IPVS hands on the packets of pods and those of the node alike, without a
		// device that they came by. By the device, because a tunnel's own packets may go to addresses of
		// the other cluster.
		rules = append(rules, "oifname "+ourDevices+" "+f.name+" daddr "+nft.Set(remote)+" fib saddr type local snat "+f.name+" to "+transit.String())
	}
	toExternal := f.name + " daddr @external" + f.suffix + " masquerade"
	if len(vips) > 0 {
		rules = append(rules, "ct original "+f.name+" daddr "+nft.Set(vips)+" "+toExternal)
	}
	if len(remote) > 0 {
		rules = append(rules, f.name+" saddr "+nft.Set(nft.Disjoint(slices.Concat(remote, byFamily(in.TransitCIDRs)[f])))+" "+toExternal)
	}
	if len(own) == 0 {
		return rules
	}
	transit := byFamily(in.TransitCIDRs)[f]
	all := nft.Disjoint(slices.Concat(own, remote, transit))
	same := "snat " + f.name + " prefix to " + f.name + " saddr map { " + identity(all) + " }"
	if len(remote) > 0 {
		here, there := nft.Set(nft.Disjoint(slices.Concat(own, transit))), nft.Set(nft.Disjoint(slices.Concat(remote, transit)))
		rules = append(rules,
			f.name+" saddr "+here+" "+f.name+" daddr "+there+" "+same,
			f.name+" saddr "+there+" "+f.name+" daddr "+here+" "+same)
	}
	if len(vips) > 0 {
		rules = append(rules, "ct original "+f.name+" daddr "+nft.Set(vips)+" "+f.name+" saddr "+nft.Set(all)+" "+same)
	}
	return rules
}

// transitRules let in to a transit address what answers, and echoes: it is local to the node, and
// would open the node's own listeners and NodePorts to the other clusters. The same holds for a
// gateway's tunnel address, to which other gateways send probes, too: by a tunnel or the hand-over.
func (in Input) transitRules() (rules []string) {
	guard := func(a netip.Addr, except ...string) {
		to := familyOf(a).name + " daddr " + a.String()
		// A reset in answer to a packet that only came late would end its connection.
		rules = append(rules, to+" ct state invalid drop")
		for _, match := range except {
			rules = append(rules, match+" "+to+" return")
		}
		rules = append(rules, to+" ct state new,untracked jump no-service")
	}
	for _, f := range families {
		if a := in.transitOf(f); a.IsValid() {
			guard(a)
		}
	}
	for _, a := range in.Tunnel {
		guard(a, fmt.Sprintf("iifname %s iifname != %q meta l4proto 17 th dport %d", ourDevices, vxlan.Name, plan.ProbePort))
	}
	return rules
}

// isAstray matches segments that connection tracking does not count to a connection, as those beyond
// the window that it expects. From a client, IPVS would send one on from another port, and nftables not
// at all: either is answered with a reset, which would end the client's connection.
const isAstray = "meta l4proto tcp ct state invalid "

// resetRules keep back the reset of a client that got such a segment, not translated back from the
// endpoint's address: it would end the connection at the endpoint. The segment itself may pass. Where a
// CNI's eBPF sends for pods, connection tracking sees answers only, and they are good ones.
func (in Input) resetRules() (rules []string) {
	remote := byFamily(in.Remote)
	for _, f := range families {
		if len(remote[f]) > 0 {
			rules = append(rules, f.name+" daddr "+nft.Set(remote[f])+" tcp flags rst ct state invalid drop")
		}
	}
	return rules
}

// transitOf is this node's transit address of the family; not valid if it has none.
func (in Input) transitOf(f family) netip.Addr {
	for _, a := range in.Transit {
		if a.Is4() == f.is4 {
			return a
		}
	}
	return netip.Addr{}
}

type family struct {
	name, suffix, addressType string
	is4                       bool
}

var families = [...]family{
	{name: "ip", suffix: "4", addressType: "ipv4_addr", is4: true},
	{name: "ip6", suffix: "6", addressType: "ipv6_addr"},
}

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return families[0]
	}
	return families[1]
}

func byFamily(prefixes []netip.Prefix) map[family][]netip.Prefix {
	split := map[family][]netip.Prefix{}
	for _, p := range nft.Disjoint(prefixes) {
		split[familyOf(p.Addr())] = append(split[familyOf(p.Addr())], p)
	}
	return split
}

// identity maps each prefix to itself.
func identity(prefixes []netip.Prefix) string {
	pairs := make([]string, 0, len(prefixes))
	for _, p := range prefixes {
		pairs = append(pairs, p.String()+" : "+p.String())
	}
	return strings.Join(pairs, ", ")
}
