package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Passage is a kind of packet that must pass one hook of this node. Others' chains in that hook may
// drop it. Two counters, in the first and in the last chain of the hook, show whether they do.
type Passage struct {
	// Name of the counters, before their suffixes.
	Name string // required
	// What it is, in the words of a condition.
	What string // required
	// Hook is "forward" or "input".
	Hook string // required
	// In and Out are what the names of the devices begin with.
	In, Out string // optional, default any
	// Ports are the destination ports of UDP.
	Ports []uint16 // optional, default any packet
	// Destinations of one or both families.
	Destinations []netip.Prefix // optional, default any
	// Senders are the addresses from which it comes. They are elements of sets, since nodes come and go.
	Senders []netip.Addr // optional, default any
	// Until is the priority of the last chain that it must pass.
	Until int // optional, default after all others
	// Admit says whether we admit it in iptables, and From the sources from which.
	Admit Admission      // optional, default AdmitNever
	From  []netip.Prefix // optional, default any
	// Policies says that a NetworkPolicy may drop it, too.
	Policies bool // optional
}

// Priorities of the chains that count. No chain of another program that we know of comes before the
// first or after the last.
const (
	first = -1000
	last  = 1000
)

func (p Passage) until() int {
	if p.Until == 0 {
		return last
	}
	return p.Until
}

// counters are the names of its counters: what comes in, and what is left.
func (p Passage) counters() (in, out string) { return p.Name + "-in", p.Name + "-out" }

// matches select its packets, as nft reads them: one for each family that it names.
func (p Passage) matches() []string {
	var words []string
	if p.In != "" {
		words = append(words, fmt.Sprintf("iifname %q", p.In+"*"))
	}
	if p.Out != "" {
		words = append(words, fmt.Sprintf("oifname %q", p.Out+"*"))
	}
	if len(p.Ports) > 0 {
		// The protocol by its number: its name is in /etc/protocols, which an image need not have.
		words = append(words, "meta l4proto 17 th dport "+set(p.Ports))
	}
	if len(p.Destinations) == 0 {
		return []string{strings.Join(words, " ")}
	}
	var matches []string
	for _, f := range families {
		if of := f.of(p.Destinations); len(of) > 0 {
			matches = append(matches, strings.Join(append(slices.Clone(words), f.nft+" daddr "+set(of)), " "))
		}
	}
	return matches
}

// counted select the packets that count: those of the senders, if they are known.
func (p Passage) counted() (matches []string) {
	if len(p.Senders) == 0 {
		return p.matches()
	}
	for _, match := range p.matches() {
		for _, f := range families {
			matches = append(matches, match+" "+f.nft+" saddr @"+p.sendersOf(f).Name)
		}
	}
	return matches
}

// sendersOf is the set of the senders of a family.
func (p Passage) sendersOf(f family) Set {
	var keys []string
	for _, a := range p.Senders {
		if a.Is4() == f.is4 {
			keys = append(keys, string(a.AsSlice()))
		}
	}
	return Set{Name: p.Name + "-senders-" + f.nft, Type: f.address, Keys: KeysOf(keys)}
}

// set is the items in braces, or the only one.
func set[T any](items []T) string {
	var texts []string
	for _, item := range items {
		texts = append(texts, fmt.Sprint(item))
	}
	if len(texts) == 1 {
		return texts[0]
	}
	return "{ " + strings.Join(texts, ", ") + " }"
}

// family is an address family, as the programs name it.
type family struct {
	nft, iptables, address string
	is4                    bool
}

var families = [...]family{{"ip", "iptables", "ipv4_addr", true}, {"ip6", "ip6tables", "ipv6_addr", false}}

func (f family) of(prefixes []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool { return p.Addr().Is4() != f.is4 })
}

// meters are the counters of the passages, the sets of their senders, and the chains that count.
func meters(passages []Passage) (counters []string, sets []Set, chains []Chain) {
	count := func(p Passage, chain, counter string, priority int) {
		counters = append(counters, counter)
		i := slices.IndexFunc(chains, func(c Chain) bool { return c.Name == chain })
		if i < 0 {
			i = len(chains)
			chains = append(chains, Chain{Name: chain, Type: "filter", Hook: p.Hook, Priority: priority})
		}
		for _, match := range p.counted() {
			chains[i].Rules = append(chains[i].Rules, fmt.Sprintf("%s counter name %q", match, counter))
		}
	}
	for _, p := range passages {
		for _, f := range families {
			if len(p.Senders) > 0 {
				sets = append(sets, p.sendersOf(f))
			}
		}
		in, out := p.counters()
		count(p, p.Hook+"-first", in, first)
		count(p, fmt.Sprintf("%s-until-%d", p.Hook, p.until()), out, p.until())
	}
	return counters, sets, chains
}

// iptables is the rule that admits its packets, in the words of iptables, after -I.
func (p Passage) iptables() string {
	words := []string{strings.ToUpper(p.Hook)}
	if p.In != "" {
		words = append(words, "-i "+p.In+"+")
	}
	if p.Out != "" {
		words = append(words, "-o "+p.Out+"+")
	}
	if len(p.Ports) > 0 {
		var ports []string
		for _, port := range p.Ports {
			ports = append(ports, fmt.Sprint(port))
		}
		match := "-m udp --dport "
		if len(ports) > 1 {
			match = "-m multiport --dports "
		}
		words = append(words, "-p udp "+match+strings.Join(ports, ","))
	}
	if len(p.From) > 0 {
		words = append(words, "-s "+p.From[0].String())
	}
	if len(p.Destinations) > 0 {
		words = append(words, "-d "+p.Destinations[0].String())
	}
	return strings.Join(append(words, "-j ACCEPT"), " ")
}
