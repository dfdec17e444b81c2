package vxlan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
)

var compareAddresses = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// mac is that of a node with a name of one letter.
func mac(node string) MAC { return MAC{0: 2, 5: node[0]} }

func base() Config {
	return Config{
		Devices:    []Device{{Name: "vx", ID: 7473, Port: 7473, Local: addr("192.0.2.1"), MTU: 1450, MAC: mac("a"), RPFilter: rtnl.RPFilterLoose}},
		Addresses:  []Address{{Device: "vx", Address: addr("245.0.32.0")}},
		Neighbours: []Neighbour{{Device: "vx", Address: addr("192.0.2.2"), MAC: mac("b")}},
		Forwards:   []Forward{{Device: "vx", MAC: mac("b"), Underlay: addr("192.0.2.2")}},
	}
}

func TestEveryFieldShowsInDiff(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Config)
	}{
		{"no device", func(c *Config) { c.Devices = nil }},
		{"device name", func(c *Config) { c.Devices[0].Name = "vx2" }},
		{"device ID", func(c *Config) { c.Devices[0].ID++ }},
		{"device port", func(c *Config) { c.Devices[0].Port++ }},
		{"device address", func(c *Config) { c.Devices[0].Local = addr("192.0.2.9") }},
		{"device MTU", func(c *Config) { c.Devices[0].MTU-- }},
		{"device MAC", func(c *Config) { c.Devices[0].MAC = mac("z") }},
		{"device rp_filter", func(c *Config) { c.Devices[0].RPFilter = rtnl.RPFilterStrict }},
		{"address device", func(c *Config) { c.Addresses[0].Device = "vx2" }},
		{"address", func(c *Config) { c.Addresses[0].Address = addr("245.0.32.1") }},
		{"one address less", func(c *Config) { c.Addresses = nil }},
		{"device down", func(c *Config) { c.Devices[0].Down = true }},
		{"neighbour device", func(c *Config) { c.Neighbours[0].Device = "vx2" }},
		{"neighbour address", func(c *Config) { c.Neighbours[0].Address = addr("192.0.2.9") }},
		{"neighbour MAC", func(c *Config) { c.Neighbours[0].MAC = mac("z") }},
		{"forward device", func(c *Config) { c.Forwards[0].Device = "vx2" }},
		{"forward MAC", func(c *Config) { c.Forwards[0].MAC = mac("z") }},
		{"forward address", func(c *Config) { c.Forwards[0].Underlay = addr("192.0.2.9") }},
		{"one neighbour less", func(c *Config) { c.Neighbours = nil }},
		{"one forward less", func(c *Config) { c.Forwards = nil }},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			other := base()
			tc.edit(&other)
			if Diff(base(), other).Empty() || Diff(other, base()).Empty() {
				t.Error("the difference does not show")
			}
		})
	}
}

func TestDiffOfOneDevice(t *testing.T) {
	want := base()
	have := base()
	have.Devices[0].MTU = 1400
	change := Diff(have, want)
	if diff := cmp.Diff(Change{SetDevices: want.Devices}, change, compareAddresses); diff != "" {
		t.Errorf("another MTU changes the device in place (-want +got)\n%s", diff)
	}
	have = base()
	want.Devices[0].RPFilter = rtnl.RPFilterOff
	if change := Diff(have, want); !change.Empty() {
		t.Errorf("an rp_filter that is not wanted stays as it is: %+v", change)
	}
	want = base()
	have.Devices[0].ID = 1
	change = Diff(have, want)
	remade := Change{DeleteDevices: have.Devices, AddDevices: want.Devices, AddAddresses: want.Addresses, SetNeighbours: want.Neighbours, SetForwards: want.Forwards}
	if diff := cmp.Diff(remade, change, compareAddresses); diff != "" {
		t.Errorf("a new device loses what led over it (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(remade, change.Additions(), compareAddresses); diff != "" || !change.Removals().Empty() {
		t.Errorf("all of it comes before the routes (-want +got)\n%s, removals %v", diff, change.Removals())
	}
}

// What goes is in Removals, whatever replaces it in Additions, and nothing gets lost.
func TestPartsOfAChange(t *testing.T) {
	change := Diff(base(), Config{})
	if diff := cmp.Diff(Change{DeleteDevices: base().Devices}, change.Removals(), compareAddresses); diff != "" || !change.Additions().Empty() {
		t.Errorf("removals (-want +got)\n%s, additions %v", diff, change.Additions())
	}
	random := rand.New(rand.NewPCG(3, 7))
	for range 200 {
		change := Diff(randomConfig(random), randomConfig(random))
		if parts := change.Additions().Size() + change.Removals().Size(); parts != change.Size() {
			t.Fatalf("%d parts of %d: %+v", parts, change.Size(), change)
		}
	}
}

func TestDiffProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 3))
	for range 500 {
		have, want := randomConfig(random), randomConfig(random)
		if change := Diff(have, have); !change.Empty() {
			t.Fatalf("Diff(x, x) is %v", change)
		}
		before := fmt.Sprint(have, want)
		got := applied(have, Diff(have, want))
		if fmt.Sprint(have, want) != before {
			t.Fatal("Diff changed its arguments")
		}
		if diff := cmp.Diff(sorted(want), sorted(got), compareAddresses); diff != "" {
			t.Fatalf("have, changed by Diff(have, want), is not want (-want +got)\n%s", diff)
		}
	}
}

