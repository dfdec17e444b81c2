package clusterset

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestTransitBlock(t *testing.T) {
	for _, tc := range []struct {
		name    string
		transit string
		index   int32
		want    string // empty: an error
	}{
		{"first", "245.0.0.0/8", 1, "245.0.16.0/20"},
		{"last", "245.0.0.0/8", 4095, "245.255.240.0/20"},
		{"zero index", "245.0.0.0/8", 0, ""},
		{"index beyond the block", "245.0.0.0/16", 16, ""},
		{"last of a /16", "245.0.0.0/16", 15, "245.0.240.0/20"},
		{"too small", "245.0.0.0/24", 1, ""},
		{"IPv6", "fd00::/8", 1, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := TransitBlock(netip.MustParsePrefix(tc.transit), tc.index)
			if (err != nil) != (tc.want == "") {
				t.Fatalf("error %v, want block %q", err, tc.want)
			}
			if err == nil && got.String() != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestTransitBlock6(t *testing.T) {
	a, b, c := TransitBlock6("demo", 1), TransitBlock6("demo", 2), TransitBlock6("other", 1)
	if a.Overlaps(b) || a.Overlaps(c) {
		t.Errorf("blocks overlap: %s %s %s", a, b, c)
	}
	if !netip.MustParsePrefix("fd00::/8").Contains(a.Addr()) || a.Bits() != 64 {
		t.Errorf("%s is no unique local /64", a)
	}
}

func TestTunnelAddress(t *testing.T) {
	block := netip.MustParsePrefix("245.0.16.0/20")
	if got := TunnelAddress(block, 3).String(); got != "245.0.16.3" {
		t.Errorf("lane 3: got %s", got)
	}
}

func TestNodeAddress(t *testing.T) {
	seen := map[netip.Addr]bool{}
	for _, block := range []netip.Prefix{netip.MustParsePrefix("245.0.16.0/20"), netip.MustParsePrefix("245.255.240.0/20"), TransitBlock6("demo", 4095)} {
		for n := range NodeAddresses {
			addr := NodeAddress(block, n)
			if !block.Contains(addr) || seen[addr] {
				t.Fatalf("%s: address %d is %s (in block %t, seen %t)", block, n, addr, block.Contains(addr), seen[addr])
			}
			seen[addr] = true
			if got, ok := NodeAddressNumber(addr); got != n || !ok {
				t.Fatalf("the number of %s is %d, %t; want %d", addr, got, ok, n)
			}
		}
		for lane := range v1alpha1.Lane(v1alpha1.MaxLanes) {
			addr := TunnelAddress(block, lane)
			if n, ok := NodeAddressNumber(addr); seen[addr] || ok {
				t.Fatalf("%s of lane %d is the address of node %d, too", addr, lane, n)
			}
		}
	}
	if got := NodeAddress(netip.MustParsePrefix("245.0.16.0/20"), NodeAddresses-1).String(); got != "245.0.31.255" {
		t.Errorf("the last one is %s", got)
	}
	for _, none := range []netip.Addr{{}, netip.MustParseAddr("fd00::1:0:0:80"), netip.MustParseAddr("fd00::1:0:80"), netip.MustParseAddr("fd00::1040")} {
		if n, ok := NodeAddressNumber(none); ok {
			t.Errorf("%s is the address of node %d", none, n)
		}
	}
}

func TestTransitAddressesAsText(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("245.0.16.64"), netip.MustParseAddr("fd00::40")}
	const text = "245.0.16.64,fd00::40"
	if got := FormatTransitAddresses(addrs); got != text {
		t.Errorf("got %s, want %s", got, text)
	}
	for _, value := range []string{text, " 245.0.16.64, fd00::40 ", "245.0.16.64,nonsense,,245.0.16.63,fd00::40,fd00::"} {
		if got := ParseTransitAddresses(value); !slices.Equal(got, addrs) {
			t.Errorf("%q: %v", value, got)
		}
	}
	if got := ParseTransitAddresses(""); got != nil {
		t.Errorf("nothing: %v", got)
	}
}

func TestTransitBlocks(t *testing.T) {
	spec := v1alpha1.ClusterSetSpec{ClusterSetID: "demo", TransitCIDR: "245.0.0.0/8"}
	if got, want := TransitBlocks(&spec, 2), []netip.Prefix{netip.MustParsePrefix("245.0.32.0/20"), TransitBlock6("demo", 2)}; !slices.Equal(got, want) {
		t.Errorf("index 2: %v, want %v", got, want)
	}
	if got := TransitBlocks(&spec, 0); got != nil {
		t.Errorf("without index: %v", got)
	}
	cidrs := TransitCIDRs(&spec)
	for i, block := range TransitBlocks(&spec, 4095) {
		if !cidrs[i].Contains(block.Addr()) || len(cidrs) != 2 {
			t.Errorf("%v do not hold %s", cidrs, block)
		}
	}
	spec.TransitCIDR = "245.0.0.0/16"
	if got, want := TransitBlocks(&spec, 16), []netip.Prefix{TransitBlock6("demo", 16)}; !slices.Equal(got, want) {
		t.Errorf("no room: %v, want %v", got, want)
	}
}
