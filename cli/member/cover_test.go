package member

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestCover(t *testing.T) {
	prefixes := func(all ...string) []netip.Prefix {
		var list []netip.Prefix
		for _, s := range all {
			list = append(list, netip.MustParsePrefix(s))
		}
		return list
	}
	for _, tt := range []struct {
		name     string
		in, want []netip.Prefix
	}{
		{"none", nil, nil},
		{"one", prefixes("10.1.0.0/24"), prefixes("10.1.0.0/24")},
		{"beside each other", prefixes("10.1.0.0/24", "10.1.1.0/24"), prefixes("10.1.0.0/23")},
		{"with a gap", prefixes("10.1.7.0/24", "10.1.1.0/24", "10.1.2.0/24"), prefixes("10.1.0.0/21")},
		{"far apart", prefixes("10.1.0.0/24", "10.200.0.0/24"), prefixes("10.1.0.0/24", "10.200.0.0/24")},
		{"one in the other", prefixes("10.1.0.0/24", "10.1.0.0/20"), prefixes("10.1.0.0/20")},
		{"both families", prefixes("10.1.0.0/24", "fd00:1::/64", "10.1.1.0/24", "fd00:1:0:1::/64"), prefixes("10.1.0.0/23", "fd00:1::/63")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, cover(tt.in), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
