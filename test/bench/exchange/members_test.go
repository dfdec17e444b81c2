package exchange

import (
	"net/netip"
	"testing"
)

// Each address tells one change from all others, and is one that the member may publish.
func TestAddresses(t *testing.T) {
	members := append(crowdMembers(DefaultMembers-1), member{id: measured, index: DefaultMembers})
	seen := map[string]bool{}
	use := func(m member, address string) {
		t.Helper()
		addr, err := netip.ParseAddr(address)
		if err != nil || !netip.MustParsePrefix(string(m.onHub().Spec.CIDRs[0])).Contains(addr) {
			t.Fatalf("member %s may not publish %s: %v", m.id, address, err)
		}
		if seen[address] {
			t.Fatalf("%s is used twice", address)
		}
		seen[address] = true
	}
	for _, m := range members {
		for n := range DefaultServices {
			for _, e := range m.slice(n).Endpoints {
				use(m, e.Addresses[0])
			}
		}
	}
	for n := range changesPerSecond * 60 {
		m := members[n%len(members)]
		use(m, m.address(spare+n))
	}
}
