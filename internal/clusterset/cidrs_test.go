package clusterset

import (
	"net/netip"
	"testing"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestParseCIDR(t *testing.T) {
	tests := []struct {
		name string
		cidr v1alpha1.CIDR
		want string // empty: it is refused
	}{
		{"IPv4", "10.1.0.0/16", "10.1.0.0/16"},
		{"IPv6", "fd00:1::/64", "fd00:1::/64"},
		{"host bits", "10.1.0.1/16", ""},
		{"an address", "10.1.0.0", ""},
		{"nothing", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := ParseCIDR(test.cidr)
			if ok != (test.want != "") || ok && got.String() != test.want {
				t.Errorf("got %s, %t", got, ok)
			}
		})
	}
}

func TestFirstOverlap(t *testing.T) {
	used := BlocksOf(prefixes("10.1.0.0/16", "10.2.0.0/16", "fd00::/48"), "a cluster")
	tests := []struct {
		name          string
		claimed       []netip.Prefix
		prefix, block string // empty: none
	}{
		{"free", prefixes("10.3.0.0/16", "fd00:1::/48"), "", ""},
		{"nothing is claimed", nil, "", ""},
		{"inside", prefixes("10.3.0.0/16", "10.2.4.0/24"), "10.2.4.0/24", "10.2.0.0/16"},
		{"around", prefixes("10.0.0.0/8"), "10.0.0.0/8", "10.1.0.0/16"},
		{"the first of those claimed", prefixes("fd00::/64", "10.1.0.0/16"), "fd00::/64", "fd00::/48"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o, overlaps := FirstOverlap(test.claimed, used)
			if overlaps != (test.prefix != "") || overlaps && (o.Prefix.String() != test.prefix || o.Block.Prefix.String() != test.block) {
				t.Errorf("got %+v, %t", o, overlaps)
			}
		})
	}
}
