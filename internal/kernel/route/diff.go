package route

import "slices"

// Change is what turns one Config into another; every list is sorted.
type Change struct {
	// DeleteVXLAN takes the device away, with all that hangs on it, before AddVXLAN makes it anew.
	DeleteVXLAN bool
	AddVXLAN    *VXLAN
	// SetVXLAN changes the MTU of the device that is there, or sets it up.
	SetVXLAN *VXLAN

	SetNeighbours    []Neighbour
	DeleteNeighbours []Neighbour
	SetForwards      []Forward
	DeleteForwards   []Forward
	SetRoutes        []Route
	DeleteRoutes     []Route
	AddRules         []Rule
	DeleteRules      []Rule
}

// Size is how many requests to the kernel the Change is, at least.
func (c Change) Size() int {
	n := len(c.SetNeighbours) + len(c.DeleteNeighbours) + len(c.SetForwards) + len(c.DeleteForwards) +
		len(c.SetRoutes) + len(c.DeleteRoutes) + len(c.AddRules) + len(c.DeleteRules)
	for _, is := range []bool{c.DeleteVXLAN, c.AddVXLAN != nil, c.SetVXLAN != nil} {
		if is {
			n++
		}
	}
	return n
}

// Empty tells whether there is nothing to do.
func (c Change) Empty() bool { return c.Size() == 0 }

// Diff is what turns have into want. It reads its arguments only.
func Diff(have, want Config) Change {
	change := diffVXLAN(have.VXLAN, want.VXLAN)
	if change.DeleteVXLAN {
		have.Neighbours, have.Forwards = nil, nil
		have.Routes = slices.DeleteFunc(slices.Clone(have.Routes), func(r Route) bool { return r.Kind == Via })
	}
	change.SetNeighbours, change.DeleteNeighbours = diffBy(have.Neighbours, want.Neighbours,
		func(n Neighbour) any { return n.Address }, Neighbour.Compare)
	change.SetForwards, change.DeleteForwards = diffBy(have.Forwards, want.Forwards,
		func(f Forward) any { return f.MAC }, Forward.Compare)
	change.SetRoutes, change.DeleteRoutes = diffBy(have.Routes, want.Routes,
		func(r Route) any { return r.id() }, Route.Compare)
	change.AddRules, change.DeleteRules = diffBy(have.Rules, want.Rules, func(r Rule) any { return r }, Rule.Compare)
	return change
}

func diffVXLAN(have, want *VXLAN) Change {
	switch {
	case have == nil:
		return Change{AddVXLAN: want}
	case want == nil:
		return Change{DeleteVXLAN: true}
	case *have == *want:
		return Change{}
	}
	mutable := *have
	mutable.MTU, mutable.Down = want.MTU, want.Down
	if mutable == *want {
		return Change{SetVXLAN: want}
	}
	return Change{DeleteVXLAN: true, AddVXLAN: want}
}

// diffBy returns what must be set, which replaces what has the same id, and what must go.
func diffBy[T comparable](have, want []T, id func(T) any, compare func(T, T) int) (set, gone []T) {
	old := make(map[any]T, len(have))
	for _, item := range have {
		// Of two that are there under one id, all but one must go.
		if other, twice := old[id(item)]; twice {
			gone = append(gone, other)
		}
		old[id(item)] = item
	}
	for _, item := range want {
		if was, exists := old[id(item)]; !exists || was != item {
			set = append(set, item)
		}
		delete(old, id(item))
	}
	for _, item := range old {
		gone = append(gone, item)
	}
	slices.SortFunc(set, compare)
	slices.SortFunc(gone, compare)
	return set, gone
}
