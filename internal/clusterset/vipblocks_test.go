package clusterset

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestVIPBlocks(t *testing.T) {
	// As printf vip/demo | sha256sum has it.
	const derived = "fd6c:eb84:556b::/112"
	type cidrs = []v1alpha1.CIDR
	tests := []struct {
		name      string
		spec, own cidrs
		want      []string
	}{
		{"IPv4 alone", cidrs{"244.0.0.0/16"}, cidrs{"10.1.0.0/16"}, []string{"244.0.0.0/16"}},
		{"IPv6 alone", cidrs{"244.0.0.0/16"}, cidrs{"fd00:1::/56"}, []string{derived}},
		{"both", cidrs{"244.0.0.0/16"}, cidrs{"10.1.0.0/16", "fd00:1::/56"}, []string{"244.0.0.0/16", derived}},
		{"both, a block of one's own", cidrs{"fd77::/112", "244.0.0.0/16"}, cidrs{"10.1.0.0/16", "fd00:1::/56"}, []string{"fd77::/112", "244.0.0.0/16"}},
		{"both, IPv6 alone is asked for", cidrs{"fd77::/112"}, cidrs{"10.1.0.0/16", "fd00:1::/56"}, []string{"fd77::/112"}},
		{"not known yet", cidrs{"244.0.0.0/16"}, nil, []string{"244.0.0.0/16"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := &v1alpha1.ClusterSet{
				Spec:   v1alpha1.ClusterSetSpec{ClusterSetID: "demo", VIPCIDRs: tt.spec},
				Status: v1alpha1.ClusterSetStatus{CIDRs: tt.own},
			}
			got := []string{}
			for _, p := range VIPBlocks(set) {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("blocks (-want +got):\n%s", diff)
			}
		})
	}
}

// The transit blocks of no clusterset may hold its clusterset IPs.
func TestVIPBlock6IsNoTransitBlock(t *testing.T) {
	for _, id := range []string{"demo", "a", "production"} {
		if transit := TransitCIDR6(id); transit.Overlaps(VIPBlock6(id)) || VIPBlock6(id) == (netip.Prefix{}) {
			t.Errorf("clusterset %s: clusterset IPs from %s, transit addresses from %s", id, VIPBlock6(id), transit)
		}
	}
}
