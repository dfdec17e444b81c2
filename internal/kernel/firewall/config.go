package firewall

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Names of the agents' tables, of the family inet.
const (
	// GatewayTable is the gateway agent's.
	GatewayTable = "tombolo-gateway"
	// IngressTable is the gateway agent's, for what comes from other clusters.
	IngressTable = "tombolo-ingress"
	// NodeTable is the dataplane agent's, for what must pass the node's own firewall.
	NodeTable = "tombolo-node"
	// FilterTable is the dataplane agent's, for clusterset IPs, sources and the VXLAN.
	FilterTable = "tombolo"
)

// Config is what a table should hold. The zero Config stands for no table.
type Config struct {
	// Counters are the names of the table's counters.
	Counters []string
	Sets     []Set
	Chains   []Chain
	// Passages are counted, in chains and counters beside the others.
	Passages []Passage
}

// whole is the Config with the chains, sets and counters of its passages.
func (c Config) whole() Config {
	counters, sets, chains := meters(c.Passages)
	return Config{Counters: slices.Concat(c.Counters, counters), Sets: slices.Concat(c.Sets, sets), Chains: slices.Concat(c.Chains, chains)}
}

// Chain is a base chain, or one that others jump to if it has no hook. A chain comes before those
// that jump to it.
type Chain struct {
	Name string
	// Type and Hook are as nft names them, such as "filter" and "forward".
	Type, Hook string
	// Priority says when the chain runs in its hook: the lowest first.
	Priority int
	// Rules are as nft reads them.
	Rules []string
}

// empty reports whether no table is needed.
func (c Config) empty() bool { return len(c.Counters)+len(c.Sets)+len(c.Chains)+len(c.Passages) == 0 }

// State is what the kernel has.
type State struct {
	// Digest of the table, without the elements of its sets. It is empty if there is no table.
	Digest string
	// Elements of its sets that no rule fills, by the sets' names.
	Elements map[string]Keys
	// found is what the digest was made of, without rules.
	found contents
	// admitted are the rules of ours in each chain of iptables that is there.
	admitted map[place][]admitted
}

// Change is what turns a State into what a Config asks for.
type Change struct {
	// Replace says that the table's chains are made again, without a moment in which it does nothing.
	Replace bool
	// Want is what Replace makes. The zero Config only deletes.
	Want Config
	// Elements are changes of sets.
	Elements []SetChange
	// have is the table that Replace replaces.
	have State
	// admissions change the rules of ours in iptables.
	admissions []admission
}

// Empty reports whether there is nothing to do.
func (c Change) Empty() bool { return c.Size() == 0 }

// Size is how many things are written: elements, rules in iptables, and one if the table is made
// again.
func (c Change) Size() (n int) {
	if c.Replace {
		n++
	}
	for _, s := range c.Elements {
		n += len(s.Add) + len(s.Delete)
	}
	for _, a := range c.admissions {
		n += len(a.add) + len(a.gone)
	}
	return n
}

// Diff is what turns have into want, of the table with that name.
func Diff(name string, have State, want Config) Change {
	return Change{
		Replace: have.Digest != want.Digest(), Want: want, have: have, Elements: diffSets(have.Elements, want.whole().Sets),
		admissions: diffAccepts(have.admitted, want.accepts(), name),
	}
}

// Digest is the one that a table for the Config has; empty if there is none.
func (c Config) Digest() string {
	if c.empty() {
		return ""
	}
	c = c.whole()
	found := contents{counters: c.Counters, sets: keySizes(c.Sets)}
	for _, wanted := range c.Chains {
		chain := wanted
		chain.Rules = nil
		for _, rule := range wanted.Rules {
			chain.Rules = append(chain.Rules, comment(rule))
		}
		found.chains = append(found.chains, chain)
	}
	return found.digest()
}

// state is what Read returns of a table for the Config, our rules in iptables aside.
func (c Config) state() *State {
	state := &State{Digest: c.Digest(), Elements: map[string]Keys{}}
	if c.empty() {
		return state
	}
	c = c.whole()
	state.found = contents{counters: c.Counters, sets: keySizes(c.Sets), chains: c.Chains}
	for _, s := range c.Sets {
		if s.Size == 0 {
			state.Elements[s.Name] = s.Keys
		}
	}
	return state
}

// comment is what a rule carries, to see whether it is still the same rule. The kernel keeps rules
// in a form of its own.
func comment(rule string) string {
	sum := sha256.Sum256([]byte(rule))
	return hex.EncodeToString(sum[:6])
}

// contents are what is in a table, with the comment of each rule in the place of the rule.
type contents struct {
	counters []string
	// sets are the sizes of the keys in bytes, by the sets' names.
	sets   map[string]int
	chains []Chain
}

// digest does not depend on the order of the counters, sets and chains.
func (c contents) digest() string {
	var lines []string
	for _, name := range c.counters {
		lines = append(lines, "counter "+name)
	}
	for name, size := range c.sets {
		lines = append(lines, fmt.Sprintf("set %s %d", name, size))
	}
	for _, chain := range c.chains {
		lines = append(lines, fmt.Sprintf("chain %s %s %s %d: %s", chain.Name, chain.Type, chain.Hook, chain.Priority, strings.Join(chain.Rules, " ")))
	}
	slices.SortFunc(lines, cmp.Compare)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}
