package route

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var netipValues = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})

func unicast(dst, src string, links ...string) Route {
	return Route{
		Key: Key{netip.MustParsePrefix(dst), MetricUnicast}, Source: netip.MustParseAddr(src), Links: links,
	}
}

func unreachable(dst string) Route {
	return Route{Key: Key{netip.MustParsePrefix(dst), MetricUnreachable}, Type: Unreachable}
}

// configs differ from each other in all that a Config can differ in.
func configs() map[string]Config {
	base := func() Config {
		return Config{Routes: []Route{
			unicast("10.2.0.0/18", "245.0.16.0", "tombolo0", "tombolo2"), unreachable("10.2.0.0/18"),
			unicast("fd00:2::/48", "fd00::1", "tombolo0"), unreachable("fd00:2::/48"),
		}, Bypasses: []netip.AddrPort{netip.MustParseAddrPort("10.2.0.9:51820"), netip.MustParseAddrPort("[fd00:2::9]:51820")}}
	}
	all := map[string]Config{"empty": {}, "base": base()}
	for name, edit := range map[string]func(*Config){
		"destination":    func(c *Config) { c.Routes[0].Destination = netip.MustParsePrefix("10.2.0.0/17") },
		"metric":         func(c *Config) { c.Routes[0].Metric = 7 },
		"type":           func(c *Config) { c.Routes[0] = Route{Key: c.Routes[0].Key, Type: Unreachable} },
		"source":         func(c *Config) { c.Routes[0].Source = netip.MustParseAddr("245.0.16.2") },
		"links":          func(c *Config) { c.Routes[0].Links = []string{"tombolo2"} },
		"route gone":     func(c *Config) { c.Routes = c.Routes[1:] },
		"bypass gone":    func(c *Config) { c.Bypasses = c.Bypasses[1:] },
		"bypass port":    func(c *Config) { c.Bypasses[0] = netip.MustParseAddrPort("10.2.0.9:51821") },
		"bypass address": func(c *Config) { c.Bypasses[1] = netip.MustParseAddrPort("[fd00:2::8]:51820") },
		"no IPv6":        func(c *Config) { c.Routes = c.Routes[:2] },
		"no IPv4":        func(c *Config) { c.Routes = c.Routes[2:] },
	} {
		c := base()
		edit(&c)
		slices.SortFunc(c.Routes, func(a, b Route) int { return a.Compare(b.Key) })
		all[name] = c
	}
	return all
}

// apply is what a kernel makes of a change: a route replaces the one with its key.
func apply(s State, c Change) State {
	has := func(list []Route, r Route) bool {
		return slices.ContainsFunc(list, func(x Route) bool { return x.Key == r.Key })
	}
	s.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r Route) bool { return has(c.Set, r) || has(c.Remove, r) })
	s.Routes = append(s.Routes, c.Set...)
	slices.SortFunc(s.Routes, func(a, b Route) int { return a.Compare(b.Key) })
	s.Rules = append(without(s.Rules, c.RemoveRules), c.AddRules...)
	slices.Sort(s.Rules)
	s.Bypasses = append(without(s.Bypasses, c.RemoveBypasses), c.AddBypasses...)
	slices.SortFunc(s.Bypasses, netip.AddrPort.Compare)
	return s
}

// wanted is the state that the Config asks for, written down without Diff.
func wanted(c Config) State {
	s := State{Routes: c.Routes, Bypasses: c.Bypasses}
	for _, f := range []Family{IPv4, IPv6} {
		if slices.ContainsFunc(c.Routes, func(r Route) bool { return r.Destination.Addr().Is4() == (f == IPv4) }) {
			s.Rules = append(s.Rules, f)
		}
	}
	return s
}

// From every Config to every other, the difference is what it takes, and to itself there is none.
func TestDiffProperties(t *testing.T) {
	for fromName, from := range configs() {
		for toName, to := range configs() {
			t.Run(fmt.Sprintf("%s to %s", fromName, toName), func(t *testing.T) {
				have := wanted(from)
				change := Diff(have, to)
				if got := change.Empty(); got != (fromName == toName) {
					t.Errorf("change is empty: %t: %+v", got, change)
				}
				if diff := cmp.Diff(wanted(to), apply(have, change), netipValues, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("state (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestKey(t *testing.T) {
	all := []Key{
		{netip.MustParsePrefix("10.2.0.0/16"), 100},
		{netip.MustParsePrefix("10.2.0.0/16"), 65535},
		{netip.MustParsePrefix("10.2.0.0/18"), 100},
		{netip.MustParsePrefix("10.3.0.0/16"), 100},
		{netip.MustParsePrefix("fd00::/16"), 100},
	}
	for i, a := range all {
		for j, b := range all {
			if got, want := a.Compare(b), i-j; (got < 0) != (want < 0) || (got > 0) != (want > 0) {
				t.Errorf("%v compares to %v as %d", a, b, got)
			}
		}
	}
}
