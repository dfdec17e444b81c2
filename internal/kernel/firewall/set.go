package firewall

import (
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/knftables"
)

// Set is a named set of a table.
type Set struct {
	Name string // required
	// Type is as nft names it, such as "ipv4_addr . inet_proto . inet_service".
	Type string // required
	Keys Keys
	// Size is how many elements rules may add to the set, each of which goes after Timeout. Zero: only
	// Keys are in it.
	Size    uint64
	Timeout time.Duration
}

// object is the set as nft makes it.
func (s Set) object() *knftables.Set {
	o := &knftables.Set{Name: s.Name, Type: s.Type}
	if s.Size > 0 {
		o.Flags = []knftables.SetFlag{knftables.DynamicFlag, knftables.TimeoutFlag}
		o.Size, o.Timeout = &s.Size, &s.Timeout
	}
	return o
}

// SetChange is what turns the elements of a set into what they should be.
type SetChange struct {
	Set string
	// Add and Delete are keys, sorted.
	Add, Delete []string
}

// keySize is how many bytes a key has, as the kernel counts them.
func (s Set) keySize() (size int) {
	for _, part := range strings.Split(s.Type, " . ") {
		if part == "ipv6_addr" {
			size += 16
		} else {
			size += 4
		}
	}
	return size
}

func keySizes(sets []Set) map[string]int {
	sizes := make(map[string]int, len(sets))
	for _, s := range sets {
		sizes[s.Name] = s.keySize()
	}
	return sizes
}

// sameSets tells whether both lists are the same and hold the same keys.
func sameSets(a, b []Set) bool {
	return slices.EqualFunc(a, b, func(a, b Set) bool { return a.Name == b.Name && a.Keys.Equal(b.Keys) })
}

// diffSets is what differs in sets that no rule fills. A set that is not there has no elements.
func diffSets(have map[string]Keys, want []Set) []SetChange {
	var changes []SetChange
	for _, s := range want {
		if s.Size > 0 {
			continue
		}
		change := SetChange{Set: s.Name, Add: s.Keys.missingIn(have[s.Name]), Delete: have[s.Name].missingIn(s.Keys)}
		if len(change.Add)+len(change.Delete) > 0 {
			changes = append(changes, change)
		}
	}
	return changes
}

// elements are the Change's additions to sets, and its deletions.
func (c Change) elements() (add, gone []SetChange) {
	for _, s := range c.Elements {
		add, gone = append(add, SetChange{Set: s.Set, Add: s.Add}), append(gone, SetChange{Set: s.Set, Delete: s.Delete})
	}
	return add, gone
}
