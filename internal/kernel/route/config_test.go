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

var options = []cmp.Option{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func key(dst string, metric int) Key {
	return Key{Table: TableTunnels, Destination: prefix(dst), Metric: metric}
}

// unicast is a gateway's route into tunnels.
func unicast(dst, src string, hops ...NextHop) Route {
	return Route{Key: key(dst, MetricUnicast), Type: Unicast, Source: addr(src), Hops: hops}
}

func unreachable(dst string) Route {
	return Route{Key: key(dst, MetricUnreachable), Type: Unreachable}
}

func hops6(links ...string) []NextHop {
	hops := Over(links...)
	for i := range hops {
		hops[i].Gateway = addr("fe80::1")
	}
	return hops
}

// tunnels is what a gateway wants.
func tunnels() Config {
	return Config{
		Routes: []Route{
			unicast("10.2.0.0/18", "245.0.16.0", Over("tombolo0", "tombolo2")...), unreachable("10.2.0.0/18"),
			unicast("fd00:2::/48", "fd00::1", hops6("tombolo0", "tombolo2")...), unreachable("fd00:2::/48"),
		},
		Rules: []Rule{
			{Priority: PriorityBypass, Table: TableMain, To: prefix("10.2.0.9/32"), Protocol: 17, Port: 51820},
			{Priority: PriorityBypass, Table: TableMain, IPv6: true, To: prefix("fd00:2::9/128"), Protocol: 17, Port: 51820},
			{Priority: TableTunnels, Table: TableTunnels}, {Priority: TableTunnels, Table: TableTunnels, IPv6: true},
		},
	}
}

// edits change a Config in every respect in which one can differ, as a gateway's owner can have it
// in the kernel.
func edits() []edit {
	return []edit{
		{"destination", func(c *Config) { c.Routes[0].Destination = prefix("10.2.0.0/17") }},
		{"metric", func(c *Config) { c.Routes[0].Metric = 7 }},
		{"type of service", func(c *Config) { c.Routes[0].TOS = 8 }},
		{"type", func(c *Config) { c.Routes[0] = Route{Key: c.Routes[0].Key, Type: Unreachable} }},
		{"source", func(c *Config) { c.Routes[0].Source = addr("245.0.16.2") }},
		{"MTU", func(c *Config) { c.Routes[0].MTU = 1300 }},
		{"links", func(c *Config) { c.Routes[0].Hops = Over("tombolo2") }},
		{"IPv6 links", func(c *Config) { c.Routes[2].Hops = hops6("tombolo2") }},
		{"weight", func(c *Config) { c.Routes[0].Hops[1].Weight = 3 }},
		{"IPv6 weight", func(c *Config) { c.Routes[2].Hops[1].Weight = 256 }},
		{"gateway", func(c *Config) {
			c.Routes[0].Hops = []NextHop{{Link: "tombolo0", Gateway: addr("192.0.2.9"), OnLink: true}}
		}},
		{"IPv6 gateway", func(c *Config) { c.Routes[2].Hops[0].Gateway = addr("fe80::2") }},
		{"on link", func(c *Config) { c.Routes[2].Hops[0].OnLink = true }},
		{"route gone", func(c *Config) { c.Routes = c.Routes[1:] }},
		{"rule gone", func(c *Config) { c.Rules = c.Rules[1:] }},
		{"rule priority", func(c *Config) { c.Rules[3].Priority-- }},
		{"rule source", func(c *Config) { c.Rules[2].From = prefix("10.1.0.0/16") }},
		{"rule destination", func(c *Config) { c.Rules[1].To = prefix("fd00:2::8/128") }},
		{"rule port", func(c *Config) { c.Rules[0].Port++ }},
		{"rule source port", func(c *Config) { c.Rules[0].SourcePort = 51820 }},
		{"rule protocol", func(c *Config) { c.Rules[0].Protocol = 6 }},
		{"rule device", func(c *Config) { c.Rules[2].IIF = "tombolo0" }},
		{"rule table", func(c *Config) { c.Rules[1].Table, c.Rules[1].Priority = TableTunnels, 7000 }},
		{"no IPv6", func(c *Config) { c.Routes, c.Rules = c.Routes[:2], []Rule{c.Rules[0], c.Rules[2]} }},
		{"no IPv4", func(c *Config) { c.Routes, c.Rules = c.Routes[2:], []Rule{c.Rules[1], c.Rules[3]} }},
		{"nothing", func(c *Config) { *c = Config{} }},
	}
}

type edit struct {
	name string
	make func(*Config)
}

func edited(e edit) Config {
	c := tunnels()
	e.make(&c)
	return sorted(c)
}

func sorted(c Config) Config {
	slices.SortFunc(c.Routes, func(a, b Route) int { return a.Compare(b.Key) })
	slices.SortFunc(c.Rules, Rule.Compare)
	return c
}

// apply is what a kernel makes of a change: a route replaces the one with its key.
func apply(c Config, change Change) Config {
	has := func(list []Route, r Route) bool {
		return slices.ContainsFunc(list, func(x Route) bool { return x.Key == r.Key })
	}
	c.Routes = slices.DeleteFunc(slices.Clone(c.Routes), func(r Route) bool { return has(change.SetRoutes, r) || has(change.DeleteRoutes, r) })
	c.Routes = append(c.Routes, change.SetRoutes...)
	c.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(r Rule) bool { return slices.Contains(change.DeleteRules, r) })
	c.Rules = append(c.Rules, change.AddRules...)
	return sorted(c)
}

