package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWithoutIPv6: a node without IPv6 gets all of the plan that is IPv4, and nothing else; it says
// so if there was something to leave out.
func TestWithoutIPv6(t *testing.T) {
	for _, name := range []string{"a", "g1"} {
		in := input()
		in.Node = name
		whole, err := NewNetwork(in)
		if err != nil {
			t.Fatal(err)
		}
		in.NoIPv6 = "somebody turned it off"
		got, err := NewNetwork(in)
		if err != nil {
			t.Fatal(err)
		}
		want := slices.DeleteFunc(lines(whole), func(line string) bool {
			return strings.Contains(line, "::") || strings.Contains(line, "ipv6 true")
		})
		if diff := cmp.Diff(want, lines(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for _, p := range slices.Concat(got.VIPs, got.Own, got.Remote, got.TransitCIDRs) {
			if p.Addr().Is6() {
				t.Errorf("%s: %s is in the plan", name, p)
			}
		}
		if len(got.VIPs) != 1 || len(got.Own) != 2 || len(got.Remote) != 2 || got.LeftOut != "IPv6 is left out: somebody turned it off" {
			t.Errorf("%s: VIPs %v, own %v, remote %v, says %q", name, got.VIPs, got.Own, got.Remote, got.LeftOut)
		}
	}
	in := input()
	in.NoIPv6 = "somebody turned it off"
	in.ClusterSet.Spec.VIPCIDRs, in.ClusterSet.Status.CIDRs = in.ClusterSet.Spec.VIPCIDRs[:1], in.ClusterSet.Status.CIDRs[1:]
	in.Remotes = in.Remotes[:1]
	if got, err := NewNetwork(in); err != nil || got.LeftOut != "" || whole(got) {
		t.Errorf("without any IPv6 to leave out: %v, says %q", err, got.LeftOut)
	}
}

// whole reports whether the VXLAN has neighbours of IPv6.
func whole(n Network) bool {
	for _, x := range n.VXLAN.Neighbours {
		if x.Address.Is6() {
			return true
		}
	}
	return false
}
