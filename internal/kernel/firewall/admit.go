package firewall

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Admission is whether a rule of ours in the filter table of iptables admits a passage.
type Admission uint8

const (
	// AdmitNever leaves iptables alone.
	AdmitNever Admission = iota
	// AdmitFirst admits its packets before all other rules.
	AdmitFirst
	// AdmitLast admits those that no other rule has decided about, before the chain's policy.
	AdmitLast
)

// accept is one rule of iptables that admits packets.
type accept struct {
	family  family
	chain   string
	in, out string
	// port of UDP; zero: any packet.
	port uint16
	// source and destination are not valid if any is meant.
	source, destination netip.Prefix
	last                bool
}

// accepts are the rules that admit the Config's passages, in both families.
func (c Config) accepts() (all []accept) {
	for _, p := range c.Passages {
		if p.Admit == AdmitNever {
			continue
		}
		ports := p.Ports
		if len(ports) == 0 {
			ports = []uint16{0}
		}
		for _, f := range families {
			a := accept{family: f, chain: strings.ToUpper(p.Hook), in: p.In, out: p.Out, last: p.Admit == AdmitLast}
			for _, a.port = range ports {
				for _, a.source = range f.orAny(p.From) {
					for _, a.destination = range f.orAny(p.Destinations) {
						all = append(all, a)
					}
				}
			}
		}
	}
	return all
}

// orAny are the prefixes of the family, or one that is not valid if there are no prefixes at all.
func (f family) orAny(prefixes []netip.Prefix) []netip.Prefix {
	if len(prefixes) == 0 {
		return []netip.Prefix{{}}
	}
	return f.of(prefixes)
}

// iptables is the rule in the words of iptables, after -A or -I.
func (a accept) iptables() string {
	p := Passage{Hook: a.chain, In: a.in, Out: a.out}
	if a.port != 0 {
		p.Ports = []uint16{a.port}
	}
	if a.source.IsValid() {
		p.From = []netip.Prefix{a.source}
	}
	if a.destination.IsValid() {
		p.Destinations = []netip.Prefix{a.destination}
	}
	return p.iptables()
}

// comment says whose rule it is, and changes with each word of it.
func (a accept) comment(table string) string { return table + " " + comment(a.iptables()) }

// place is a chain of iptables: a family and the chain's name in its table filter.
type place struct {
	family family
	chain  string
}

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.family.nft, o.family.nft), cmp.Compare(p.chain, o.chain))
}

// admitted is a rule of ours in such a chain.
type admitted struct {
	comment string
	// handle is the kernel's number of it.
	handle uint64
}

// admission turns the rules of ours in one chain into what they should be.
type admission struct {
	place place
	add   []accept
	gone  []admitted
}

// diffAccepts compares the rules of ours, by the chains that there are, with what they should be.
// Where there is no such chain nothing is wanted. A rule that is there twice goes once.
func diffAccepts(have map[place][]admitted, want []accept, table string) (changes []admission) {
	for p, rules := range have {
		change := admission{place: p}
		missing := map[string]accept{}
		for _, a := range want {
			if a.family == p.family && a.chain == p.chain {
				missing[a.comment(table)] = a
			}
		}
		for _, rule := range rules {
			if _, wanted := missing[rule.comment]; wanted {
				delete(missing, rule.comment)
			} else {
				change.gone = append(change.gone, rule)
			}
		}
		for _, a := range missing {
			change.add = append(change.add, a)
		}
		slices.SortFunc(change.add, func(x, y accept) int { return cmp.Compare(x.iptables(), y.iptables()) })
		if len(change.add)+len(change.gone) > 0 {
			changes = append(changes, change)
		}
	}
	slices.SortFunc(changes, func(x, y admission) int { return x.place.compare(y.place) })
	return changes
}
