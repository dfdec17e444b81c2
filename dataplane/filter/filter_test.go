package filter

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

var update = flag.Bool("update", false, "write testdata anew")

func prefixes(ps ...string) (parsed []netip.Prefix) {
	for _, p := range ps {
		parsed = append(parsed, netip.MustParsePrefix(p))
	}
	return parsed
}

func addresses(all ...string) (parsed []netip.Addr) {
	for _, a := range all {
		parsed = append(parsed, netip.MustParseAddr(a))
	}
	return parsed
}

func port(address, protocol string) serviceport.Key {
	ap := netip.MustParseAddrPort(address)
	return serviceport.Key{Address: ap.Addr(), Protocol: serviceport.ParseProtocol(protocol), Port: ap.Port()}
}

// wanted is what one owner wants.
type wanted struct {
	Input
	Endpoints
}

func (w wanted) table() firewall.Config {
	var elements firewall.Elements[string]
	elements.Put("all", w.Elements())
	w.Input.Endpoints = elements.Sets()
	return Table(w.Input)
}

func base() wanted {
	return wanted{Input{
		VIPs:    prefixes("244.0.0.0/16", "fd77::/112"),
		Own:     prefixes("10.2.0.0/18", "10.2.1.0/24", "fd02::/48"),
		Remote:  prefixes("10.3.0.0/16", "10.1.0.0/16", "fd01::/48"),
		Transit: []netip.Addr{netip.MustParseAddr("245.0.32.64"), netip.MustParseAddr("fd5f:1:2:2::40")},

		TransitCIDRs: prefixes("245.0.0.0/8", "fd5f:1:2::/48"),
		Overlay: plan.Overlay{
			Port: 7473, Nodes: addresses("192.0.2.2", "192.0.2.3", "fd99::2"), Self: addresses("192.0.2.1", "fd99::1"),
			Near:    prefixes("10.2.0.0/18", "245.0.32.0/20", "fd02::/48", "fd5f:1:2:2::/64"),
			Far:     prefixes("10.1.0.0/16", "245.0.16.0/20", "fd01::/48", "fd5f:1:2:1::/64"),
			Tunnels: prefixes("245.0.32.0/26", "fd5f:1:2:2::/122"),
		},
	}, Endpoints{
		Served:   []serviceport.Key{port("244.0.0.2:53", "udp"), port("244.0.0.1:80", "tcp"), port("[fd77::1]:80", "sctp")},
		Hairpin:  []netip.Addr{netip.MustParseAddr("10.2.1.5"), netip.MustParseAddr("fd02::5")},
		External: []netip.Addr{netip.MustParseAddr("10.2.40.5")},

		Answering: []serviceport.Key{port("10.1.0.5:53", "udp"), port("10.1.0.6:0", "udp")},
		Exported:  []serviceport.Key{port("[fd02::5]:53", "udp"), port("10.2.1.5:443", "tcp")},
	}}
}

// dump is the table in words of nft, but for elements.
func dump(cfg firewall.Config) string {
	var text strings.Builder
	for _, set := range cfg.Sets {
		fmt.Fprintf(&text, "set %s { type %s } # %d elements\n", set.Name, set.Type, set.Keys.Len())
	}
	for _, c := range cfg.Chains {
		if fmt.Fprintf(&text, "\nchain %s", c.Name); c.Hook != "" {
			fmt.Fprintf(&text, " { type %s hook %s priority %d }", c.Type, c.Hook, c.Priority)
		}
		fmt.Fprintf(&text, "\n%s\n", strings.Join(c.Rules, "\n"))
	}
	return text.String()
}

func TestTableGolden(t *testing.T) {
	got := dump(base().table())
	const golden = "testdata/table.nft"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", golden, diff)
	}
}

