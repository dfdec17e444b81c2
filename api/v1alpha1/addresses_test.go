package v1alpha1

import (
	"net/netip"
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
