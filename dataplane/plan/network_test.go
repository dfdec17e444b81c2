package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

func node(name string, labels map[string]string, pods []string, addresses ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: corev1.NodeSpec{PodCIDRs: pods}}
	for _, a := range addresses {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: name})
	return n
}

func gateway(name string, lane v1alpha1.Lane, addresses ...v1alpha1.IPAddress) *v1alpha1.GatewayNode {
	return &v1alpha1.GatewayNode{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:   v1alpha1.GatewayNodeSpec{NodeName: name, UnderlayAddresses: addresses},
		Status: v1alpha1.GatewayNodeStatus{Lane: &lane}}
}

func remote(name string, cidrs ...v1alpha1.CIDR) *v1alpha1.RemoteCluster {
	return &v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.RemoteClusterSpec{CIDRs: cidrs}}
}

func condition(kind string, status metav1.ConditionStatus) []metav1.Condition {
	return []metav1.Condition{{Type: kind, Status: status}}
}

// input is a dual-stack cluster of two gateways and two workers; "a" is asked about.
func input() NetworkInput {
	return NetworkInput{
		Node: "a",
		ClusterSet: &v1alpha1.ClusterSet{
			Spec: v1alpha1.ClusterSetSpec{ClusterID: "west", VIPCIDRs: []v1alpha1.CIDR{"244.0.0.0/16", "fd77::/112"}, TransitCIDR: "245.0.0.0/8",
				Dataplane: v1alpha1.DataplaneOptions{VXLANID: 9, VXLANPort: 4789}},
			Status: v1alpha1.ClusterSetStatus{CIDRs: []v1alpha1.CIDR{"fd02::/48", "10.2.0.0/18", "192.0.2.2/32"}},
		},
		Nodes: []*corev1.Node{
			node("g1", nil, []string{"10.2.8.0/24", "fd02:0:0:8::/64"}, "192.0.2.11", "fd99::11"),
			node("g2", nil, []string{"10.2.9.0/24"}, "192.0.2.12"),
			node("a", nil, []string{"10.2.1.0/24", "fd02:0:0:1::/64"}, "192.0.2.1", "fd99::1"),
			node("b", nil, []string{"10.2.2.0/24", "fd02:0:0:2::/64"}, "192.0.2.2", "fd99::2"),
		},
		Gateways:    []*v1alpha1.GatewayNode{gateway("g2", 1, "192.0.2.12"), gateway("g1", 0, "192.0.2.11", "fd99::11")},
		Remotes:     []*v1alpha1.RemoteCluster{remote("north", "10.3.0.0/16"), remote("east", "10.1.0.0/16", "fd01::/48")},
		UnderlayMTU: 1500,
		Live:        clusterset.LiveGateways{"g1": true, "g2": true},
	}
}

// lines are what a Config says, one for each object, with node names instead of what derives from
// them.
func lines(n Network) []string {
	var all []string
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for _, v := range n.VXLAN.Devices {
		add("vxlan %d:%d local %s mtu %d mac %s", v.ID, v.Port, v.Local, v.MTU, v.MAC)
		if v.RPFilter != rtnl.RPFilterOff {
			add("rp_filter %d", v.RPFilter)
		}
	}
	for _, x := range n.VXLAN.Addresses {
		if x.Address != vxlan.Anchor() {
			add("%s", x)
		}
	}
	// An anchor is beside another address and nowhere else: an older version, which does not know it,
	// takes it away, and with the last address the kernel forgets the device's routes.
	if anchored := slices.Contains(n.VXLAN.Addresses, vxlan.Address{Device: vxlan.Name, Address: vxlan.Anchor()}); anchored != (len(n.VXLAN.Addresses) > 1) {
		add("anchored %t", anchored)
	}
	for _, x := range n.VXLAN.Neighbours {
		add("neighbour %s %s", x.Address, x.MAC)
	}
	for _, x := range n.VXLAN.Forwards {
		add("forward %s %s", x.MAC, x.Underlay)
	}
	for _, r := range n.Routes.Routes {
		switch r.Type {
		case route.Local:
			add("local %s src %s", r.Destination, r.Source)
		case route.Unicast:
			var hops []string
			for _, h := range r.Hops {
				hops = append(hops, h.Gateway.String())
			}
			add("%d: %s via %s mtu %d", r.Table, r.Destination, strings.Join(hops, ","), r.MTU)
		case route.Unreachable:
			add("%d: %s unreachable", r.Table, r.Destination)
		}
		if r.Metric != route.Metric {
			add("metric %d", r.Metric)
		}
	}
	for _, r := range n.Routes.Rules {
		add("%s ipv6 %t table %d", r, r.IPv6, r.Table)
	}
	for i := range all {
		for _, name := range []string{"a", "b", "g1", "g2"} {
			mac, linkLocal := vxlan.MAC(clusterset.NodeMAC(name)).String(), clusterset.NodeLinkLocal(name).String()
			all[i] = strings.ReplaceAll(strings.ReplaceAll(all[i], mac, "<"+name+">"), linkLocal, "fe80::<"+name+">")
		}
	}
	slices.Sort(all)
	return all
}

