package nft

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestDisjoint(t *testing.T) {
	parse := func(texts ...string) (all []netip.Prefix) {
		for _, text := range texts {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	in := parse("10.2.0.0/18", "10.2.1.0/24", "fd00::/8", "10.1.0.0/16", "10.1.0.0/16", "fd01::/48")
	before := fmt.Sprint(in)
	got := Disjoint(in)
	if want := fmt.Sprint(parse("10.1.0.0/16", "10.2.0.0/18", "fd00::/8")); fmt.Sprint(got) != want {
		t.Errorf("Disjoint: %v, want %s", got, want)
	}
	if fmt.Sprint(in) != before {
		t.Error("Disjoint changed its argument")
	}
	if text := Set(got[:2]); text != "{ 10.1.0.0/16, 10.2.0.0/18 }" {
		t.Errorf("Set: %q", text)
	}
}
