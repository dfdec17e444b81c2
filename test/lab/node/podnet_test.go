package node

import (
	"maps"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/knftables"
)

type routes = map[netip.Prefix]netip.Addr

// route parses pairs of destination and next hop.
func route(pairs ...string) routes {
	r := routes{}
	for i := 0; i < len(pairs); i += 2 {
		r[netip.MustParsePrefix(pairs[i])] = netip.MustParseAddr(pairs[i+1])
	}
	return r
}

// netipEqual compares what netip's types are by ==.
var netipEqual = cmp.Options{
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
}

func TestRoutesTo(t *testing.T) {
	internal := func(addresses ...string) []corev1.NodeAddress {
		all := []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "10.9.9.9"}}
		for _, a := range addresses {
			all = append(all, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
		}
		return all
	}
	tests := []struct {
		name      string
		cidrs     []string
		addresses []corev1.NodeAddress
		want      routes
	}{
		{name: "no CIDR yet", addresses: internal("192.168.0.1"), want: routes{}},
		{name: "no address yet", cidrs: []string{"10.1.0.0/24"}, addresses: internal(), want: routes{}},
		{name: "one family", cidrs: []string{"10.1.0.0/24"}, addresses: internal("192.168.0.1"), want: route("10.1.0.0/24", "192.168.0.1")},
		{
			name: "two families", cidrs: []string{"10.1.0.0/24", "fd00:1::/64"}, addresses: internal("fd00::1", "192.168.0.1"),
			want: route("10.1.0.0/24", "192.168.0.1", "fd00:1::/64", "fd00::1"),
		},
		{name: "other family only", cidrs: []string{"fd00:1::/64"}, addresses: internal("192.168.0.1"), want: routes{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := &corev1.Node{Spec: corev1.NodeSpec{PodCIDRs: tt.cidrs}, Status: corev1.NodeStatus{Addresses: tt.addresses}}
			if diff := cmp.Diff(tt.want, routesTo(n), netipEqual); diff != "" {
				t.Errorf("routesTo (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDiffRoutes(t *testing.T) {
	a := route("10.1.0.0/24", "192.168.0.1", "10.1.1.0/24", "192.168.0.2")
	b := route("10.1.1.0/24", "192.168.0.3", "10.1.1.0/25", "192.168.0.2", "fd00::/64", "fd01::1")
	for _, tt := range []struct {
		name       string
		have, want routes
	}{
		{"from nothing", routes{}, a},
		{"to nothing", a, routes{}},
		{"mixed", a, b},
		{"same", b, b},
	} {
		t.Run(tt.name, func(t *testing.T) {
			add, remove := diffRoutes(tt.have, tt.want)
			if tt.name == "same" && len(add)+len(remove) > 0 {
				t.Errorf("add %v, remove %v; want nothing", add, remove)
			}
			got := maps.Clone(tt.have)
			for _, dst := range remove {
				delete(got, dst)
			}
			for _, dst := range add {
				got[dst] = tt.want[dst]
			}
			if diff := cmp.Diff(tt.want, got, netipEqual); diff != "" {
				t.Errorf("after the change (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMasqueradeRule(t *testing.T) {
	cidrs := prefixes([]string{"10.1.0.0/16", "10.9.0.0/16", "fd00:1::/48"})
	tests := []struct {
		name   string
		cni    string
		family knftables.Family
		cidrs  []netip.Prefix
		want   string
	}{
		{
			name: "as kindnet does", cni: CNIKindnet, family: knftables.IPv4Family, cidrs: cidrs,
			want: "ip daddr != { 10.1.0.0/16, 10.9.0.0/16 } fib daddr type != local masquerade",
		},
		{
			name: "IPv4", family: knftables.IPv4Family, cidrs: cidrs,
			want: "oifname eth0 ip daddr != { 10.1.0.0/16, 10.9.0.0/16 } fib saddr type != local masquerade",
		},
		{
			name: "IPv6", family: knftables.IPv6Family, cidrs: cidrs,
			want: "oifname eth0 ip6 daddr != { fd00:1::/48 } fib saddr type != local masquerade",
		},
		{name: "absent family", family: knftables.IPv6Family, cidrs: cidrs[:1]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, masqueradeRule(tt.cni, tt.family, tt.cidrs)); diff != "" {
				t.Errorf("rule (-want +got):\n%s", diff)
			}
		})
	}
}
