package ingress

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// Input is all that the table depends on. The zero Input admits nothing.
type Input struct {
	// Cluster is this one.
	Cluster v1alpha1.ClusterID
	// CIDRs are this cluster's, and Transit its transit blocks.
	CIDRs, Transit []netip.Prefix
	// Tunnel are this gateway's tunnel addresses, which answer probes at the UDP port Probes.
	Tunnel []netip.Addr
	Probes uint16
	// Nodes are the addresses of this cluster's nodes. No answer is for them: what a node sends to
	// other clusters has a transit address as its source.
	Nodes []netip.Addr
	// Senders are the other clusters. The prefixes of two do not overlap.
	Senders []Sender
	// Endpoints are what all slices add to the sets (Elements), by their names.
	Endpoints map[string]firewall.Keys
}

// Sender is another cluster.
type Sender struct {
	Cluster v1alpha1.ClusterID
	Region  string
	// Prefixes are its CIDRs and its transit blocks.
	Prefixes []netip.Prefix
}

// SameElements tells whether each slice adds the same to the sets for both.
func (in Input) SameElements(other Input) bool {
	return in.Cluster == other.Cluster && slices.Equal(in.CIDRs, other.CIDRs) &&
		slices.EqualFunc(in.Senders, other.Senders, func(a, b Sender) bool {
			return a.Cluster == b.Cluster && a.Region == b.Region && slices.Equal(a.Prefixes, b.Prefixes)
		})
}

// Reason is why a packet is dropped.
type Reason string

// The reasons.
const (
	// Unexported: it is for an address of this cluster that does not serve this port to others, and
	// answers nothing.
	Unexported Reason = "Unexported"
	// Foreign: it is for an address that is not this cluster's.
	Foreign Reason = "Foreign"
	// Source: its source belongs to no member.
	Source Reason = "Source"
	// TooMany: echoes come too fast.
	TooMany Reason = "TooManyEchoes"
)

// reasons are those that are counted for each member.
var reasons = [...]Reason{Unexported, Foreign, TooMany}

const (
	// priority is before connection tracking, and before the rules that take transit out of it.
	priority = -310
	// echoes is how many a gateway admits, and a burst of as many.
	echoes = "limit rate 200/second burst 200 packets"
	// recent is how many examples of dropped packets the kernel keeps, and recentFor how long.
	recent    = 16
	recentFor = time.Minute
	// examples is how fast they come.
	examples = "limit rate 5/second burst 5 packets"
)

// Table is the table for the Input.
func Table(in Input) firewall.Config {
	b := builder{in: in}
	for _, f := range families {
		b.own[f.index] = f.of(slices.Concat(in.CIDRs, in.Transit))
		for _, s := range in.Senders {
			b.senders[f.index] = append(b.senders[f.index], f.of(s.Prefixes)...)
		}
	}
	return firewall.Config{Counters: b.counters(), Sets: in.sets(), Chains: b.chains()}
}

// sets are those that all senders share, and those of single senders that are not empty.
func (in Input) sets() (sets []firewall.Set) {
	for _, f := range families {
		for _, name := range []string{"exported", "imported"} {
			sets = append(sets, in.endpoints(f, name, "")...)
		}
		sets = append(sets,
			firewall.Set{Name: "nodes" + f.suffix, Type: f.address, Keys: f.keys(in.Nodes)},
			firewall.Set{Name: "recent" + f.suffix, Type: f.address + " . " + f.address + " . inet_proto . inet_service", Size: recent, Timeout: recentFor},
		)
	}
	for _, s := range in.Senders {
		for _, f := range families {
			sets = append(sets, slices.DeleteFunc(in.endpoints(f, "exported", s.Cluster), func(s firewall.Set) bool { return s.Keys.Len() == 0 })...)
		}
	}
	return sets
}

// endpoints are the set of that name of the family, and the one of the endpoints of which all ports
// count.
func (in Input) endpoints(f family, name string, cluster v1alpha1.ClusterID) []firewall.Set {
	ports, hosts := f.set(name, cluster), f.set(name+"-hosts", cluster)
	return []firewall.Set{
		{Name: ports, Type: f.address + " . inet_proto . inet_service", Keys: in.Endpoints[ports]},
		{Name: hosts, Type: f.address, Keys: in.Endpoints[hosts]},
	}
}

// builder makes the chains.
type builder struct {
	in Input
	// own and senders are the prefixes by family.
	own, senders [2][]netip.Prefix
}

// chains are those to which others go first.
func (b builder) chains() []firewall.Chain {
	all := make([]firewall.Chain, 0, len(reasons)+5)
	for _, r := range reasons {
		all = append(all, firewall.Chain{Name: chainOf(r), Rules: b.dropRules(r)})
	}
	all = append(all, firewall.Chain{Name: chainOf(Source), Rules: []string{"counter name " + quote(CounterName("", Source)) + " drop"}})
	for _, f := range families {
		all = append(all, firewall.Chain{Name: f.errors, Rules: b.icmpRules(f)}, firewall.Chain{Name: "admit" + f.suffix, Rules: b.rules(f)})
	}
	return append(all, firewall.Chain{Name: "prerouting", Type: "filter", Hook: "prerouting", Priority: priority, Rules: []string{
		// The rule that looks at connections makes the kernel put fragments together before this hook
		// (nf_defrag_ipv4, at -400): only the first has ports.
		`iifname "lo" ct state established return`,
		`iifname != "` + prefix + `*" return`,
		// What nodes of this cluster send each other.
		fmt.Sprintf("iifname { %q, %q } return", vxlan.Name, vxlan.HandoverName),
		"meta nfproto ipv4 goto admit4",
		"meta nfproto ipv6 goto admit6",
		"drop",
	}})
}

