package mcs

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestAllocateVIPs(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("244.0.0.0/16"), netip.MustParsePrefix("fd00:244::/112")
	first4, second4 := v1alpha1.VIPCandidate(v4, "shop", "web", 0), v1alpha1.VIPCandidate(v4, "shop", "web", 1)
	first6 := v1alpha1.VIPCandidate(v6, "shop", "web", 0)
	had := netip.MustParseAddr("244.0.9.9")
	both := []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}
	tests := []struct {
		name     string
		blocks   []netip.Prefix
		families []corev1.IPFamily
		have     []netip.Addr
		held     map[netip.Addr]string
		want     []netip.Addr
		served   []corev1.IPFamily
	}{
		{name: "no block", families: both},
		{"IPv4 only here", []netip.Prefix{v4}, both, nil, nil, []netip.Addr{first4}, []corev1.IPFamily{corev1.IPv4Protocol}},
		{"dual-stack, in the import's order", []netip.Prefix{v4, v6}, both, nil, nil, []netip.Addr{first6, first4}, both},
		{"collision", []netip.Prefix{v4}, both[1:], nil, map[netip.Addr]string{first4: "a/b"}, []netip.Addr{second4}, both[1:]},
		{"stable", []netip.Prefix{v4}, both[1:], []netip.Addr{had}, nil, []netip.Addr{had}, both[1:]},
		{"stable, a second family added", []netip.Prefix{v4, v6}, both, []netip.Addr{had}, nil, []netip.Addr{first6, had}, both},
		{"block changed", []netip.Prefix{netip.MustParsePrefix("244.1.0.0/16")}, both[1:], []netip.Addr{had}, nil,
			[]netip.Addr{v1alpha1.VIPCandidate(netip.MustParsePrefix("244.1.0.0/16"), "shop", "web", 0)}, both[1:]},
		{"held twice, the lower name keeps it", []netip.Prefix{v4}, both[1:], []netip.Addr{had}, map[netip.Addr]string{had: "a/b"},
			[]netip.Addr{first4}, both[1:]},
		{"held twice, we are the lower name", []netip.Prefix{v4}, both[1:], []netip.Addr{had}, map[netip.Addr]string{had: "z/z"},
			[]netip.Addr{had}, both[1:]},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			vips, served, err := AllocateVIPs(VIPRequest{
				Namespace: "shop", Name: "web", Families: test.families, Have: test.have, Blocks: test.blocks,
				Holder: func(a netip.Addr) (string, bool) { h, held := test.held[a]; return h, held },
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, vips, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.served, served); diff != "" {
				t.Errorf("families (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAllocateVIPsFullBlock(t *testing.T) {
	_, _, err := AllocateVIPs(VIPRequest{
		Namespace: "shop", Name: "web", Families: []corev1.IPFamily{corev1.IPv4Protocol},
		Blocks: prefixes("244.0.0.0/29"), Holder: func(netip.Addr) (string, bool) { return "a/b", true },
	})
	if err == nil {
		t.Error("an address out of a full block")
	}
}

func TestHeartbeat(t *testing.T) {
	annotations := HeartbeatAnnotations([]string{"b", "a"})
	for _, test := range []struct {
		name  string
		names []string
		want  bool
	}{
		{"the same, in another order", []string{"a", "b"}, true},
		{"one gone", []string{"a"}, false},
		{"another", []string{"a", "c"}, false},
		{"none", nil, false},
	} {
		if got := HeartbeatConfirms(annotations, test.names); got != test.want {
			t.Errorf("%s: confirms is %v", test.name, got)
		}
	}
	if HeartbeatConfirms(nil, nil) {
		t.Error("a Lease without annotations confirms that nothing is exported")
	}
	if !HeartbeatConfirms(HeartbeatAnnotations(nil), nil) {
		t.Error("a Lease that says nothing is exported does not confirm it")
	}
}
