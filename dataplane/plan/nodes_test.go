package plan

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// forged is the input for the gateway g1, with one node more, the youngest, that says this of itself.
func forged(address, pods string) NetworkInput {
	in := transitInput()
	in.Node = "g1"
	in.ClusterSet.Status.CIDRs = []v1alpha1.CIDR{"10.2.0.0/16", "192.0.2.0/24", "fd02::/48"}
	for i, node := range in.Nodes {
		node.CreationTimestamp = metav1.NewTime(time.Unix(int64(i), 0))
	}
	evil := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a-evil", CreationTimestamp: metav1.NewTime(time.Unix(1000, 0))}}
	for _, a := range strings.Fields(address) {
		evil.Status.Addresses = append(evil.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	if pods != "" {
		evil.Spec.PodCIDRs = []string{pods}
	}
	in.Nodes = append(slices.Clone(in.Nodes), evil)
	return in
}

// TestNodesThatLie: what a node says of itself draws no flows of others, and keeps no plan from being
// made. All other nodes are as if the lie were not there.
func TestNodesThatLie(t *testing.T) {
	for _, tt := range []struct{ name, address, pods, odd string }{
		{"the address of another node's pod", "10.2.1.7", "", "node a-evil: InternalIP 10.2.1.7 lies among the pods of node a"},
		{"the same, as another address", "192.0.2.200 10.2.1.7", "", ""},
		{"the address of another node", "192.0.2.1", "", "node a-evil: InternalIP 192.0.2.1 is that of node a"},
		{"an address in the VIP CIDR", "244.0.0.9", "", "node a-evil: InternalIP 244.0.0.9 lies in a VIP CIDR"},
		{"one pod of another node", "192.0.2.200", "10.2.1.7/32", "node a-evil: podCIDR 10.2.1.7/32 lies among the pods of node a"},
		{"pods in the VIP CIDR", "192.0.2.200", "244.0.1.0/24", "node a-evil: podCIDR 244.0.1.0/24 overlaps a VIP CIDR"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := plan(t, forged(tt.address, tt.pods))
			if text := strings.Join(got.Odd, "; "); text != tt.odd {
				t.Errorf("odd: %q, want %q", text, tt.odd)
			}
			honest := plan(t, forged("", ""))
			for _, r := range honest.Routes.Routes {
				if !slices.ContainsFunc(got.Routes.Routes, r.Equal) {
					t.Errorf("lost %+v", r)
				}
			}
			for _, r := range got.Routes.Routes {
				if !slices.ContainsFunc(honest.Routes.Routes, r.Equal) && r.Destination != netip.MustParsePrefix("192.0.2.200/32") {
					t.Errorf("drawn: %+v", r)
				}
			}
			if diff := cmp.Diff(honest.VXLAN.Neighbours, slices.DeleteFunc(slices.Clone(got.VXLAN.Neighbours), func(n vxlan.Neighbour) bool {
				return n.MAC == clusterset.NodeMAC("a-evil")
			}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("neighbours (-want +got):\n%s", diff)
			}
		})
	}
}