func TestEveryFieldShows(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*wanted)
	}{
		{"VIPs", func(c *wanted) { c.VIPs = c.VIPs[:1] }},
		{"own", func(c *wanted) { c.Own = c.Own[:1] }},
		{"remote", func(c *wanted) { c.Remote = c.Remote[1:] }},
		{"transit", func(c *wanted) { c.Transit = c.Transit[1:] }},
		{"transit address", func(c *wanted) { c.Transit[1] = c.Transit[1].Next() }},
		{"tunnel", func(c *wanted) { c.Tunnel = addresses("245.0.32.0") }},
		{"transit CIDRs", func(c *wanted) { c.TransitCIDRs = c.TransitCIDRs[:1] }},
		{"overlay port", func(c *wanted) { c.Overlay.Port++ }},
		{"no overlay", func(c *wanted) { c.Overlay = plan.Overlay{} }},
		{"nodes", func(c *wanted) { c.Overlay.Nodes = c.Overlay.Nodes[1:] }},
		{"self", func(c *wanted) { c.Overlay.Self = c.Overlay.Self[1:] }},
		{"near", func(c *wanted) { c.Overlay.Near = c.Overlay.Near[1:] }},
		{"far", func(c *wanted) { c.Overlay.Far = c.Overlay.Far[1:] }},
		{"tunnels", func(c *wanted) { c.Overlay.Tunnels = c.Overlay.Tunnels[1:] }},
		{"served", func(c *wanted) { c.Served = c.Served[1:] }},
		{"served address", func(c *wanted) { c.Served[0].Address = c.Served[0].Address.Next() }},
		{"served protocol", func(c *wanted) { c.Served[0].Protocol = serviceport.TCP }},
		{"served port", func(c *wanted) { c.Served[0].Port++ }},
		{"hairpin", func(c *wanted) { c.Hairpin = nil }}, {"external", func(c *wanted) { c.External = nil }},
		{"answering", func(c *wanted) { c.Answering = c.Answering[1:] }},
		{"answering host", func(c *wanted) { c.Answering = c.Answering[:1] }},
		{"exported", func(c *wanted) { c.Exported = c.Exported[1:] }},
		{"open", func(c *wanted) { c.Open = true }},
		{"nothing at all", func(c *wanted) { *c = wanted{} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			other := base()
			tt.edit(&other)
			if cmp.Equal(base().table(), other.table()) {
				t.Error("the difference does not show")
			}
		})
	}
}

// TestElements: keys are as the kernel keeps them, sorted and without duplicates.
func TestElements(t *testing.T) {
	in := wanted{Input{
		VIPs: prefixes("244.0.0.0/16"), Overlay: plan.Overlay{Port: 1, Nodes: addresses("192.0.2.3", "192.0.2.2"), Self: addresses("fd99::1")},
	}, Endpoints{
		Served:  []serviceport.Key{port("244.0.0.1:53", "udp"), port("244.0.0.1:80", "tcp"), port("244.0.0.1:53", "udp"), port("244.0.0.1:1", "sctp")},
		Hairpin: addresses("10.2.0.5", "10.2.0.5", "fd02::5"),

		Answering: []serviceport.Key{port("10.1.0.5:53", "udp"), port("10.1.0.5:80", "tcp"), port("[fd01::5]:0", "udp")},
		Exported:  []serviceport.Key{port("10.2.0.5:0", "udp"), port("10.2.0.5:53", "udp")},
	}}
	want := map[string][]string{
		"served4": {"\xf4\x00\x00\x01\x06\x00\x00\x00\x00\x50\x00\x00", "\xf4\x00\x00\x01\x11\x00\x00\x00\x00\x35\x00\x00", "\xf4\x00\x00\x01\x84\x00\x00\x00\x00\x01\x00\x00"},
		"served6": {}, "strayed4": {},
		"hairpin4": {"\x0a\x02\x00\x05\x0a\x02\x00\x05"},
		"hairpin6": {string(netip.MustParseAddr("fd02::5").AsSlice()) + string(netip.MustParseAddr("fd02::5").AsSlice())},
		"nodes4":   {"\xc0\x00\x02\x02", "\xc0\x00\x02\x03"}, "nodes6": {}, "self4": {}, "external4": {}, "external6": {},
		"answering4": {"\x0a\x01\x00\x05\x11\x00\x00\x00\x00\x35\x00\x00"}, "answering6": {}, "answering-hosts4": {},
		"answering-hosts6": {string(netip.MustParseAddr("fd01::5").AsSlice())},
		"exported4":        {"\x0a\x02\x00\x05\x11\x00\x00\x00\x00\x35\x00\x00"}, "exported6": {},
		"exported-hosts4": {"\x0a\x02\x00\x05"}, "exported-hosts6": {},
		"self6": {string(netip.MustParseAddr("fd99::1").AsSlice())},
	}
	got, elements := map[string][]string{}, map[string]firewall.Keys{}
	for _, s := range in.table().Sets {
		got[s.Name], elements[s.Name] = slices.AppendSeq([]string{}, s.Keys.All()), s.Keys
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	in.Open = true
	for _, s := range in.table().Sets {
		if asked := strings.HasPrefix(s.Name, "answering") || strings.HasPrefix(s.Name, "exported"); asked && s.Keys.Len() > 0 {
			t.Errorf("UDP need not be an answer, but %s has %d elements", s.Name, s.Keys.Len())
		}
	}
	if served := Served(firewall.State{Elements: elements}); fmt.Sprint(served) != "[244.0.0.1 244.0.0.1 244.0.0.1]" {
		t.Errorf("Served returns %v", served)
	}
}
