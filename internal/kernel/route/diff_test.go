package route

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compareAddresses = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestNodeMAC(t *testing.T) {
	seen := map[MAC]string{}
	for _, node := range []string{"", "a", "b", "node-1.example.com", "node-2.example.com"} {
		mac := NodeMAC(node)
		if mac[0]&0x03 != 0x02 {
			t.Errorf("NodeMAC(%q) is %s, want a unicast, locally administered one", node, mac)
		}
		if other, ok := seen[mac]; ok {
			t.Errorf("%q and %q have one MAC", node, other)
		}
		seen[mac] = node
		if mac != NodeMAC(node) {
			t.Errorf("NodeMAC(%q) is not stable", node)
		}
	}
}

func base() Config {
	return Config{
		VXLAN:      &VXLAN{ID: 7473, Port: 7473, Local: addr("192.0.2.1"), MTU: 1450, MAC: NodeMAC("a")},
		Neighbours: []Neighbour{{Address: addr("192.0.2.2"), MAC: NodeMAC("b")}},
		Forwards:   []Forward{{MAC: NodeMAC("b"), Underlay: addr("192.0.2.2")}},
		Routes: []Route{
			{Table: TableLocal, Prefix: prefix("244.0.0.0/16"), Metric: Metric, Kind: Local, Source: addr("192.0.2.1")},
			{Table: TableRemote, Prefix: prefix("10.1.0.0/16"), Metric: Metric, Kind: Via, Gateway: addr("192.0.2.2"), MTU: 1420},
		},
		Rules: []Rule{{Table: TableNodes, Priority: TableNodes, From: prefix("10.1.0.0/16")}},
	}
}

func TestEveryFieldShowsInDiff(t *testing.T) {
	tests := map[string]func(*Config){
		"no device":          func(c *Config) { c.VXLAN = nil },
		"device ID":          func(c *Config) { c.VXLAN.ID++ },
		"device port":        func(c *Config) { c.VXLAN.Port++ },
		"device address":     func(c *Config) { c.VXLAN.Local = addr("192.0.2.9") },
		"device MTU":         func(c *Config) { c.VXLAN.MTU-- },
		"device MAC":         func(c *Config) { c.VXLAN.MAC = NodeMAC("z") },
		"device down":        func(c *Config) { c.VXLAN.Down = true },
		"neighbour address":  func(c *Config) { c.Neighbours[0].Address = addr("192.0.2.9") },
		"neighbour MAC":      func(c *Config) { c.Neighbours[0].MAC = NodeMAC("z") },
		"forward MAC":        func(c *Config) { c.Forwards[0].MAC = NodeMAC("z") },
		"forward address":    func(c *Config) { c.Forwards[0].Underlay = addr("192.0.2.9") },
		"route table":        func(c *Config) { c.Routes[1].Table = TableNodes },
		"route prefix":       func(c *Config) { c.Routes[1].Prefix = prefix("10.1.0.0/17") },
		"route metric":       func(c *Config) { c.Routes[1].Metric++ },
		"route kind":         func(c *Config) { c.Routes[1].Kind = Unreachable },
		"route source":       func(c *Config) { c.Routes[0].Source = addr("192.0.2.9") },
		"route gateway":      func(c *Config) { c.Routes[1].Gateway = addr("192.0.2.9") },
		"route MTU":          func(c *Config) { c.Routes[1].MTU-- },
		"rule table":         func(c *Config) { c.Rules[0].Table = TableRemote },
		"rule priority":      func(c *Config) { c.Rules[0].Priority++ },
		"rule family":        func(c *Config) { c.Rules[0].IPv6 = true },
		"rule source":        func(c *Config) { c.Rules[0].From = prefix("10.1.0.0/17") },
		"one neighbour less": func(c *Config) { c.Neighbours = nil },
		"one forward less":   func(c *Config) { c.Forwards = nil },
		"one route less":     func(c *Config) { c.Routes = c.Routes[:1] },
		"one rule less":      func(c *Config) { c.Rules = nil },
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			other := base()
			edit(&other)
			if Diff(base(), other).Empty() || Diff(other, base()).Empty() {
				t.Error("the difference does not show")
			}
		})
	}
}

