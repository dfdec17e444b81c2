package vxlan

import (
	"slices"

	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
)

// Change is what turns one Config into another. Every list is sorted. The zero value changes
// nothing.
type Change struct {
	// DeleteDevices go with all that hangs on them, before AddDevices makes those of the same name
	// again.
	DeleteDevices []Device
	AddDevices    []Device
	// SetDevices get another MTU or rp_filter, or are set up.
	SetDevices []Device

	AddAddresses     []Address
	DeleteAddresses  []Address
	SetNeighbours    []Neighbour
	DeleteNeighbours []Neighbour
	SetForwards      []Forward
	DeleteForwards   []Forward
}

// Size is how many requests to the kernel the Change is, at least.
func (c Change) Size() int {
	return len(c.DeleteDevices) + len(c.AddDevices) + len(c.SetDevices) + len(c.AddAddresses) + len(c.DeleteAddresses) +
		len(c.SetNeighbours) + len(c.DeleteNeighbours) + len(c.SetForwards) + len(c.DeleteForwards)
}

// Empty reports whether there is nothing to do.
func (c Change) Empty() bool { return c.Size() == 0 }

// Additions are the parts of the Change that must be there before routes lead over the devices: all
// but Removals.
func (c Change) Additions() Change {
	c.DeleteAddresses, c.DeleteNeighbours, c.DeleteForwards = nil, nil, nil
	c.DeleteDevices = slices.DeleteFunc(slices.Clone(c.DeleteDevices), func(d Device) bool { return !c.remakes(d) })
	return c
}

// Removals are the parts of the Change that must wait until no route leads over what they delete.
func (c Change) Removals() Change {
	return Change{
		DeleteDevices:   slices.DeleteFunc(slices.Clone(c.DeleteDevices), c.remakes),
		DeleteAddresses: c.DeleteAddresses, DeleteNeighbours: c.DeleteNeighbours, DeleteForwards: c.DeleteForwards,
	}
}

// remakes reports whether the Change makes a device of the same name.
func (c Change) remakes(d Device) bool {
	return slices.ContainsFunc(c.AddDevices, func(a Device) bool { return a.Name == d.Name })
}

// Diff is what turns have into want, except that an Anchor stays. It only reads its arguments.
func Diff(have, want Config) Change {
	change := diffDevices(have.Devices, want.Devices)
	gone := make(map[string]bool, len(change.DeleteDevices))
	for _, d := range change.DeleteDevices {
		gone[d.Name] = true
	}
	change.AddAddresses, change.DeleteAddresses = diffBy(
		without(have.Addresses, func(a Address) bool { return gone[a.Device] }), want.Addresses,
		func(a Address) Address { return a }, Address.Compare)
	change.DeleteAddresses = without(change.DeleteAddresses, func(a Address) bool { return a.Address == Anchor() })
	change.SetNeighbours, change.DeleteNeighbours = diffBy(
		without(have.Neighbours, func(n Neighbour) bool { return gone[n.Device] }), want.Neighbours,
		func(n Neighbour) Neighbour { return Neighbour{Device: n.Device, Address: n.Address} }, Neighbour.Compare)
	change.SetForwards, change.DeleteForwards = diffBy(
		without(have.Forwards, func(f Forward) bool { return gone[f.Device] }), want.Forwards,
		func(f Forward) Forward { return Forward{Device: f.Device, MAC: f.MAC} }, Forward.Compare)
	return change
}

func diffDevices(have, want []Device) (change Change) {
	have = heeded(have, want)
	set, gone := diffBy(have, want, func(d Device) string { return d.Name }, Device.Compare)
	change.DeleteDevices = gone
	for _, w := range set {
		i := slices.IndexFunc(have, func(h Device) bool { return h.Name == w.Name })
		if i < 0 {
			change.AddDevices = append(change.AddDevices, w)
			continue
		}
		mutable := have[i]
		mutable.MTU, mutable.RPFilter, mutable.Down = w.MTU, w.RPFilter, w.Down
		if mutable == w {
			change.SetDevices = append(change.SetDevices, w)
			continue
		}
		change.DeleteDevices = append(change.DeleteDevices, have[i])
		change.AddDevices = append(change.AddDevices, w)
	}
	slices.SortFunc(change.DeleteDevices, Device.Compare)
	return change
}

// heeded are the devices without the rp_filter of those for which none is wanted.
func heeded(have, want []Device) []Device {
	have = slices.Clone(have)
	for i := range have {
		if slices.ContainsFunc(want, func(w Device) bool { return w.Name == have[i].Name && w.RPFilter == rtnl.RPFilterOff }) {
			have[i].RPFilter = rtnl.RPFilterOff
		}
	}
	return have
}

func without[T any](items []T, gone func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(items), gone)
}

// diffBy returns what must be set, which replaces what has the same id, and what must be deleted.
func diffBy[T, ID comparable](have, want []T, id func(T) ID, compare func(T, T) int) (set, gone []T) {
	old := make(map[ID]T, len(have))
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