func randomConfig(random *rand.Rand) Config {
	var c Config
	for _, name := range []string{"vx", "vx2"} {
		if random.IntN(3) == 0 {
			continue
		}
		c.Devices = append(c.Devices, Device{Name: name, ID: random.Uint32N(2), MTU: 1400 + random.IntN(2), RPFilter: rtnl.RPFilter(1 + random.IntN(2))})
		for i := range byte(4) {
			node := netip.AddrFrom4([4]byte{192, 0, 2, i})
			if random.IntN(3) == 0 {
				c.Addresses = append(c.Addresses, Address{Device: name, Address: node})
			}
			switch random.IntN(3) {
			case 0:
				c.Neighbours = append(c.Neighbours, Neighbour{Device: name, Address: node, MAC: MAC{2, byte(random.IntN(2))}})
			case 1:
				c.Forwards = append(c.Forwards, Forward{Device: name, MAC: MAC{2, i}, Underlay: netip.AddrFrom4([4]byte{192, 0, 2, byte(random.IntN(2))})})
			}
		}
	}
	return c
}

// applied is what the kernel makes of the change: with a device goes all that hangs on it.
func applied(have Config, change Change) Config {
	for _, d := range change.DeleteDevices {
		have.Devices = without(have.Devices, func(x Device) bool { return x.Name == d.Name })
		have.Addresses = without(have.Addresses, func(x Address) bool { return x.Device == d.Name })
		have.Neighbours = without(have.Neighbours, func(x Neighbour) bool { return x.Device == d.Name })
		have.Forwards = without(have.Forwards, func(x Forward) bool { return x.Device == d.Name })
	}
	have.Devices = replaced(have.Devices, slices.Concat(change.AddDevices, change.SetDevices), nil, func(d Device) any { return d.Name })
	have.Addresses = replaced(have.Addresses, change.AddAddresses, change.DeleteAddresses, func(a Address) any { return a })
	have.Neighbours = replaced(have.Neighbours, change.SetNeighbours, change.DeleteNeighbours,
		func(n Neighbour) any { return [2]any{n.Device, n.Address} })
	have.Forwards = replaced(have.Forwards, change.SetForwards, change.DeleteForwards, func(f Forward) any { return [2]any{f.Device, f.MAC} })
	return have
}

func replaced[T comparable](have, set, gone []T, id func(T) any) []T {
	have = slices.DeleteFunc(slices.Clone(have), func(item T) bool {
		return slices.Contains(gone, item) || slices.ContainsFunc(set, func(s T) bool { return id(s) == id(item) })
	})
	return append(have, set...)
}

func sorted(c Config) Config {
	slices.SortFunc(c.Devices, Device.Compare)
	slices.SortFunc(c.Addresses, Address.Compare)
	slices.SortFunc(c.Neighbours, Neighbour.Compare)
	slices.SortFunc(c.Forwards, Forward.Compare)
	return c
}
