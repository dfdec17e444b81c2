package lab

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// describe returns a line for each cluster and node.
func describe(t Topology) []string {
	var lines []string
	for _, c := range t.Clusters {
		lines = append(lines, strings.Join([]string{c.Name, c.CNI, join(c.PodCIDRs), join(c.ServiceCIDRs), c.DNS.String()}, " "))
		for _, n := range c.Nodes {
			line := strings.Join([]string{n.Name, join(n.Addresses), n.Zone, n.MAC}, " ")
			if n.Gateway {
				line += " gateway"
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// join lists values that can be printed.
func join[T fmt.Stringer](values []T) string {
	texts := make([]string, 0, len(values))
	for _, v := range values {
		texts = append(texts, v.String())
	}
	return strings.Join(texts, ",")
}

func TestTopologyOf(t *testing.T) {
	tests := []struct {
		name string
		in   Options
		want []string
	}{{
		name: "default",
		want: []string{
			"east routed 10.1.0.0/16 10.101.0.0/16 10.101.0.10",
			"east-1 192.168.127.11 east-a 02:74:6f:6d:01:01 gateway",
			"east-2 192.168.127.12 east-b 02:74:6f:6d:01:02",
			"west routed 10.2.0.0/18 10.102.0.0/16 10.102.0.10",
			"west-1 192.168.127.21 west-a 02:74:6f:6d:02:01 gateway",
			"west-2 192.168.127.22 west-b 02:74:6f:6d:02:02",
		},
	}, {
		name: "nobody serves cluster IPs",
		in:   Options{Clusters: 1, Nodes: 1, ProxyMode: []string{"none"}},
		want: []string{
			"east routed 10.1.0.0/16 10.101.0.0/16 192.168.127.11",
			"east-1 192.168.127.11 east-a 02:74:6f:6d:01:01 gateway",
		},
	}, {
		name: "IP families",
		in:   Options{Clusters: 3, Nodes: 1, IPFamily: []string{"dual", "ipv6", "dual6"}},
		want: []string{
			"east routed 10.1.0.0/16,fd00:10:1::/56 10.101.0.0/16,fd00:10:101::/112 10.101.0.10",
			"east-1 192.168.127.11,fd00:192:168:127::11 east-a 02:74:6f:6d:01:01 gateway",
			"west routed fd00:10:2::/58 fd00:10:102::/112 fd00:10:102::a",
			"west-1 fd00:192:168:127::21 west-a 02:74:6f:6d:02:01 gateway",
			"north routed fd00:10:3::/56,10.3.0.0/16 fd00:10:103::/112,10.103.0.0/16 fd00:10:103::a",
			"north-1 fd00:192:168:127::31,192.168.127.31 north-a 02:74:6f:6d:03:01 gateway",
		},
	}, {
		name: "two zones, two gateways",
		in:   Options{Clusters: 1, Nodes: 3, Zones: 2, Gateways: 2},
		want: []string{
			"east routed 10.1.0.0/16 10.101.0.0/16 10.101.0.10",
			"east-1 192.168.127.11 east-a 02:74:6f:6d:01:01 gateway",
			"east-2 192.168.127.12 east-b 02:74:6f:6d:01:02 gateway",
			"east-3 192.168.127.13 east-a 02:74:6f:6d:01:03",
		},
	}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Bin, tt.in.Cache, tt.in.Init = "/bin", "/cache", "/init"
			o, err := tt.in.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, describe(topologyOf(o))); diff != "" {
				t.Errorf("topology (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTopologyIsUnique(t *testing.T) {
	seen := map[string]bool{}
	o := Options{Clusters: maxClusters, Nodes: maxNodes, Gateways: 1, Zones: maxNodes, CNI: []string{"routed"}, ProxyMode: []string{"iptables"}, IPFamily: []string{"dual"}}
	for _, n := range topologyOf(o).Nodes() {
		for _, key := range []string{n.Name, n.Addresses[0].String(), n.Addresses[1].String(), n.MAC} {
			if seen[key] {
				t.Errorf("%s is there twice", key)
			}
			seen[key] = true
		}
	}
}

// TestEach: a choice for each cluster; the last choice holds for the rest.
func TestEach(t *testing.T) {
	for _, tt := range []struct{ in, want []string }{
		{nil, []string{"routed", "routed", "routed"}},
		{[]string{"kindnet"}, []string{"kindnet", "kindnet", "kindnet"}},
		{[]string{"routed", "kindnet"}, []string{"routed", "kindnet", "kindnet"}},
	} {
		o, err := Options{Clusters: 3, CNI: tt.in, ProxyMode: []string{"ipvs", "none"}, Bin: "/bin", Cache: "/cache", Init: "/init"}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		var got, modes []string
		for _, c := range topologyOf(o).Clusters {
			got, modes = append(got, c.CNI), append(modes, c.ProxyMode)
		}
		if diff := cmp.Diff([]string{"ipvs", "none", "none"}, modes); diff != "" {
			t.Errorf("proxy modes (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.in, diff)
		}
	}
}

func TestOptionsValidate(t *testing.T) {
	tests := []struct {
		name string
		in   Options
		want string
	}{
		{"clusters", Options{Clusters: 10}, "10 clusters: allowed are 1 to 9"},
		{"nodes", Options{Nodes: -1, Zones: 1}, "-1 nodes in a cluster: allowed are 1 to 9"},
		{"gateways", Options{Gateways: 3}, "3 gateways in a cluster of 2 nodes: allowed are 1 to 2"},
		{"zones", Options{Zones: 3}, "3 zones in a cluster of 2 nodes: allowed are 1 to 2"},
		{"CNI", Options{CNI: []string{"kindnet", "weave"}}, `CNI "weave": allowed are routed, kindnet, flannel, calico`},
		{"too many CNIs", Options{CNI: []string{"kindnet", "routed", "routed"}}, "CNIs kindnet, routed, routed: there are more than the 2 clusters"},
		{"proxy mode", Options{ProxyMode: []string{"ebpf"}}, `proxy mode "ebpf": allowed are iptables, nftables, ipvs, none`},
		{"IP family", Options{IPFamily: []string{"dual", "v6"}}, `--ip-family dual,v6: "v6" is no IP family: use one of ipv4, ipv6, dual, dual6`},
		{"too many IP families", Options{IPFamily: []string{"dual", "ipv6", "ipv4"}}, "--ip-family dual,ipv6,ipv4: 3 values for 2 clusters: give one for each cluster at most, or --clusters 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.in.withDefaults()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestTombolo(t *testing.T) {
	l := &Lab{options: Options{Init: "/bin/lab"}}
	for ref, want := range map[string]string{
		"tombolo-net/tombolo:dev":      "/bin/tombolo",
		"tombolo-net/tombolo":          "/bin/tombolo",
		"tombolo-net/tombolo:next-2":   "/bin/next/tombolo",
		"tombolo-net/tombolo:previous": "/bin/previous/tombolo",
	} {
		if got := l.tombolo(ref); got != want {
			t.Errorf("%s: %s, want %s", ref, got, want)
		}
	}
}
