package plan

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestProbes(t *testing.T) {
	tests := []struct {
		name string
		edit func(*NetworkInput)
		want []string
	}{
		{"from the transit address to that of each lane", nil, []string{"g1 245.0.32.64 245.0.32.0", "g2 245.0.32.64 245.0.32.1"}},
		{"dead ones, too", func(in *NetworkInput) { in.Live = nil }, []string{"g1 245.0.32.64 245.0.32.0", "g2 245.0.32.64 245.0.32.1"}},
		{"not one without a lane", func(in *NetworkInput) { in.Gateways[0].Status.Lane = nil }, []string{"g1 245.0.32.64 245.0.32.0"}},
		{"from the InternalIP without a transit address", func(in *NetworkInput) { in.Nodes[2].Annotations = nil },
			[]string{"g1 192.0.2.1 245.0.32.0", "g2 192.0.2.1 245.0.32.1"}},
		{"not before the index is known", func(in *NetworkInput) { in.ClusterSet.Status.Index = 0 }, nil},
		{"not without other clusters", func(in *NetworkInput) { in.Remotes = nil }, nil},
		{"not from a gateway", func(in *NetworkInput) { in.Node = "g1" }, nil},
		{"by IPv6 where others have no IPv4", func(in *NetworkInput) {
			for _, r := range in.Remotes {
				r.Spec.CIDRs = []v1alpha1.CIDR{"fd01::/48"}
			}
		}, []string{"g1 fd5f:f9b7:58d1:2::40 fd5f:f9b7:58d1:2::", "g2 fd5f:f9b7:58d1:2::40 fd5f:f9b7:58d1:2::1"}},
		{"by IPv6 where this node has no IPv4", func(in *NetworkInput) {
			in.Nodes[2].Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "fd99::1"}}
		}, []string{"g1 fd5f:f9b7:58d1:2::40 fd5f:f9b7:58d1:2::"}}, // g2 is not on the IPv6 underlay
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := transitInput()
			if tt.edit != nil {
				tt.edit(&in)
			}
			n := plan(t, in)
			var got []string
			for _, p := range n.Probes {
				got = append(got, fmt.Sprint(p.Gateway, " ", p.Source, " ", p.Target))
				if line := fmt.Sprintf("7474: %s/%d via ", p.Target, p.Target.BitLen()); !slices.ContainsFunc(lines(n), func(l string) bool {
					return len(l) > len(line) && l[:len(line)] == line
				}) {
					t.Errorf("nothing leads to %s", p.Target)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestTunnel(t *testing.T) {
	in := transitInput()
	in.Node = "g2"
	if got := fmt.Sprint(plan(t, in).Tunnel); got != "[245.0.32.1 fd5f:f9b7:58d1:2::1]" {
		t.Errorf("a gateway: %s", got)
	}
	in.Gateways[0].Status.Lane = nil
	if got := plan(t, in).Tunnel; got != nil {
		t.Errorf("a gateway without a lane: %v", got)
	}
	if got := plan(t, transitInput()).Tunnel; got != nil {
		t.Errorf("a worker: %v", got)
	}
}
