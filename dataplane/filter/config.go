package filter

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// Config is what the table should do. The lists are in any order; duplicates do no harm.
type Config struct {
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
	// Probed are a gateway's tunnel addresses, and the port at which other nodes ask whether it lives.
	// Connections to it over the VXLAN are refused, which is the answer. Other gateways send probes of
	// UDP to the same port.
	Probed []netip.AddrPort
	// Overlay guards the VXLAN.
	Overlay Overlay
	// Served ports of clusterset IPs; all others are refused.
	Served []serviceport.Key
	// Hairpin are the addresses of endpoints on this node.
	Hairpin []netip.Addr
}

// empty reports whether no table is needed.
func (c Config) empty() bool { return len(c.VIPs)+len(c.Own)+len(c.Remote) == 0 }

// State is what the kernel has.
type State struct {
	// Digest of the chains and rules, as digest makes it; empty if there is no table, or one that is
	// damaged.
	Digest  string
	Served  []serviceport.Key
	Hairpin []netip.Addr
}

// chain is a base chain, or one that others jump to if it has no hook.
type chain struct {
	name, kind, hook, priority string
	rules                      []string
}

// chains are the chains for the Config, those first that others jump to. Their names, hooks and
// priorities are the same for every Config.
func (c Config) chains() []chain {
	vips, own, remote := byFamily(c.VIPs), byFamily(c.Own), byFamily(c.Remote)
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
		keep = append(keep, c.keepRules(f, vips[f], own[f], remote[f])...)
		if len(remote[f]) > 0 {
			for _, field := range []string{"saddr", "daddr"} {
				clamp = append(clamp, "tcp flags syn / syn,rst "+f.name+" "+field+" "+nft.Set(remote[f])+" tcp option maxseg size set rt mtu")
			}
		}
	}
	return []chain{
		{name: "unserved", rules: []string{
			// Errors about served flows must arrive, and an echo tells no more than that the node has the
			// route. ICMP and ICMPv6 are given by number: their names are in /etc/protocols, which an image
			// need not have.
			"meta l4proto { 1, 58 } return",
			"ip daddr . meta l4proto . th dport @served4 return",
			"ip6 daddr . meta l4proto . th dport @served6 return",
			"jump no-service",
		}},
		{name: "no-service", rules: []string{
			"meta l4proto { 1, 58 } return",
			"meta l4proto tcp reject with tcp reset",
			"reject with icmpx type port-unreachable",
		}},
		{name: "sender", rules: c.Overlay.senderRules()},
		// Before connection tracking (-200), so that questions leave no entries, and before everything that
		// may drop: a host's firewall says nothing about what the gateway forwards.
		{name: "probed", kind: "filter", hook: "prerouting", priority: "-300", rules: c.probedRules()},
		{name: "frames", kind: "filter", hook: "prerouting", priority: "-299", rules: c.Overlay.frameRules()},
		// Before kube-proxy's NodePorts, which in iptables mode answer on every local address.
		{name: "prerouting", kind: "filter", hook: "prerouting", priority: "-105", rules: append(toVIP("jump unserved"), c.transitRules()...)},
		{name: "output", kind: "filter", hook: "output", priority: "-105", rules: toVIP("jump unserved")},
		// Before kube-proxy's NodePorts again, and all else that translates what is sent to any local
		// address: a port that is served may have a NodePort's number. A connection's destination is
		// translated once, here to itself, unless the dataplane itself did before.
		{name: "stay-prerouting", kind: "nat", hook: "prerouting", priority: "-101", rules: stay},
		{name: "stay-output", kind: "nat", hook: "output", priority: "-101", rules: stay},
		// After IPVS, which takes its packets out of this hook at 98 and 99: what is left here has no
		// virtual service.
		{name: "input", kind: "filter", hook: "input", priority: "105", rules: append(c.Overlay.inputRules(), toVIP("jump no-service")...)},
		{name: "forward", kind: "filter", hook: "forward", priority: "-150", rules: c.Overlay.forwardRules()},
		{name: "leaving", kind: "filter", hook: "postrouting", priority: "-151", rules: c.Overlay.leavingRules()},
		{name: "clamp", kind: "filter", hook: "postrouting", priority: "-150", rules: clamp},
		// Before the CNI's masquerade: a connection's source is translated once, here to itself.
		{name: "keep", kind: "nat", hook: "postrouting", priority: "95", rules: keep},
	}
}

// ourDevices are the devices between the clusters: the dataplane's and the gateway's.
const ourDevices = `"tombolo*"`

// probedRules refuse connections to where other nodes ask whether this gateway lives.
func (c Config) probedRules() (rules []string) {
	for _, p := range c.Probed {
		rules = append(rules, fmt.Sprintf("iifname %q %s daddr %s tcp dport %d tcp flags syn / syn,ack,rst,fin notrack reject with tcp reset",
			vxlan.Name, familyOf(p.Addr()).name, p.Addr(), p.Port()))
	}
	return rules
}

// keepRules translate the sources of one family to themselves: between clusters, and of all flows
// that go through a clusterset IP, whichever endpoint they got. What this node sends itself gets
// its transit address.
func (c Config) keepRules(f family, vips, own, remote []netip.Prefix) []string {
	rules := []string{f.name + " saddr . " + f.name + " daddr @hairpin" + f.suffix + " masquerade"}
	if transit := c.transit(f); transit.IsValid() && len(remote) > 0 {
		// By its source, because IPVS hands on the packets of pods and those of the node alike, without a
		// device that they came by. By the device, because a tunnel's own packets may go to addresses of
		// the other cluster.
		rules = append(rules, "oifname "+ourDevices+" "+f.name+" daddr "+nft.Set(remote)+" fib saddr type local snat "+f.name+" to "+transit.String())
	}
	if len(own) == 0 {
		return rules
	}
	transit := byFamily(c.TransitCIDRs)[f]
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
func (c Config) transitRules() (rules []string) {
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
		if a := c.transit(f); a.IsValid() {
			guard(a)
		}
	}
	for _, p := range c.Probed {
		guard(p.Addr(), fmt.Sprintf("iifname %s iifname != %q meta l4proto 17 th dport %d", ourDevices, vxlan.Name, p.Port()))
	}
	return rules
}

// transit is this node's transit address of the family; not valid if it has none.
func (c Config) transit(f family) netip.Addr {
	for _, a := range c.Transit {
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

// comment is what a rule carries, to see whether it is still the same rule. nft prints rules in its
// own words, which differ between versions.
func comment(rule string) string {
	sum := sha256.Sum256([]byte(rule))
	return hex.EncodeToString(sum[:6])
}

// digest of the chains, given the rules' comments by the chains' names.
func digest(chains []chain, comments map[string][]string) string {
	h := sha256.New()
	for _, c := range chains {
		for _, part := range append([]string{c.name, c.kind, c.hook, c.priority}, comments[c.name]...) {
			h.Write([]byte(part + "\n"))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// wantedDigest is the digest that a table for the Config has.
func (c Config) wantedDigest() string {
	if c.empty() {
		return ""
	}
	chains := c.chains()
	comments := map[string][]string{}
	for _, c := range chains {
		for _, rule := range c.rules {
			comments[c.name] = append(comments[c.name], comment(rule))
		}
	}
	return digest(chains, comments)
}
