package filter

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/knftables"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

var update = flag.Bool("update", false, "write testdata anew")

var compareAddresses = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

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

func base() Config {
	return Config{
		VIPs:    prefixes("244.0.0.0/16", "fd77::/112"),
		Own:     prefixes("10.2.0.0/18", "10.2.1.0/24", "fd02::/48"),
		Remote:  prefixes("10.3.0.0/16", "10.1.0.0/16", "fd01::/48"),
		Transit: []netip.Addr{netip.MustParseAddr("245.0.32.64"), netip.MustParseAddr("fd5f:1:2:2::40")},

		TransitCIDRs: prefixes("245.0.0.0/8", "fd5f:1:2::/48"),
		Overlay: Overlay{
			Port: 7473, Probes: 7472, Nodes: addresses("192.0.2.2", "192.0.2.3", "fd99::2"), Self: addresses("192.0.2.1", "fd99::1"),
			Near:    prefixes("10.2.0.0/18", "245.0.32.0/20", "fd02::/48", "fd5f:1:2:2::/64"),
			Far:     prefixes("10.1.0.0/16", "245.0.16.0/20", "fd01::/48", "fd5f:1:2:1::/64"),
			Tunnels: prefixes("245.0.32.0/26", "fd5f:1:2:2::/122"),
		},

		Served:  []serviceport.Key{port("244.0.0.2:53", "udp"), port("244.0.0.1:80", "tcp"), port("[fd77::1]:80", "sctp")},
		Hairpin: []netip.Addr{netip.MustParseAddr("10.2.1.5"), netip.MustParseAddr("fd02::5")},
	}
}

func TestTableGolden(t *testing.T) {
	fake := knftables.NewFake(knftables.InetFamily, TableName)
	table := Table{nft: fake}
	if _, err := table.Apply(t.Context(), Change{Replace: true, Want: base()}); err != nil {
		t.Fatal(err)
	}
	got := fake.Dump()
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

func TestEveryFieldShowsInDiff(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*Config)
	}{
		{"VIPs", func(c *Config) { c.VIPs = c.VIPs[:1] }},
		{"own", func(c *Config) { c.Own = c.Own[:1] }},
		{"remote", func(c *Config) { c.Remote = c.Remote[1:] }},
		{"transit", func(c *Config) { c.Transit = c.Transit[1:] }},
		{"transit address", func(c *Config) { c.Transit[1] = c.Transit[1].Next() }},
		{"probed", func(c *Config) { c.Probed = []netip.AddrPort{netip.MustParseAddrPort("245.0.32.0:7472")} }},
		{"transit CIDRs", func(c *Config) { c.TransitCIDRs = c.TransitCIDRs[:1] }},
		{"overlay port", func(c *Config) { c.Overlay.Port++ }},
		{"no overlay", func(c *Config) { c.Overlay = Overlay{} }},
		{"nodes", func(c *Config) { c.Overlay.Nodes = c.Overlay.Nodes[1:] }},
		{"self", func(c *Config) { c.Overlay.Self = c.Overlay.Self[1:] }},
		{"near", func(c *Config) { c.Overlay.Near = c.Overlay.Near[1:] }},
		{"far", func(c *Config) { c.Overlay.Far = c.Overlay.Far[1:] }},
		{"tunnels", func(c *Config) { c.Overlay.Tunnels = c.Overlay.Tunnels[1:] }},
		{"probes", func(c *Config) { c.Overlay.Probes++ }},
		{"served", func(c *Config) { c.Served = c.Served[1:] }},
		{"served address", func(c *Config) { c.Served[0].Address = c.Served[0].Address.Next() }},
		{"served protocol", func(c *Config) { c.Served[0].Protocol = serviceport.TCP }},
		{"served port", func(c *Config) { c.Served[0].Port++ }},
		{"hairpin", func(c *Config) { c.Hairpin = nil }},
		{"nothing at all", func(c *Config) { *c = Config{} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			other := base()
			tt.edit(&other)
			if Diff(stateOf(base()), other).Empty() || Diff(stateOf(other), base()).Empty() {
				t.Error("the difference does not show")
			}
		})
	}
}

// stateOf is the State of a kernel that has what the Config asks for.
func stateOf(c Config) State {
	return State{Digest: c.wantedDigest(), Served: unique(c.Served, serviceport.Key.Compare), Hairpin: unique(c.Hairpin, netip.Addr.Compare)}
}

func TestDiffProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 3))
	for range 500 {
		have, want := randomConfig(random), randomConfig(random)
		if change := Diff(stateOf(want), want); !change.Empty() {
			t.Fatalf("Diff(x, x) is %+v", change)
		}
		before := fmt.Sprint(have, want)
		got := applied(stateOf(have), Diff(stateOf(have), want))
		if fmt.Sprint(have, want) != before {
			t.Fatal("Diff changed its arguments")
		}
		if diff := cmp.Diff(stateOf(want), got, compareAddresses); diff != "" {
			t.Fatalf("have, changed by Diff(have, want), is not want (-want +got)\n%s", diff)
		}
	}
}

func randomConfig(random *rand.Rand) Config {
	var c Config
	if random.IntN(4) == 0 {
		return c
	}
	c.VIPs = prefixes("244.0.0.0/16")
	if random.IntN(3) == 0 {
		c.Remote = prefixes("10.1.0.0/16")
	}
	for i := range byte(5) {
		if random.IntN(2) == 0 {
			c.Served = append(c.Served, serviceport.Key{Address: netip.AddrFrom4([4]byte{244, 0, 0, i}), Protocol: serviceport.TCP, Port: 80})
			c.Hairpin = append(c.Hairpin, netip.AddrFrom4([4]byte{10, 2, 0, i}))
		}
	}
	return c
}

func applied(have State, change Change) State {
	if change.Replace {
		have = stateOf(change.Want)
	}
	have.Served = slices.Concat(without(have.Served, change.DeleteServed, serviceport.Key.Compare), change.AddServed)
	have.Hairpin = slices.Concat(without(have.Hairpin, change.DeleteHairpin, netip.Addr.Compare), change.AddHairpin)
	return State{Digest: have.Digest, Served: unique(have.Served, serviceport.Key.Compare), Hairpin: unique(have.Hairpin, netip.Addr.Compare)}
}