func TestDiffOfOneID(t *testing.T) {
	want := base()
	have := base()
	have.Routes[1].Gateway = addr("192.0.2.9")
	have.VXLAN.MTU = 1400
	change := Diff(have, want)
	if diff := cmp.Diff(Change{SetVXLAN: want.VXLAN, SetRoutes: want.Routes[1:]}, change, compareAddresses); diff != "" {
		t.Errorf("another next hop replaces the route (-want +got)\n%s", diff)
	}
	have = base()
	have.VXLAN.ID = 1
	change = Diff(have, want)
	if diff := cmp.Diff(Change{DeleteVXLAN: true, AddVXLAN: want.VXLAN, SetNeighbours: want.Neighbours,
		SetForwards: want.Forwards, SetRoutes: want.Routes[1:]}, change, compareAddresses); diff != "" {
		t.Errorf("a new device loses what led over it (-want +got)\n%s", diff)
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
	if random.IntN(3) == 0 {
		return c
	}
	c.VXLAN = &VXLAN{ID: random.Uint32N(2), MTU: 1400 + random.IntN(2)}
	for i := range byte(4) {
		node := netip.AddrFrom4([4]byte{192, 0, 2, i})
		mac := NodeMAC(fmt.Sprint(random.IntN(2)))
		pods := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, i}), 16)
		switch random.IntN(4) {
		case 0:
			c.Neighbours = append(c.Neighbours, Neighbour{Address: node, MAC: mac})
			c.Forwards = append(c.Forwards, Forward{MAC: MAC{2, i}, Underlay: netip.AddrFrom4([4]byte{192, 0, 2, byte(random.IntN(2))})})
		case 1:
			c.Routes = append(c.Routes, Route{Table: TableNodes, Prefix: pods, Kind: Via, Gateway: node, MTU: random.IntN(2)})
			c.Rules = append(c.Rules, Rule{Table: TableNodes, Priority: TableNodes, From: pods})
		case 2:
			c.Routes = append(c.Routes, Route{Table: TableFallback, Prefix: pods, Kind: Unreachable})
		}
	}
	return c
}

// applied is what the kernel makes of the change.
func applied(have Config, change Change) Config {
	if change.DeleteVXLAN {
		have.VXLAN, have.Neighbours, have.Forwards = nil, nil, nil
		have.Routes = slices.DeleteFunc(slices.Clone(have.Routes), func(r Route) bool { return r.Kind == Via })
	}
	if change.AddVXLAN != nil {
		have.VXLAN = change.AddVXLAN
	}
	if change.SetVXLAN != nil {
		have.VXLAN = change.SetVXLAN
	}
	have.Neighbours = replaced(have.Neighbours, change.SetNeighbours, change.DeleteNeighbours, func(n Neighbour) any { return n.Address })
	have.Forwards = replaced(have.Forwards, change.SetForwards, change.DeleteForwards, func(f Forward) any { return f.MAC })
	have.Routes = replaced(have.Routes, change.SetRoutes, change.DeleteRoutes, func(r Route) any { return r.id() })
	have.Rules = replaced(have.Rules, change.AddRules, change.DeleteRules, func(r Rule) any { return r })
	return have
}

func replaced[T comparable](have, set, gone []T, id func(T) any) []T {
	have = slices.DeleteFunc(slices.Clone(have), func(item T) bool {
		return slices.Contains(gone, item) || slices.ContainsFunc(set, func(s T) bool { return id(s) == id(item) })
	})
	return append(have, set...)
}

func sorted(c Config) Config {
	slices.SortFunc(c.Neighbours, Neighbour.Compare)
	slices.SortFunc(c.Forwards, Forward.Compare)
	slices.SortFunc(c.Routes, Route.Compare)
	slices.SortFunc(c.Rules, Rule.Compare)
	return c
}
