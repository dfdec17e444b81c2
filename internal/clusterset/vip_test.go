package clusterset

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestAllocateVIPs(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("244.0.0.0/16"), netip.MustParsePrefix("fd00:244::/112")
	first4, second4 := VIPCandidate(v4, "shop", "web", 0), VIPCandidate(v4, "shop", "web", 1)
	first6 := VIPCandidate(v6, "shop", "web", 0)
	had := netip.MustParseAddr("244.0.9.9")
	both := []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}
	tests := []struct {
		name     string
		blocks   []netip.Prefix
		families []corev1.IPFamily
		have     []netip.Addr
		held     map[netip.Addr]string
		want     []netip.Addr
		unserved []corev1.IPFamily
	}{
		{name: "no block", families: both, unserved: both},
		{"IPv4 only here", []netip.Prefix{v4}, both, nil, nil, []netip.Addr{first4}, both[:1]},
		{"dual-stack, in the import's order", []netip.Prefix{v4, v6}, both, nil, nil, []netip.Addr{first6, first4}, nil},
		{"collision", []netip.Prefix{v4}, both[1:], nil, map[netip.Addr]string{first4: "a/b"}, []netip.Addr{second4}, nil},
		{"stable", []netip.Prefix{v4}, both[1:], []netip.Addr{had}, nil, []netip.Addr{had}, nil},
		{"stable, a second family added", []netip.Prefix{v4, v6}, both, []netip.Addr{had}, nil, []netip.Addr{first6, had}, nil},
		{"block changed", []netip.Prefix{netip.MustParsePrefix("244.1.0.0/16")}, both[1:], []netip.Addr{had}, nil,
			[]netip.Addr{VIPCandidate(netip.MustParsePrefix("244.1.0.0/16"), "shop", "web", 0)}, nil},
		{"held twice, the lower name keeps it", []netip.Prefix{v4}, both[1:], []netip.Addr{had}, map[netip.Addr]string{had: "a/b"},
			[]netip.Addr{first4}, nil},
		{"held twice, we are the lower name", []netip.Prefix{v4}, both[1:], []netip.Addr{had}, map[netip.Addr]string{had: "z/z"},
			[]netip.Addr{had}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			vips := AllocateVIPs(VIPRequest{
				Namespace: "shop", Name: "web", Families: test.families, Have: test.have, Blocks: test.blocks,
				Holder: func(a netip.Addr) (string, bool) { h, held := test.held[a]; return h, held },
			})
			if diff := cmp.Diff(test.want, vips.Addrs, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.unserved, vips.Unserved); diff != "" || len(vips.Full) > 0 {
				t.Errorf("full %v, families not served (-want +got):\n%s", vips.Full, diff)
			}
		})
	}
}

func TestAllocateVIPsFullBlock(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("244.0.0.0/29"), netip.MustParsePrefix("fd00:244::/112")
	searched := 0
	request := VIPRequest{
		Namespace: "shop", Name: "web", Families: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol},
		Blocks: []netip.Prefix{v4, v6},
		Holder: func(a netip.Addr) (string, bool) { searched++; return "a/b", a.Is4() },
	}
	vips := AllocateVIPs(request)
	if len(vips.Full) != 1 || vips.Full[0] != v4 || len(vips.Addrs) != 1 || !v6.Contains(vips.Addrs[0]) {
		t.Errorf("got %+v, want an address in %s only, as %s is full", vips, v6, v4)
	}
	searched, request.Full = 0, vips.Full
	if vips := AllocateVIPs(request); len(vips.Full) != 1 || searched > 1 {
		t.Errorf("got %+v after %d look-ups, want no search in the block that is full", vips, searched)
	}
	request.Have, request.Holder = []netip.Addr{netip.MustParseAddr("244.0.0.3")}, func(netip.Addr) (string, bool) { return "", false }
	if vips := AllocateVIPs(request); len(vips.Full) != 0 || vips.Addrs[0] != request.Have[0] {
		t.Errorf("got %+v, want the address that it has to stay though its block is full", vips)
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