// prefix is what the names of the tunnels' devices begin with.
const prefix = "tombolo"

// rules decide about the packets of a family.
func (b builder) rules(f family) []string {
	own, senders := b.own[f.index], b.senders[f.index]
	if len(senders) == 0 {
		return []string{"goto " + chainOf(Source)}
	}
	rules := []string{
		f.name + " saddr != " + nft.Set(senders) + " goto " + chainOf(Source),
		"meta l4proto " + f.icmp + " goto " + f.errors,
		f.name + " daddr . meta l4proto . th dport @exported" + f.suffix + " accept",
		f.name + " daddr @exported-hosts" + f.suffix + " accept",
	}
	for _, s := range b.in.Senders {
		rules = append(rules, b.senderRules(f, s)...)
	}
	for _, a := range b.in.Tunnel {
		if a.Is4() == f.is4 && b.in.Probes != 0 {
			rules = append(rules, fmt.Sprintf("%s daddr %s udp sport %d udp dport %d accept", f.name, a, b.in.Probes, b.in.Probes))
		}
	}
	if len(own) == 0 {
		return append(rules, "goto "+chainOf(Foreign))
	}
	rules = append(rules,
		f.name+" daddr != "+nft.Set(own)+" goto "+chainOf(Foreign),
		f.name+" daddr @nodes"+f.suffix+" goto "+chainOf(Unexported),
		// What opens a connection answers nothing: a SYN without ACK, and SCTP's chunk INIT, which is
		// alone in its packet (RFC 9260, section 3.2.1).
		"tcp flags & (syn | ack) == syn goto "+chainOf(Unexported),
		"meta l4proto 132 @th,96,8 1 goto "+chainOf(Unexported),
	)
	return append(rules,
		"meta l4proto { 6, 17, 132 } "+f.name+" saddr . meta l4proto . th sport @imported"+f.suffix+" accept",
		"meta l4proto { 6, 17, 132 } "+f.name+" saddr @imported-hosts"+f.suffix+" accept",
		"goto "+chainOf(Unexported),
	)
}

// senderRules admit what the sender may reach, and not all others.
func (b builder) senderRules(f family, s Sender) (rules []string) {
	prefixes := f.of(s.Prefixes)
	if len(prefixes) == 0 {
		return nil
	}
	from := f.name + " saddr " + nft.Set(prefixes) + " "
	if ports := f.set("exported", s.Cluster); b.in.Endpoints[ports].Len() > 0 {
		rules = append(rules, from+f.name+" daddr . meta l4proto . th dport @"+ports+" accept")
	}
	if hosts := f.set("exported-hosts", s.Cluster); b.in.Endpoints[hosts].Len() > 0 {
		rules = append(rules, from+f.name+" daddr @"+hosts+" accept")
	}
	return rules
}

// icmpRules admit errors about packets that this cluster has sent, whose source is the destination of
// the error, and echoes. Types are given by number.
func (b builder) icmpRules(f family) []string {
	own := b.own[f.index]
	if len(own) == 0 {
		return []string{"goto " + chainOf(Foreign)}
	}
	rules := []string{f.name + " daddr != " + nft.Set(own) + " goto " + chainOf(Foreign)}
	for _, p := range own {
		rules = append(rules, f.kind+" type "+f.errorTypes+" "+f.innerSource(p)+" accept")
	}
	return append(rules,
		f.kind+" type "+f.echo+" "+echoes+" accept",
		f.kind+" type "+f.echo+" goto "+chainOf(TooMany),
		"goto "+chainOf(Unexported))
}

// dropRules count for each member, and keep an example.
func (b builder) dropRules(r Reason) []string {
	var rules []string
	for _, f := range families {
		if len(b.senders[f.index]) == 0 {
			continue
		}
		// The key of an example ends with zero if the packet has no port.
		rules = append(rules,
			"meta l4proto { 6, 17, 132 } "+examples+" add @recent"+f.suffix+" { "+f.name+" saddr . "+f.name+" daddr . meta l4proto . th dport }",
			"counter name "+f.name+" saddr map { "+strings.Join(b.counterOf(f, r), ", ")+" }")
	}
	return append(rules, "drop")
}

// counterOf maps each prefix of a member to its counter.
func (b builder) counterOf(f family, r Reason) (pairs []string) {
	for _, s := range b.in.Senders {
		for _, p := range f.of(s.Prefixes) {
			pairs = append(pairs, p.String()+" : "+quote(CounterName(s.Cluster, r)))
		}
	}
	slices.Sort(pairs)
	return pairs
}

// counters are the names of all counters.
func (b builder) counters() []string {
	names := []string{CounterName("", Source)}
	for _, s := range b.in.Senders {
		for _, r := range reasons {
			names = append(names, CounterName(s.Cluster, r))
		}
	}
	return names
}

// CounterName is the name of the counter of what is dropped of a cluster for a reason; the cluster is
// empty if the source belongs to none.
func CounterName(cluster v1alpha1.ClusterID, r Reason) string {
	return "dropped/" + string(cluster) + "/" + string(r)
}

// ParseCounterName is what CounterName was called with; false if name is no such name.
func ParseCounterName(name string) (cluster v1alpha1.ClusterID, r Reason, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 3 || parts[0] != "dropped" {
		return "", "", false
	}
	return v1alpha1.ClusterID(parts[1]), Reason(parts[2]), true
}

func chainOf(r Reason) string { return "drop-" + string(r) }

func quote(s string) string { return `"` + s + `"` }
