package clusterset

import (
	"net/netip"
	"strings"
	"testing"
)

func prefixList(text string) []netip.Prefix {
	var all []netip.Prefix
	for _, one := range strings.Fields(text) {
		all = append(all, netip.MustParsePrefix(one))
	}
	return all
}

func TestJudgeCoverage(t *testing.T) {
	var nodes []string
	for _, n := range []string{"0", "2", "4", "6", "8"} {
		for _, m := range strings.Split("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14", " ") {
			nodes = append(nodes, "10.2"+m+"."+n+".0/24")
		}
	}
	for _, tt := range []struct {
		name                   string
		approved, used, others string
		outside                int
		enough, clash          string
	}{
		{"all inside", "10.2.0.0/16 fd02::/48", "10.2.3.0/24 10.2.0.9/32 fd02::9/128", "", 0, "", ""},
		{"in two that meet", "10.2.0.0/24 10.2.1.0/24", "10.2.0.0/23", "", 0, "", ""},
		{"a part", "10.2.0.0/24", "10.2.0.0/23", "", 1, "10.2.0.0/23", ""},
		{"a node", "10.2.0.0/24", "10.2.0.0/24 10.2.1.0/24", "", 1, "10.2.0.0/23", ""},
		{"nodes far away", "10.2.0.0/24", "10.2.4.0/24 10.9.0.0/24", "", 2, "10.2.0.0/24, 10.2.4.0/24, 10.9.0.0/24", ""},
		{"an address", "10.2.0.0/24", "10.9.0.7/32", "", 1, "10.2.0.0/24, 10.9.0.0/24", ""},
		{"an address beside another member", "10.2.0.0/24", "10.9.0.7/32", "10.9.0.128/25", 1, "10.2.0.0/24, 10.9.0.7/32", ""},
		{"IPv6", "10.2.0.0/24 fd02::/64", "fd02:0:0:1::/64 fd02:0:0:7::7/128", "", 2, "10.2.0.0/24, fd02::/63, fd02:0:0:7::/64", ""},
		{"another member has it", "10.2.0.0/24", "10.3.1.0/24", "10.3.0.0/16", 1, "10.2.0.0/24, 10.3.1.0/24", "10.3.1.0/24"},
		{"nothing is approved", "", "10.2.0.0/24", "", 1, "10.2.0.0/24", ""},
		{"too many", "10.20.0.0/24", strings.Join(nodes, " "), "", 74, "10.0.0.0/8", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := JudgeCoverage(prefixList(tt.approved), BlocksOf(prefixList(tt.used), "used"), BlocksOf(prefixList(tt.others), "Member other"))
			clash := ""
			if got.Clash != nil {
				clash = got.Clash.Prefix.String()
			}
			if enough := JoinPrefixes(got.Enough); len(got.Outside) != tt.outside || clash != tt.clash || tt.enough != "10.0.0.0/8" && enough != tt.enough {
				t.Errorf("got %d outside, %s, clash %s", len(got.Outside), enough, clash)
			}
			if len(got.Enough) > MaxMemberCIDRs {
				t.Errorf("%d CIDRs are more than a Member may have", len(got.Enough))
			}
			if again := JudgeCoverage(got.Enough, BlocksOf(prefixList(tt.used), "used"), nil); tt.outside > 0 && len(again.Outside) > 0 {
				t.Errorf("with %s these are outside: %v", JoinPrefixes(got.Enough), again.Outside)
			}
		})
	}
}