// From every Config to every other, the difference is what it takes, and to itself there is none.
func TestDiffProperties(t *testing.T) {
	all := append(edits(), edit{"base", func(*Config) {}})
	for _, from := range all {
		for _, to := range all {
			t.Run(fmt.Sprintf("%s to %s", from.name, to.name), func(t *testing.T) {
				have, want := edited(from), edited(to)
				change := Diff(have, want)
				if got := change.Empty(); got != (from.name == to.name) {
					t.Errorf("change is empty: %t: %+v", got, change)
				}
				if diff := cmp.Diff(want, apply(have, change), options...); diff != "" {
					t.Errorf("state (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestDiffOfRandomConfigs(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 3))
	for range 500 {
		have, want := randomConfig(random), randomConfig(random)
		before := fmt.Sprint(have, want)
		if change := Diff(have, have); !change.Empty() {
			t.Fatalf("Diff(x, x) is %v", change)
		}
		got := apply(have, Diff(have, want))
		if fmt.Sprint(have, want) != before {
			t.Fatal("Diff changed its arguments")
		}
		if diff := cmp.Diff(sorted(want), got, options...); diff != "" {
			t.Fatalf("have, changed by Diff(have, want), is not want (-want +got)\n%s", diff)
		}
	}
}

func randomConfig(random *rand.Rand) Config {
	var c Config
	for i := range byte(4) {
		pods := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, i}), 16)
		switch random.IntN(4) {
		case 0:
			hop := NextHop{Link: "vx", Gateway: netip.AddrFrom4([4]byte{192, 0, 2, byte(random.IntN(2))}), OnLink: true}
			c.Routes = append(c.Routes, Route{Key: Key{Table: TableNodes, Destination: pods, Metric: Metric}, Type: Unicast,
				Hops: []NextHop{hop}, MTU: random.IntN(2)})
			c.Rules = append(c.Rules, Rule{Table: TableNodes, Priority: TableNodes, From: pods})
		case 1:
			c.Routes = append(c.Routes, Route{Key: Key{Table: TableFallback, Destination: pods, Metric: Metric}, Type: Unreachable})
		}
	}
	random.Shuffle(len(c.Routes), func(i, j int) { c.Routes[i], c.Routes[j] = c.Routes[j], c.Routes[i] })
	return c
}

// Of several routes with one Key the wanted one stays, wherever it is in the listing.
func TestDiffOfRoutesWithOneKey(t *testing.T) {
	ours, other := unicast("10.2.0.0/18", "245.0.16.0", Over("tombolo0")...), unicast("10.2.0.0/18", "245.0.16.0", Over("eth0")...)
	third := unicast("10.2.0.0/18", "245.0.16.0", Over("eth1")...)
	tests := []struct {
		name string
		have []Route
		want Change
	}{
		{"ours is first", []Route{ours, other}, Change{DeleteRoutes: []Route{other}}},
		{"ours is last", []Route{other, ours}, Change{DeleteRoutes: []Route{other}}},
		{"ours is twice there", []Route{ours, ours}, Change{DeleteRoutes: []Route{ours}}},
		{"ours takes the place of one", []Route{other, third}, Change{SetRoutes: []Route{ours}, DeleteRoutes: []Route{third}}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := Diff(Config{Routes: tc.have}, Config{Routes: []Route{ours}})
			if diff := cmp.Diff(tc.want, got, options...); diff != "" {
				t.Errorf("change (-want +got)\n%s", diff)
			}
		})
	}
}

func TestDiffOfRulesThatAreThereTwice(t *testing.T) {
	rule := Rule{Priority: 7473, Table: 7473}
	got := Diff(Config{Rules: []Rule{rule, rule}}, Config{Rules: []Rule{rule}})
	if diff := cmp.Diff(Change{DeleteRules: []Rule{rule}}, got, options...); diff != "" {
		t.Errorf("change (-want +got)\n%s", diff)
	}
}

// Keys that differ in one field are distinct, and sort by table, destination, type of service and
// metric.
func TestKey(t *testing.T) {
	all := []Key{
		{7473, prefix("10.2.0.0/16"), 0, 100},
		{7473, prefix("10.2.0.0/16"), 0, 65535},
		{7473, prefix("10.2.0.0/16"), 8, 100},
		{7473, prefix("10.2.0.0/18"), 0, 100},
		{7473, prefix("10.3.0.0/16"), 0, 100},
		{7473, prefix("fd00::/16"), 0, 100},
		{7474, prefix("10.2.0.0/16"), 0, 100},
	}
	for i, a := range all {
		for j, b := range all {
			if got, want := a.Compare(b), i-j; (got < 0) != (want < 0) || (got > 0) != (want > 0) || (a == b) != (i == j) {
				t.Errorf("%v compares to %v as %d", a, b, got)
			}
		}
	}
}

func TestEqualOfWeights(t *testing.T) {
	route := func(weights ...int) Route {
		r := unicast("10.2.0.0/18", "245.0.16.0")
		for i, w := range weights {
			r.Hops = append(r.Hops, NextHop{Link: fmt.Sprint("tombolo", i), Weight: w})
		}
		return r
	}
	tests := []struct {
		name string
		a, b Route
		want bool
	}{
		{"zero counts as one", route(0, 2), route(1, 2), true},
		{"shares differ", route(1, 2), route(2, 1), false},
		{"an only hop has no share", route(5), route(1), true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.a.Equal(tc.b); got != tc.want {
				t.Errorf("equal: %t, want %t", got, tc.want)
			}
		})
	}
}

func TestOwners(t *testing.T) {
	gateway, dataplane := GatewayOwner(), DataplaneOwner()
	tests := []struct {
		name                      string
		protocol, priority, table int
		gateway, dataplane        bool
	}{
		{"the gateway's rule", 147, 7473, 7473, true, false},
		{"its bypass", 147, 7472, 254, true, false},
		{"at another priority", 147, 7472, 7473, false, false},
		{"its hand-over", 147, 7471, 7477, true, false},
		{"another rule for main", 147, 7000, 254, false, false},
		{"without its protocol", 3, 7473, 7473, false, false},
		{"the dataplane's rule", 148, 7474, 7474, false, true},
		{"at another priority", 148, 7400, 7474, false, true},
		{"for a foreign table", 148, 7474, 99, false, false},
		{"of the dataplane for main", 148, 7472, 254, false, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := gateway.ownsRule(tc.protocol, tc.priority, tc.table); got != tc.gateway {
				t.Errorf("the gateway owns it: %t", got)
			}
			if got := dataplane.ownsRule(tc.protocol, tc.priority, tc.table); got != tc.dataplane {
				t.Errorf("the dataplane owns it: %t", got)
			}
		})
	}
}
