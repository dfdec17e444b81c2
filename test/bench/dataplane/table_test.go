package dataplane

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddresses(t *testing.T) {
	const most = 5002
	for _, got := range []struct {
		address netip.Addr
		want    string
	}{
		{clusterSetIP(0), "244.0.0.1"}, {clusterSetIP(255), "244.0.1.0"}, {clusterIP(0), "10.96.0.10"},
		{endpoint(0, 0), "10.16.0.32"}, {endpoint(7, 31), "10.16.1.31"},
	} {
		if got.address.String() != got.want {
			t.Errorf("%s, want %s", got.address, got.want)
		}
	}
	for _, tt := range []struct {
		cidr string
		last netip.Addr
	}{{vipCIDR, clusterSetIP(most)}, {serviceCIDR, clusterIP(most)}, {remoteCIDR, endpoint(most, room-1)}} {
		if !netip.MustParsePrefix(tt.cidr).Contains(tt.last) {
			t.Errorf("%s is not in %s", tt.last, tt.cidr)
		}
	}
}

// TestElement: what nft prints of tombolo's slots, and of kube-proxy's virtual IPs.
func TestElement(t *testing.T) {
	const text = `
		elements = { 244.0.0.1 . tcp . 80 . 0 : 10.16.0.32 . 8080,
			     244.0.0.1 . 6 . 80 . 15 : 10.16.0.33 . 8080,
			     10.96.0.10 . tcp . 80 : goto service-X-default/a/tcp/80,
			     10.96.0.11 . udp . 80 : goto service-X-default/b/udp/80 }`
	var got []string
	for _, m := range element.FindAllStringSubmatch(text, -1) {
		got = append(got, strings.Join(m[1:], "|"))
	}
	want := []string{"244.0.0.1|10.16.0.32|8080", "244.0.0.1|10.16.0.33|8080", "10.96.0.10||"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("elements (-want +got)\n%s", diff)
	}
}

func TestCompare(t *testing.T) {
	for _, tt := range []struct{ have, want, says string }{
		{"b a a", "a b", ""},
		{"a", "b a c", `2 of 3 are missing, as "b", and 0 are too many, as ""`},
		{"x a", "a", `0 of 1 are missing, as "", and 1 are too many, as "x"`},
	} {
		says := ""
		if err := compare(strings.Fields(tt.have), strings.Fields(tt.want)); err != nil {
			says = err.Error()
		}
		if says != tt.says {
			t.Errorf("%s, want %s: %q", tt.have, tt.want, says)
		}
	}
}
