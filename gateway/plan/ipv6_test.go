package plan

import (
	"strings"
	"testing"
)

// TestWithoutIPv6: a gateway without IPv6 has the same tunnels and links, without addresses, routes
// and rules of IPv6. It says so if another cluster has IPv6 addresses.
func TestWithoutIPv6(t *testing.T) {
	in := west1()
	with, err := NewTunnels(in)
	if err != nil {
		t.Fatal(err)
	}
	in.NoIPv6 = "somebody turned it off"
	without, err := NewTunnels(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(without.Links) != len(with.Links) || len(without.WireGuard.Devices) != len(with.WireGuard.Devices) || len(without.Warnings) != 0 {
		t.Errorf("%d links on %d devices, warnings %v", len(without.Links), len(without.WireGuard.Devices), without.Warnings)
	}
	for _, d := range without.WireGuard.Devices {
		if len(d.Addresses) != 1 || !d.Addresses[0].Is4() {
			t.Errorf("%s has %v, want one IPv4 address", d.Name, d.Addresses)
		}
	}
	want, routes := 0, Routes(without, View{})
	for _, r := range Routes(with, View{}).Routes {
		if r.Destination.Addr().Is4() {
			want++
		}
	}
	for _, r := range routes.Routes {
		if r.Destination.Addr().Is6() {
			t.Errorf("%s is in the plan", r)
		}
	}
	if len(routes.Routes) != want || len(routes.Rules) != 1 || routes.Rules[0].IPv6 || len(without.TunnelAddresses) != 1 {
		t.Errorf("%d routes, want %d; rules %v; tunnel addresses %v", len(routes.Routes), want, routes.Rules, without.TunnelAddresses)
	}
	in.Remotes[0].CIDRs = append(in.Remotes[0].CIDRs, "fd00:10:1::/48")
	if without, err = NewTunnels(in); err != nil || len(without.Warnings) != 1 || !strings.Contains(without.Warnings[0].Message, "somebody turned it off") {
		t.Errorf("with IPv6 elsewhere: %v, warnings %v", err, without.Warnings)
	}
	if in.CarriesIPv6() {
		t.Error("it carries IPv6")
	}
}
