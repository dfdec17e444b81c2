package firewall

import (
	"iter"
	"slices"
	"unsafe"
)

// pageSize is how many keys a page of Keys has at most.
const pageSize = 256

// Keys are the elements of a set as the kernel keeps them in its registers, of which each part begins
// at four bytes. They are sorted, and each is there once. The zero Keys are none. Nobody changes Keys:
// With returns others. Those share with these what is the same in both, so that to compare the two
// takes as long as their difference is large.
type Keys struct {
	// pages are not empty, and all keys of one come before those of the next.
	pages [][]string
	count int
}

// KeysOf are the keys in a list, which may have them in any order and more than once. The list belongs
// to the Keys from then on.
func KeysOf(all []string) Keys {
	if !slices.IsSorted(all) {
		slices.Sort(all)
	}
	all = slices.Compact(all)
	return Keys{pages: paged(nil, all), count: len(all)}
}

// Len is how many they are.
func (k Keys) Len() int { return k.count }

// All are the keys, sorted.
func (k Keys) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, page := range k.pages {
			for _, key := range page {
				if !yield(key) {
					return
				}
			}
		}
	}
}

// Equal tells whether both are the same.
func (k Keys) Equal(other Keys) bool {
	return k.count == other.count && len(k.missingIn(other)) == 0
}

// With are the keys with those of add, and without those of gone that are not in add. Both are sorted.
func (k Keys) With(add, gone []string) Keys {
	if len(k.pages) == 0 {
		return KeysOf(add)
	}
	changed := Keys{pages: make([][]string, 0, len(k.pages)+1)}
	for i, page := range k.pages {
		var here, away []string // of add and gone: those before the next page
		if i == len(k.pages)-1 {
			here, away = add, gone
		} else {
			here, add = before(add, k.pages[i+1][0])
			away, gone = before(gone, k.pages[i+1][0])
		}
		if len(here)+len(away) > 0 {
			page = merge(missing(page, away), here)
		}
		changed.count += len(page)
		if last := len(changed.pages) - 1; last >= 0 && len(page)+len(changed.pages[last]) <= pageSize/2 {
			page = slices.Concat(changed.pages[last], page)
			changed.pages = changed.pages[:last]
		}
		changed.pages = paged(changed.pages, page)
	}
	return changed
}

// paged appends keys to the pages, in as many of the same size as are needed.
func paged(pages [][]string, keys []string) [][]string {
	if len(keys) <= pageSize {
		if len(keys) > 0 {
			pages = append(pages, keys)
		}
		return pages
	}
	number := (len(keys) + pageSize - 1) / pageSize
	return slices.AppendSeq(pages, slices.Chunk(keys, (len(keys)+number-1)/number))
}

// before splits sorted keys into those before the limit and the others.
func before(keys []string, limit string) (first, rest []string) {
	if len(keys) == 0 || keys[0] >= limit {
		return nil, keys
	}
	n, _ := slices.BinarySearch(keys, limit)
	return keys[:n], keys[n:]
}

// merge is what is in a or b. Both are sorted.
func merge(a, b []string) []string {
	all := make([]string, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0] < b[0] {
			all, a = append(all, a[0]), a[1:]
			continue
		}
		if a[0] == b[0] {
			a = a[1:]
		}
		all, b = append(all, b[0]), b[1:]
	}
	return append(append(all, a...), b...)
}

// missingIn are those of the keys that the others lack, sorted.
func (k Keys) missingIn(others Keys) []string {
	a, b := k.pages, others.pages
	var own, rest []string
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0][0] == b[0][0] && len(a[0]) == len(b[0]) && unsafe.SliceData(a[0]) == unsafe.SliceData(b[0]):
			a, b = a[1:], b[1:]
		case a[0][0] <= b[0][0]:
			own, a = append(own, a[0]...), a[1:]
		default:
			rest, b = append(rest, b[0]...), b[1:]
		}
	}
	return missing(slices.Concat(append([][]string{own}, a...)...), slices.Concat(append([][]string{rest}, b...)...))
}

// missing are those of the keys that the others lack. Both are sorted.
func missing(keys, others []string) (rest []string) {
	for _, key := range keys {
		for len(others) > 0 && others[0] < key {
			others = others[1:]
		}
		if len(others) == 0 || others[0] != key {
			rest = append(rest, key)
		}
	}
	return rest
}
