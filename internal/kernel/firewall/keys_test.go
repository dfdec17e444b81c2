package firewall

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// numbered are keys with such numbers.
func numbered(numbers ...int) (all []string) {
	for _, n := range numbers {
		all = append(all, fmt.Sprintf("%05d", n))
	}
	return all
}

// check compares Keys with a list of the same, and looks at their pages.
func check(t *testing.T, got Keys, want []string) {
	t.Helper()
	if have := slices.Collect(got.All()); !slices.Equal(have, want) || got.Len() != len(want) {
		t.Fatalf("the keys are %q (%d), want %q (%d)", have, got.Len(), want, len(want))
	}
	for _, page := range got.pages {
		if len(page) == 0 || len(page) > pageSize {
			t.Fatalf("a page has %d keys", len(page))
		}
	}
	if fewest := 2*got.Len()/(pageSize/2) + 1; len(got.pages) > fewest {
		t.Fatalf("%d keys have %d pages, want at most %d", got.Len(), len(got.pages), fewest)
	}
}

func TestKeysOf(t *testing.T) {
	check(t, KeysOf(nil), nil)
	check(t, KeysOf(numbered(3, 1, 2, 3, 1)), numbered(1, 2, 3))
	var zero Keys
	check(t, zero.With(nil, numbered(1)), nil)
	check(t, zero.With(numbered(1, 2), numbered(2, 3)), numbered(1, 2))
}

// FuzzKeys: Keys that were made of others are as if they had been made of a list, differ from them by
// what was added and what has gone, and leave them as they were.
func FuzzKeys(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint16(pageSize*seed), uint16(1<<(2*seed)))
	}
	f.Fuzz(func(t *testing.T, seed uint64, first, most uint16) {
		random := rand.New(rand.NewPCG(seed, 0))
		some := func(n int) (all []string) {
			all = numbered(random.Perm(8 * pageSize)[:min(n, 8*pageSize)]...)
			slices.Sort(all)
			return all
		}
		list := some(int(first))
		keys := KeysOf(slices.Clone(list))
		for range 8 {
			add, gone := some(random.IntN(int(most)+1)), some(random.IntN(int(most)+1))
			want := slices.Sorted(maps.Keys(with(list, add, gone)))
			changed := keys.With(add, gone)
			check(t, changed, want)
			check(t, keys, list)
			if got := changed.missingIn(keys); !slices.Equal(got, missing(want, list)) {
				t.Fatalf("%q were added, want %q", got, missing(want, list))
			}
			if got := keys.missingIn(changed); !slices.Equal(got, missing(list, want)) {
				t.Fatalf("%q have gone, want %q", got, missing(list, want))
			}
			if changed.Equal(keys) != slices.Equal(want, list) || !changed.Equal(KeysOf(slices.Clone(want))) {
				t.Fatal("Equal is wrong")
			}
			keys, list = changed, want
		}
	})
}

func with(list, add, gone []string) map[string]bool {
	all := map[string]bool{}
	for _, key := range list {
		all[key] = true
	}
	for _, key := range gone {
		delete(all, key)
	}
	for _, key := range add {
		all[key] = true
	}
	return all
}

// Keys share all pages that do not change.
func TestKeysShare(t *testing.T) {
	all := make([]int, 100*pageSize)
	for i := range all {
		all[i] = i
	}
	before := KeysOf(numbered(all...))
	after := before.With(numbered(200_000), numbered(7))
	shared := 0
	for _, page := range after.pages {
		if slices.ContainsFunc(before.pages, func(p []string) bool { return &p[0] == &page[0] }) {
			shared++
		}
	}
	if shared < len(before.pages)-2 {
		t.Errorf("%d of %d pages are shared", shared, len(before.pages))
	}
}

// FuzzElements: after any series of changes the sets are what all owners want, whichever way and
// however often they were looked at.
func FuzzElements(f *testing.F) {
	f.Add([]byte("abcabdabe"), uint8(3))
	f.Add([]byte("\x00\x11\x22\x33\x44\x00\x11\x22"), uint8(1))
	f.Fuzz(func(t *testing.T, changes []byte, look uint8) {
		var elements Elements[byte]
		wanted := map[byte]map[string][]string{}
		for i, c := range changes {
			owner, keys := c%5, map[string][]string{}
			for n := range int(c/5) % 7 { // some keys twice, some of two owners
				set := fmt.Sprint("set", n%2)
				keys[set] = append(keys[set], fmt.Sprint((n*int(c)+i)%11), fmt.Sprint(n/2))
			}
			differs := !equalSets(wanted[owner], keys)
			if got := elements.Put(owner, keys); got != differs {
				t.Fatalf("change %d: Put returns %t, want %t", i, got, differs)
			}
			wanted[owner] = keys
			if look > 0 && i%int(look) == 0 || i == len(changes)-1 {
				compareSets(t, elements.Sets(), wanted)
			}
		}
	})
}

func equalSets(a, b map[string][]string) bool {
	norm := func(m map[string][]string) map[string]Keys {
		sets := map[string]Keys{}
		for name, keys := range m {
			sets[name] = KeysOf(slices.Clone(keys))
		}
		return sets
	}
	return maps.EqualFunc(norm(a), norm(b), Keys.Equal)
}

func compareSets(t *testing.T, got map[string]Keys, wanted map[byte]map[string][]string) {
	t.Helper()
	want := map[string][]string{}
	for _, keys := range wanted {
		for set, all := range keys {
			want[set] = append(want[set], all...)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d sets, want %d", len(got), len(want))
	}
	for set, all := range want {
		check(t, got[set], slices.Compact(slices.Sorted(slices.Values(all))))
	}
}
