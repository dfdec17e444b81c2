package clusterset

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func TestRefuseClusterSet(t *testing.T) {
	pods := Block{prefixes("10.40.0.0/16")[0], "the pods"}
	spec := func(transit v1alpha1.CIDR, vips ...v1alpha1.CIDR) *v1alpha1.ClusterSetSpec {
		return &v1alpha1.ClusterSetSpec{TransitCIDR: transit, VIPCIDRs: vips}
	}
	tests := []struct {
		name   string
		spec   *v1alpha1.ClusterSetSpec
		reason string // empty: accepted
		names  string
	}{
		{"fits", spec("245.0.0.0/8", "244.0.0.0/16", "fd00:244::/112"), "", ""},
		{"malformed", spec("245.0.0.0/8", "nonsense"), v1alpha1.ReasonInvalidCIDR, "nonsense"},
		{"host bits", spec("245.0.0.0/8", "244.0.0.1/16"), v1alpha1.ReasonInvalidCIDR, "244.0.0.1/16"},
		{"malformed transit", spec("nonsense", "244.0.0.0/16"), v1alpha1.ReasonInvalidCIDR, "spec.transitCIDR"},
		{"VIPs among pods", spec("245.0.0.0/8", "10.40.5.0/24"), v1alpha1.ReasonCIDROverlap, "the pods"},
		{"VIPs around pods", spec("245.0.0.0/8", "10.0.0.0/8"), v1alpha1.ReasonCIDROverlap, "10.40.0.0/16"},
		{"transit around pods", spec("10.0.0.0/8", "244.0.0.0/16"), v1alpha1.ReasonCIDROverlap, "spec.transitCIDR"},
		{"VIPs in transit", spec("245.0.0.0/8", "245.1.0.0/16"), v1alpha1.ReasonCIDROverlap, "spec.transitCIDR"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := RefuseClusterSet(test.spec, []Block{pods})
			switch {
			case test.reason == "" && got != nil:
				t.Errorf("refused: %+v", got)
			case test.reason != "" && (got == nil || got.Reason != test.reason || !strings.Contains(got.Message, test.names)):
				t.Errorf("got %+v, want %s with %s", got, test.reason, test.names)
			}
		})
	}
}