var locals = []string{"local 244.0.0.0/16 src 192.0.2.1", "local fd77::/112 src fd99::1"}

var fallbacks = []string{
	"7476: 10.1.0.0/16 unreachable", "7476: 10.3.0.0/16 unreachable", "7476: fd01::/48 unreachable",
	"rule 32000 from all ipv6 false table 7476", "rule 32000 from all ipv6 true table 7476",
}

// neighbours are those of a worker.
var neighbours = []string{
	"vxlan 9:4789 local 192.0.2.1 mtu 1450 mac <a>",
	"neighbour 192.0.2.11 <g1>", "neighbour fe80::<g1> <g1>", "forward <g1> 192.0.2.11",
	"neighbour 192.0.2.12 <g2>", "neighbour fe80::<g2> <g2>", "forward <g2> 192.0.2.12",
}

// hops6 is a line with both gateways as next hops, in the order of their addresses.
func hops6(before, after string) string {
	names := []string{"g1", "g2"}
	slices.SortFunc(names, func(a, b string) int { return clusterset.NodeLinkLocal(a).Compare(clusterset.NodeLinkLocal(b)) })
	return before + "fe80::<" + names[0] + ">,fe80::<" + names[1] + ">" + after
}

func routed(prefix, hop, link string) route.Routed {
	return route.Routed{Prefix: netip.MustParsePrefix(prefix), Hop: netip.MustParseAddr(hop), Link: link}
}

