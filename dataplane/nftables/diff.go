package nftables

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// State is what the kernel has. The zero State: there is no table.
type State struct {
	// Maps are the table's maps by their names, in words; nil if there is no table.
	Maps map[string]string
	// Chains are digests of the table's chains by their names.
	Chains map[string]string
	// Services by their keys.
	Services map[Key]Layout
	// Affinity is which endpoint each client last got.
	Affinity map[Client]netip.AddrPort
}

// Client is one address that uses one service.
type Client struct {
	Address netip.Addr
	Key     Key
}

// Change is what turns a State into what a Config asks for. The zero Change changes nothing.
type Change struct {
	// Delete deletes the table.
	Delete bool
	// Replace makes the table again, with all of its elements, in one transaction: the one that is
	// there is of an older version of tombolo, or another's.
	Replace bool
	// Create makes the table, as there is none. What it serves follows in transactions of their own.
	Create bool
	// Counters is how Replace and Create make the maps.
	Counters bool
	// Chains are written again.
	Chains []string
	// Services that differ, sorted by their keys.
	Services []ServiceChange
	// Forget are clients that are no longer sent where they went before.
	Forget []Client
	// DeleteChains that nothing leads to any more.
	DeleteChains []string
}

// ServiceChange is how one service changes. A zero Layout stands for a service that is not there.
type ServiceChange struct {
	Key        Key
	Have, Want Layout
}

// Size is how many chains and elements are written.
func (c Change) Size() int {
	n := len(c.Chains) + len(c.Forget) + len(c.DeleteChains)
	if c.Delete || c.Replace || c.Create {
		n++
	}
	for _, s := range c.Services {
		n += s.size()
	}
	return n
}

// Empty reports whether there is nothing to do.
func (c Change) Empty() bool {
	return !c.Delete && !c.Replace && !c.Create && len(c.Chains)+len(c.Services)+len(c.Forget)+len(c.DeleteChains) == 0
}

func (s ServiceChange) size() (n int) {
	for range s.elements() {
		n++
	}
	return n
}

// Diff is what turns have into want. It reads its arguments only.
func Diff(have State, want Config) Change {
	switch {
	case want.empty() && have.Maps == nil:
		return Change{}
	case want.empty():
		return Change{Delete: true}
	}
	return diff(have, want, want.layouts())
}

func (c Config) layouts() map[Key]Layout {
	layouts := make(map[Key]Layout, len(c.Services))
	for key, service := range c.Services {
		layouts[key] = service.layout(key)
	}
	return layouts
}

// diff is Diff for a Config that is not empty and has those layouts.
func diff(have State, want Config, layouts map[Key]Layout) Change {
	change := Change{Counters: want.Counters}
	switch {
	case have.Maps == nil:
		have = State{}
		change.Create = true
	case !maps.Equal(have.Maps, wantedMaps(want.Counters)):
		have = State{}
		change.Replace = true
	}
	change.Services = diffServices(have.Services, layouts)
	change.Chains, change.DeleteChains = diffChains(have.Chains, layouts)
	change.Forget = stale(have.Affinity, layouts)
	return change
}

func diffServices(have, want map[Key]Layout) (changes []ServiceChange) {
	for key, layout := range want {
		if old := have[key]; !old.equal(layout) {
			changes = append(changes, ServiceChange{key, old, layout})
		}
	}
	for key, old := range have {
		if _, wanted := want[key]; !wanted {
			changes = append(changes, ServiceChange{Key: key, Have: old})
		}
	}
	slices.SortFunc(changes, func(a, b ServiceChange) int { return a.Key.Compare(b.Key) })
	return changes
}

// needed are the names of the chains for those services.
func needed(layouts map[Key]Layout) map[string]bool {
	names := map[string]bool{}
	for _, name := range fixedChains {
		names[name] = true
	}
	for _, layout := range layouts {
		for _, name := range layout.chains() {
			names[name] = true
		}
	}
	return names
}

func diffChains(have map[string]string, layouts map[Key]Layout) (write, drop []string) {
	names := needed(layouts)
	for name := range names {
		if digest, ok := wantedDigest(name); ok && have[name] != digest {
			write = append(write, name)
		}
	}
	for name := range have {
		if !names[name] {
			drop = append(drop, name)
		}
	}
	slices.Sort(write)
	slices.Sort(drop)
	return write, drop
}

// stale are the clients whose service is gone, or no longer offers the endpoint that they would
// get.
func stale(affinity map[Client]netip.AddrPort, layouts map[Key]Layout) (forget []Client) {
	for client, endpoint := range affinity {
		if layout := layouts[client.Key]; layout.Remember == "" || !layout.offers(endpoint) {
			forget = append(forget, client)
		}
	}
	slices.SortFunc(forget, Client.Compare)
	return forget
}

// Compare orders clients by service, then by address.
func (c Client) Compare(other Client) int {
	if n := c.Key.Compare(other.Key); n != 0 {
		return n
	}
	return c.Address.Compare(other.Address)
}

func wantedMaps(counters bool) map[string]string {
	shapes := map[string]string{}
	for _, m := range mappings(counters) {
		shapes[m.name] = m.shape().String()
	}
	return shapes
}

// comment is what a rule carries, to see whether it is still the same rule: the kernel has no rules
// in words.
func comment(rule string) string {
	sum := sha256.Sum256([]byte(rule))
	return hex.EncodeToString(sum[:6])
}

// digest of a chain with those comments of its rules.
func digest(kind, hook string, priority int, comments []string) string {
	sum := sha256.Sum256([]byte(fmt.Sprintf("%s %s %d %q", kind, hook, priority, comments)))
	return hex.EncodeToString(sum[:8])
}

// wantedDigest is the digest that the chain should have; false if there is no chain of that name.
func wantedDigest(name string) (string, bool) {
	c, ok := chainFor(name)
	if !ok {
		return "", false
	}
	comments := make([]string, 0, len(c.rules))
	for _, rule := range c.rules {
		comments = append(comments, comment(rule))
	}
	return digest(c.kind, c.hook, c.priority, comments), true
}
