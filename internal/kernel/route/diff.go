package route

import "slices"

// Change is what turns one Config into another. Every list is sorted. The zero value changes
// nothing.
type Change struct {
	// SetRoutes are the routes to add, or to put in the place of the one with their Key.
	SetRoutes    []Route
	DeleteRoutes []Route
	AddRules     []Rule
	DeleteRules  []Rule
}

// Size is how many requests to the kernel the Change is.
func (c Change) Size() int {
	return len(c.SetRoutes) + len(c.DeleteRoutes) + len(c.AddRules) + len(c.DeleteRules)
}

// Empty reports whether there is nothing to do.
func (c Change) Empty() bool { return c.Size() == 0 }

// Diff is what turns have into want. It only reads its arguments.
func Diff(have, want Config) Change {
	var change Change
	change.SetRoutes, change.DeleteRoutes = diffRoutes(have.Routes, want.Routes)
	change.AddRules, change.DeleteRules = diffRules(have.Rules, want.Rules)
	return change
}

// diffRoutes returns the wanted routes that are missing or differ, and those that must be deleted.
// The kernel may have several IPv4 routes with one Key, if another program appended them: all but
// one must go.
func diffRoutes(have, want []Route) (set, gone []Route) {
	wanted := make(map[Key]Route, len(want))
	for _, w := range want {
		wanted[w.Key] = w
	}
	kept := make(map[Key]bool, len(want))
	var others []Route
	for _, h := range have {
		if w, ok := wanted[h.Key]; ok && !kept[h.Key] && w.Equal(h) {
			kept[h.Key] = true
		} else {
			others = append(others, h)
		}
	}
	for _, w := range want {
		if !kept[w.Key] {
			set = append(set, w)
		}
	}
	replaced := make(map[Key]bool, len(others))
	for _, h := range others {
		if _, ok := wanted[h.Key]; ok && !kept[h.Key] && !replaced[h.Key] {
			replaced[h.Key] = true // the wanted one takes its place
			continue
		}
		gone = append(gone, h)
	}
	byKey := func(a, b Route) int { return a.Compare(b.Key) }
	slices.SortFunc(set, byKey)
	slices.SortFunc(gone, byKey)
	return set, gone
}

// diffRules returns the wanted rules that are missing, and those to delete. A rule that is there
// twice goes once.
func diffRules(have, want []Rule) (add, gone []Rule) {
	wanted := make(map[Rule]bool, len(want))
	for _, w := range want {
		wanted[w] = true
	}
	kept := make(map[Rule]bool, len(have))
	for _, h := range have {
		if wanted[h] && !kept[h] {
			kept[h] = true
		} else {
			gone = append(gone, h)
		}
	}
	for _, w := range want {
		if !kept[w] {
			add = append(add, w)
		}
	}
	slices.SortFunc(add, Rule.Compare)
	slices.SortFunc(gone, Rule.Compare)
	return add, gone
}