func TestNetwork(t *testing.T) {
	toRemote := []string{"rule 7474 from all ipv6 false table 7474", "rule 7474 from all ipv6 true table 7474"}
	tests := []struct {
		name    string
		edit    func(*NetworkInput)
		want    []string
		via     []string
		gateway bool
	}{
		{
			name: "a worker spreads its flows over the gateways",
			want: slices.Concat(locals, fallbacks, toRemote, neighbours, []string{
				"7474: 10.1.0.0/16 via 192.0.2.11,192.0.2.12 mtu 1420", "7474: 10.3.0.0/16 via 192.0.2.11,192.0.2.12 mtu 1420",
				hops6("7474: fd01::/48 via ", " mtu 1420"),
			}),
			via: []string{"g1", "g2"},
		},
		{
			name: "over those only that live, and the others stay neighbours",
			edit: func(in *NetworkInput) { in.Live = clusterset.LiveGateways{"g2": true} },
			want: slices.Concat(locals, fallbacks, toRemote, neighbours, []string{
				"7474: 10.1.0.0/16 via 192.0.2.12 mtu 1420", "7474: 10.3.0.0/16 via 192.0.2.12 mtu 1420",
				"7474: fd01::/48 via fe80::<g2> mtu 1420",
			}),
			via: []string{"g2"},
		},
		{
			name: "over all if none lives",
			edit: func(in *NetworkInput) { in.Live = nil },
			want: slices.Concat(locals, fallbacks, toRemote, neighbours, []string{
				"7474: 10.1.0.0/16 via 192.0.2.11,192.0.2.12 mtu 1420", "7474: 10.3.0.0/16 via 192.0.2.11,192.0.2.12 mtu 1420",
				hops6("7474: fd01::/48 via ", " mtu 1420"),
			}),
			via: []string{"g1", "g2"},
		},
		{
			name: "not over an unready one, nor one without a lane",
			edit: func(in *NetworkInput) {
				in.Gateways[1].Status.Conditions = condition(v1alpha1.ConditionReady, metav1.ConditionFalse)
				in.Gateways = append(in.Gateways, gateway("b", 0, "192.0.2.2"))
				in.Gateways[2].Status.Lane = nil
			},
			want: slices.Concat(locals, fallbacks, toRemote, neighbours, []string{
				"7474: 10.1.0.0/16 via 192.0.2.12 mtu 1420", "7474: 10.3.0.0/16 via 192.0.2.12 mtu 1420",
				"7474: fd01::/48 via fe80::<g2> mtu 1420",
			}),
			via: []string{"g2"},
		},
		{
			name: "not over one that our underlay does not reach, though no other lives",
			edit: func(in *NetworkInput) {
				in.Gateways[0].Spec.UnderlayAddresses = []v1alpha1.IPAddress{"fd99::12"}
				in.Live = clusterset.LiveGateways{"g2": true}
			},
			want: slices.Concat(locals, fallbacks, toRemote, []string{
				"vxlan 9:4789 local 192.0.2.1 mtu 1450 mac <a>",
				"neighbour 192.0.2.11 <g1>", "neighbour fe80::<g1> <g1>", "forward <g1> 192.0.2.11",
				"7474: 10.1.0.0/16 via 192.0.2.11 mtu 1420", "7474: 10.3.0.0/16 via 192.0.2.11 mtu 1420",
				"7474: fd01::/48 via fe80::<g1> mtu 1420",
			}),
			via: []string{"g1"},
		},
		{
			name: "without a gateway nothing leaves",
			edit: func(in *NetworkInput) { in.Gateways = nil },
			want: slices.Concat(locals, fallbacks),
		},
		{
			name: "without other clusters there is nothing but clusterset IPs",
			edit: func(in *NetworkInput) { in.Remotes = nil },
			want: locals,
		},
		{
			name: "a refused cluster keeps what the operator leaves it",
			edit: func(in *NetworkInput) {
				in.Remotes[0].Status.Conditions = condition(v1alpha1.ConditionAccepted, metav1.ConditionFalse)
				in.Remotes[1] = remote("east")
				in.Gateways = nil
			},
			want: slices.Concat(locals, []string{"7476: 10.3.0.0/16 unreachable", "rule 32000 from all ipv6 false table 7476"}),
		},
		{
			name: "a gateway leads back to the nodes, and to a node that may be an endpoint itself",
			edit: func(in *NetworkInput) { in.Gateways = append(in.Gateways, gateway("a", 2, "192.0.2.1")) },
			want: slices.Concat(locals, fallbacks, []string{
				"vxlan 9:4789 local 192.0.2.1 mtu 1450 mac <a>",
				"neighbour 192.0.2.2 <b>", "neighbour fe80::<b> <b>", "forward <b> 192.0.2.2",
				"neighbour 192.0.2.11 <g1>", "neighbour fe80::<g1> <g1>", "forward <g1> 192.0.2.11",
				"neighbour 192.0.2.12 <g2>", "neighbour fe80::<g2> <g2>", "forward <g2> 192.0.2.12",
				"7475: 10.2.2.0/24 via 192.0.2.2 mtu 0", "7475: fd02:0:0:2::/64 via fe80::<b> mtu 0", "7475: 192.0.2.2/32 via 192.0.2.2 mtu 0",
				"7475: 10.2.8.0/24 via 192.0.2.11 mtu 0", "7475: fd02:0:0:8::/64 via fe80::<g1> mtu 0",
				"7475: 10.2.9.0/24 via 192.0.2.12 mtu 0",
				"rule 7475 from 10.1.0.0/16 ipv6 false table 7475", "rule 7475 from 10.3.0.0/16 ipv6 false table 7475",
				"rule 7475 from fd01::/48 ipv6 true table 7475",
				// Its own pods' way while it has no tunnels.
				"7474: 10.1.0.0/16 via 192.0.2.11,192.0.2.12 mtu 1420", "7474: 10.3.0.0/16 via 192.0.2.11,192.0.2.12 mtu 1420",
				"7474: fd01::/48 via fe80::<g1>,fe80::<g2> mtu 1420",
				"rule 7477 from all iif tombolo-vx ipv6 false table 7476", "rule 7477 from all iif tombolo-vx ipv6 true table 7476",
				"rule 7478 from all ipv6 false table 7474", "rule 7478 from all ipv6 true table 7474",
			}),
			gateway: true,
		},
		{
			name: "a gateway leads back to what the CNI routes to nodes, inside the cluster's CIDRs",
			edit: func(in *NetworkInput) {
				in.Nodes = in.Nodes[2:]
				in.Gateways = []*v1alpha1.GatewayNode{gateway("a", 2, "192.0.2.1")}
				in.Routed = []route.Routed{routed("10.2.2.64/26", "192.0.2.2", "eth0"), routed("10.2.33.0/26", "192.0.2.2", "eth0"),
					routed("10.9.0.0/16", "192.0.2.2", "eth0"), routed("fd02:0:0:33::/64", "fd99::2", "eth0"), routed("10.2.34.0/26", "192.0.2.9", "eth0")}
			},
			want: slices.Concat(locals, fallbacks, []string{
				"vxlan 9:4789 local 192.0.2.1 mtu 1450 mac <a>",
				"neighbour 192.0.2.2 <b>", "neighbour fe80::<b> <b>", "forward <b> 192.0.2.2",
				"7475: 10.2.2.0/24 via 192.0.2.2 mtu 0", "7475: fd02:0:0:2::/64 via fe80::<b> mtu 0", "7475: 192.0.2.2/32 via 192.0.2.2 mtu 0",
				"7475: 10.2.33.0/26 via 192.0.2.2 mtu 0", "7475: fd02:0:0:33::/64 via fe80::<b> mtu 0",
				"rule 7475 from 10.1.0.0/16 ipv6 false table 7475", "rule 7475 from 10.3.0.0/16 ipv6 false table 7475",
				"rule 7475 from fd01::/48 ipv6 true table 7475",
			}),
			gateway: true,
		},
		{
			name: "a gateway leads back to what the CNI routes over its VXLAN to nodes",
			edit: func(in *NetworkInput) {
				in.Nodes = in.Nodes[2:]
				in.Gateways = []*v1alpha1.GatewayNode{gateway("a", 2, "192.0.2.1")}
				in.Routed = []route.Routed{routed("10.2.33.0/26", "10.2.33.0", "vxlan0"), routed("10.2.34.0/26", "10.2.34.0", "vxlan0"),
					routed("10.2.35.0/26", "10.2.35.0", "vxlan0"), routed("10.2.36.0/26", "10.2.33.0", "vxlan1"), routed("10.9.0.0/16", "10.2.33.0", "vxlan0"),
					routed("10.2.37.0/26", "192.0.2.2", "vxlan0"), routed("fd02:0:0:33::/64", "fd02:0:0:33::", "vxlan1")}
				two, nine := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.9")
				in.Tunnels = vxlan.Config{
					Neighbours: []vxlan.Neighbour{{Device: "vxlan0", Address: netip.MustParseAddr("10.2.33.0"), MAC: vxlan.MAC{1}},
						{Device: "vxlan0", Address: netip.MustParseAddr("10.2.34.0"), MAC: vxlan.MAC{2}}, // no forward
						{Device: "vxlan0", Address: netip.MustParseAddr("10.2.35.0"), MAC: vxlan.MAC{3}}, // to no node
						{Device: "vxlan1", Address: netip.MustParseAddr("fd02:0:0:33::"), MAC: vxlan.MAC{2}}},
					Forwards: []vxlan.Forward{{Device: "vxlan0", MAC: vxlan.MAC{1}, Underlay: two}, {Device: "vxlan0", MAC: vxlan.MAC{3}, Underlay: nine},
						{Device: "vxlan1", MAC: vxlan.MAC{2}, Underlay: netip.MustParseAddr("fd99::2")}},
				}
			},
			want: slices.Concat(locals, fallbacks, []string{
				"vxlan 9:4789 local 192.0.2.1 mtu 1450 mac <a>",
				"neighbour 192.0.2.2 <b>", "neighbour fe80::<b> <b>", "forward <b> 192.0.2.2",
				"7475: 10.2.2.0/24 via 192.0.2.2 mtu 0", "7475: fd02:0:0:2::/64 via fe80::<b> mtu 0", "7475: 192.0.2.2/32 via 192.0.2.2 mtu 0",
				"7475: 10.2.33.0/26 via 192.0.2.2 mtu 0", "7475: 10.2.37.0/26 via 192.0.2.2 mtu 0", "7475: fd02:0:0:33::/64 via fe80::<b> mtu 0",
				"rule 7475 from 10.1.0.0/16 ipv6 false table 7475", "rule 7475 from 10.3.0.0/16 ipv6 false table 7475",
				"rule 7475 from fd01::/48 ipv6 true table 7475",
			}),
			gateway: true,
		},
		{
			name: "the label alone makes a gateway",
			edit: func(in *NetworkInput) {
				in.Nodes = []*corev1.Node{node("a", map[string]string{v1alpha1.LabelGateway: "true"}, nil, "192.0.2.1", "fd99::1")}
				in.Gateways = nil
			},
			want: slices.Concat(locals, fallbacks, []string{
				"vxlan 9:4789 local 192.0.2.1 mtu 1450 mac <a>",
				"rule 7475 from 10.1.0.0/16 ipv6 false table 7475", "rule 7475 from 10.3.0.0/16 ipv6 false table 7475",
				"rule 7475 from fd01::/48 ipv6 true table 7475",
			}),
			gateway: true,
		},
		{
			name: "IPv6 underlay, default VXLAN",
			edit: func(in *NetworkInput) {
				in.Nodes[2] = node("a", nil, []string{"10.2.1.0/24"}, "fd99::1", "192.0.2.1")
				in.ClusterSet.Spec.Dataplane = v1alpha1.DataplaneOptions{}
			},
			want: slices.Concat(locals, fallbacks, toRemote, []string{
				"vxlan 7473:7473 local fd99::1 mtu 1430 mac <a>",
				"neighbour 192.0.2.11 <g1>", "neighbour fe80::<g1> <g1>", "forward <g1> fd99::11",
				"7474: 10.1.0.0/16 via 192.0.2.11 mtu 1420", "7474: 10.3.0.0/16 via 192.0.2.11 mtu 1420",
				"7474: fd01::/48 via fe80::<g1> mtu 1420",
			}),
			via: []string{"g1"},
		},
		{
			name: "a node without IPv6 serves no IPv6 addresses",
			edit: func(in *NetworkInput) {
				in.Nodes[2] = node("a", nil, nil, "192.0.2.1")
				in.Remotes = nil
			},
			want: locals[:1],
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := input()
			if tt.edit != nil {
				tt.edit(&in)
			}
			before := fmt.Sprintf("%+v", in)
			got, err := NewNetwork(in)
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Sorted(slices.Values(tt.want))
			if diff := cmp.Diff(want, lines(got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if !slices.Equal(got.Via, tt.via) || got.Gateway != tt.gateway {
				t.Errorf("via %v, gateway %t; want %v, %t", got.Via, got.Gateway, tt.via, tt.gateway)
			}
			slices.Reverse(in.Nodes)
			slices.Reverse(in.Gateways)
			slices.Reverse(in.Remotes)
			again, err := NewNetwork(in)
			if diff := cmp.Diff(got, again, compare); err != nil || diff != "" {
				t.Errorf("the order of objects shows: %v (-forward +backward)\n%s", err, diff)
			}
			slices.Reverse(in.Nodes)
			slices.Reverse(in.Gateways)
			slices.Reverse(in.Remotes)
			if fmt.Sprintf("%+v", in) != before {
				t.Error("the arguments were changed")
			}
		})
	}
}

func TestNetworkConflicts(t *testing.T) {
	for _, tt := range []struct{ vip, used string }{
		{"10.2.0.0/16", "10.2.0.0/18, the addresses of this cluster"},
		{"10.3.7.0/24", "10.3.0.0/16, the addresses of another cluster"},
		{"192.0.2.0/30", "192.0.2.1/32, the addresses of nodes of this cluster"},
		{"10.0.0.0/8", "10.1.0.0/16, the addresses of another cluster"},
		{"245.1.0.0/16", "245.0.0.0/8, the transit addresses of the clusterset"},
		{"127.1.0.0/16", "127.0.0.0/8, the block that addresses every host here"},
	} {
		in := input()
		in.ClusterSet.Spec.VIPCIDRs = []v1alpha1.CIDR{v1alpha1.CIDR(tt.vip)}
		_, err := NewNetwork(in)
		var conflict ConflictError
		if !errors.As(err, &conflict) || !strings.HasPrefix(err.Error(), "the VIP CIDR "+tt.vip+" overlaps "+tt.used+": set another block") {
			t.Errorf("%s: %v, want an overlap with %s", tt.vip, err, tt.used)
		}
	}
	in := input()
	in.Node = "nobody"
	if _, err := NewNetwork(in); !errors.Is(err, ErrNoNode) {
		t.Errorf("a node without an object: %v", err)
	}
}

func TestPlace(t *testing.T) {
	in := input()
	in.ClusterSet.Status.Region, in.ClusterSet.Status.ZoneDomain = "eu", "cloud"
	in.ClusterSet.Spec.Dataplane.FailBackSeconds = ptr.To(int32(0))
	in.ClusterSet.Spec.Dataplane.Locality = v1alpha1.LocalityLocalFirst
	in.Node = in.Nodes[0].Name
	in.Nodes[0].Labels = map[string]string{corev1.LabelTopologyZone: "a"}
	in.Remotes = []*v1alpha1.RemoteCluster{remote("unknown"), remote("up"), remote("down"), remote("refused, but in use")}
	in.Remotes[0].Spec.Region, in.Remotes[0].Spec.CIDRs = "us", []v1alpha1.CIDR{"10.7.0.0/16"}
	in.Remotes[1].Status.Conditions = condition(v1alpha1.ConditionReachable, metav1.ConditionTrue)
	in.Remotes[2].Status.Conditions = condition(v1alpha1.ConditionReachable, metav1.ConditionFalse)
	in.Remotes[3].Status.Conditions = condition(v1alpha1.ConditionAccepted, metav1.ConditionFalse)
	got := NewPlace(in, nil)
	want := Place{Cluster: in.ClusterSet.Spec.ClusterID, Node: in.Node, Zone: "a", Area: clusterset.Area{Region: "eu", ZoneDomain: "cloud"}, Locality: v1alpha1.LocalityLocalFirst,
		Pods: podCIDRs(in.Nodes[0]), Addresses: clusterset.InternalIPs(in.Nodes[0]), Remotes: map[v1alpha1.ClusterID]Remote{
			"unknown": {Area: clusterset.Area{Region: "us"}}, "up": {}, "down": {Unreachable: true}, "refused, but in use": {}},
		CIDRs: map[v1alpha1.ClusterID][]netip.Prefix{"west": prefixes(in.ClusterSet.Status.CIDRs), "unknown": {netip.MustParsePrefix("10.7.0.0/16")},
			"up": {}, "down": {}, "refused, but in use": {}}}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if !got.Equal(want) || got.Equal(want.WithRemotes(nil, nil)) {
		t.Error("Equal tells another tale")
	}
	in.ClusterSet.Spec.Dataplane.FailBackSeconds = nil
	if got := NewPlace(in, nil).FailBack; got != 30*time.Second {
		t.Errorf("by default flows go back after %s, want 30 s", got)
	}
}

func TestInternalIPs(t *testing.T) {
	got := clusterset.InternalIPs(node("a", nil, nil, "fd99::1", "192.0.2.1", "192.0.2.7", "x"))
	if want := []netip.Addr{netip.MustParseAddr("fd99::1"), netip.MustParseAddr("192.0.2.1")}; !slices.Equal(got, want) {
		t.Errorf("InternalIPs: %v, want %v", got, want)
	}
}
