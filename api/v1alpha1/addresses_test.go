package v1alpha1

import (
	"net/netip"
	"slices"
	"testing"
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

func TestVIPCandidate(t *testing.T) {
	for _, block := range []string{"244.0.0.0/16", "244.0.0.0/30", "244.0.0.8/31", "244.0.0.8/32", "fd00:1::/112", "fd00:1::/64"} {
		prefix := netip.MustParsePrefix(block)
		n := min(VIPCapacity(prefix), 70000)
		seen := map[netip.Addr]bool{}
		for i := range n {
			addr := VIPCandidate(prefix, "shop", "cart", i)
			if !prefix.Contains(addr) || seen[addr] {
				t.Fatalf("%s: candidate %d is %s (in block %v, seen %v)", block, i, addr, prefix.Contains(addr), seen[addr])
			}
			seen[addr] = true
		}
		if hostBits(prefix) >= 2 && seen[prefix.Addr()] {
			t.Errorf("%s: the network address was given out", block)
		}
	}
}

// The position must never change: every member derives the same one.
func TestVIPCandidateIsStable(t *testing.T) {
	if got := VIPCandidate(netip.MustParsePrefix("244.0.0.0/16"), "shop", "cart", 0).String(); got != "244.0.204.134" {
		t.Errorf("got %s: clusters of other versions place it elsewhere", got)
	}
}

func TestHubNames(t *testing.T) {
	if got := HubSliceName("east", "shop", "cart", 2); got != HubName("east", "shop", "cart")+".2" {
		t.Errorf("slice name %s", got)
	}
	if got := len(HubName("east", "shop", "cart")); got != len("east.")+16 {
		t.Errorf("name has %d characters", got)
	}
}

// A node's address comes after the lanes', is the same number in every block and family, and can be read back.
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
		for lane := range Lane(MaxLanes) {
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
	spec := ClusterSetSpec{ClusterSetID: "demo", TransitCIDR: "245.0.0.0/8"}
	if got, want := spec.TransitBlocks(2), []netip.Prefix{netip.MustParsePrefix("245.0.32.0/20"), TransitBlock6("demo", 2)}; !slices.Equal(got, want) {
		t.Errorf("index 2: %v, want %v", got, want)
	}
	if got := spec.TransitBlocks(0); got != nil {
		t.Errorf("without index: %v", got)
	}
	cidrs := spec.TransitCIDRs()
	for i, block := range spec.TransitBlocks(4095) {
		if !cidrs[i].Contains(block.Addr()) || len(cidrs) != 2 {
			t.Errorf("%v do not hold %s", cidrs, block)
		}
	}
	spec.TransitCIDR = "245.0.0.0/16"
	if got, want := spec.TransitBlocks(16), []netip.Prefix{TransitBlock6("demo", 16)}; !slices.Equal(got, want) {
		t.Errorf("no room: %v, want %v", got, want)
	}
}
