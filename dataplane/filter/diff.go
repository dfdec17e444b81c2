package filter

import (
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// Change is what turns a State into what a Config asks for.
type Change struct {
	// Replace deletes the table and makes it again, with all of its elements, in one transaction.
	Replace bool
	// Fresh is true if there is no table to be replaced.
	Fresh bool
	// Want is what Replace makes.
	Want Config

	AddServed, DeleteServed   []serviceport.Key
	AddHairpin, DeleteHairpin []netip.Addr
}

// Size is how many objects are written.
func (c Change) Size() int {
	n := len(c.AddServed) + len(c.DeleteServed) + len(c.AddHairpin) + len(c.DeleteHairpin)
	if c.Replace {
		n += 1 + len(c.Want.Served) + len(c.Want.Hairpin)
	}
	return n
}

// Empty reports whether there is nothing to do.
func (c Change) Empty() bool { return c.Size() == 0 }

// Diff is what turns have into want: elements alone where only they differ. It reads its arguments
// only.
func Diff(have State, want Config) Change {
	if have.Digest != want.wantedDigest() {
		return Change{Replace: true, Fresh: have.Digest == "", Want: want}
	}
	if want.empty() {
		return Change{}
	}
	var change Change
	change.AddServed, change.DeleteServed = difference(have.Served, want.Served, serviceport.Key.Compare)
	change.AddHairpin, change.DeleteHairpin = difference(have.Hairpin, want.Hairpin, netip.Addr.Compare)
	return change
}

// difference is sorted and without duplicates.
func difference[T comparable](have, want []T, compare func(T, T) int) (add, gone []T) {
	return without(want, have, compare), without(have, want, compare)
}

func without[T comparable](items, others []T, compare func(T, T) int) (rest []T) {
	others = unique(others, compare)
	for _, item := range unique(items, compare) {
		for len(others) > 0 && compare(others[0], item) < 0 {
			others = others[1:]
		}
		if len(others) == 0 || others[0] != item {
			rest = append(rest, item)
		}
	}
	return rest
}

// unique is sorted and without duplicates: the items themselves, if they are so already.
func unique[T comparable](items []T, compare func(T, T) int) []T {
	sorted := true
	for i := 1; i < len(items) && sorted; i++ {
		sorted = compare(items[i-1], items[i]) < 0
	}
	if sorted {
		return items
	}
	items = slices.Clone(items)
	slices.SortFunc(items, compare)
	return slices.Compact(items)
}
