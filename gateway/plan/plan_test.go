package plan

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

var options = []cmp.Option{
	cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{}, wireguard.PrivateKey{}),
	cmpopts.EquateEmpty(),
}

// whole is both halves of a plan.
type whole struct {
	Tunnels
	Routes route.Config
}

// planAll plans both halves, with all links up.
func planAll(in Input) (whole, error) {
	t, err := NewTunnels(in)
	view := View{Links: map[LinkID]LinkView{}}
	for _, l := range t.Links {
		view.Links[l.LinkID] = LinkView{Up: true}
	}
	return whole{t, Routes(t, view)}, err
}

func publicKey(name string) string {
	var private wireguard.PrivateKey
	copy(private[:], name)
	return private.Public().String()
}

func gateway(name string, lane v1alpha1.Lane, address v1alpha1.IPAddress) v1alpha1.RemoteGateway {
	return v1alpha1.RemoteGateway{
		Name: name, Lane: lane, PublicKey: publicKey(name), Endpoints: []v1alpha1.Endpoint{{Address: address, Port: 51820}},
	}
}

func remote(id v1alpha1.ClusterID, index int32, cidr v1alpha1.CIDR, gateways ...v1alpha1.RemoteGateway) Remote {
	return Remote{ClusterID: id, Created: time.Unix(int64(index), 0), Index: index, CIDRs: []v1alpha1.CIDR{cidr}, Gateways: gateways}
}

// west1 is the input of west's gateway with lane 1; east's gateways have lanes 0 and 2, and that of
// 2 has another base port.
func west1() Input {
	far := gateway("east-2", 2, "192.0.2.12")
	far.Endpoints[0].Port = 4500
	return Input{
		Name: "west-1", Lane: 1, ClusterID: "west", ClusterSetID: "demo", Index: 2, CIDRs: []v1alpha1.CIDR{"10.2.0.0/18"},
		Transit: "245.0.0.0/8", BasePort: 51820, PrivateKey: wireguard.PrivateKey{7}, MTU: 1500,
		Remotes: []Remote{remote("east", 1, "10.1.0.0/16", far, gateway("east-0", 0, "192.0.2.10"))},
	}
}

func TestUnequalLanes(t *testing.T) {
	got, err := planAll(west1())
	if err != nil {
		t.Fatal(err)
	}
	parse := func(texts ...string) (list []netip.Prefix) {
		for _, x := range texts {
			list = append(list, netip.MustParsePrefix(x))
		}
		return list
	}
	own := []netip.Addr{netip.MustParseAddr("245.0.32.1"), netip.MustParseAddr("fd5f:f9b7:58d1:2::1")}
	allowed := parse("10.1.0.0/16", "245.0.16.0/20", "fd5f:f9b7:58d1:1::/64")
	device := func(lane int, name, endpoint string) wireguard.Device {
		key, err := wireguard.ParsePublicKey(publicKey(name))
		if err != nil {
			t.Fatal(err)
		}
		return wireguard.Device{
			Name: fmt.Sprintf("tombolo%d", lane), PrivateKey: wireguard.PrivateKey{7}, ListenPort: 51820 + lane, MTU: 1420, Addresses: own,
			Peers: []wireguard.Peer{{
				PublicKey: key, Endpoint: netip.MustParseAddrPort(endpoint), Keepalive: keepalive, AllowedIPs: allowed,
			}},
		}
	}
	// The device listens at our base port and the remote lane, and sends to the remote base port
	// and our lane.
	want := []wireguard.Device{device(0, "east-0", "192.0.2.10:51821"), device(2, "east-2", "192.0.2.12:4501")}
	if diff := cmp.Diff(want, got.WireGuard.Devices, options...); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
	wantRoutes := []string{
		"10.1.0.0/16 100 tombolo0,tombolo2 from 245.0.32.1",
		"10.1.0.0/16 65535 unreachable",
		"245.0.16.0/20 100 tombolo0,tombolo2 from 245.0.32.1",
		"245.0.16.0/20 65535 unreachable",
		"245.0.16.0/32 100 tombolo0 from 245.0.32.1",
		"245.0.16.2/32 100 tombolo2 from 245.0.32.1",
		"fd5f:f9b7:58d1:1::/64 100 tombolo0,tombolo2 from fd5f:f9b7:58d1:2::1",
		"fd5f:f9b7:58d1:1::/64 65535 unreachable",
		"fd5f:f9b7:58d1:1::/128 100 tombolo0 from fd5f:f9b7:58d1:2::1",
		"fd5f:f9b7:58d1:1::2/128 100 tombolo2 from fd5f:f9b7:58d1:2::1",
	}
	if diff := cmp.Diff(wantRoutes, routes(got)); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if len(got.Warnings) > 0 {
		t.Errorf("warnings: %+v", got.Warnings)
	}
}

// The two ends of every link agree on ports: what one sends to, the other listens on, whatever
// their lanes.
func TestPortsAgree(t *testing.T) {
	for lane := range v1alpha1.Lane(4) {
		for remoteLane := range v1alpha1.Lane(4) {
			here, there := west1(), west1()
			here.Lane, there.Lane = lane, remoteLane
			here.Remotes = []Remote{remote("east", 1, "10.1.0.0/16", gateway("east", remoteLane, "192.0.2.10"))}
			there.ClusterID, there.Index, there.CIDRs = "east", 1, []v1alpha1.CIDR{"10.1.0.0/16"}
			there.Remotes = []Remote{remote("west", 2, "10.2.0.0/18", gateway("west", lane, "192.0.2.21"))}
			a, err := planAll(here)
			if err != nil {
				t.Fatal(err)
			}
			b, err := planAll(there)
			if err != nil {
				t.Fatal(err)
			}
			x, y := a.WireGuard.Devices[0], b.WireGuard.Devices[0]
			if int(x.Peers[0].Endpoint.Port()) != y.ListenPort || int(y.Peers[0].Endpoint.Port()) != x.ListenPort {
				t.Errorf("lanes %d and %d: %d -> %d, but %d -> %d", lane, remoteLane,
					x.ListenPort, x.Peers[0].Endpoint.Port(), y.ListenPort, y.Peers[0].Endpoint.Port())
			}
			if a.Links[0].TunnelAddress != b.TunnelAddresses[0] {
				t.Errorf("lanes %d and %d: probes go to %s, the gateway is %s", lane, remoteLane, a.Links[0].TunnelAddress, b.TunnelAddresses[0])
			}
		}
	}
}

// One link that is up takes all; where none is, all are kept: a lost probe is no reason to withdraw
// the last way.
func TestUsableLinks(t *testing.T) {
	for _, tc := range []struct {
		name string
		up   map[LinkID]LinkView
		want string
	}{
		{"both", map[LinkID]LinkView{{"east", "east-0"}: {Up: true}, {"east", "east-2"}: {Up: true}}, "tombolo0,tombolo2"},
		{"one", map[LinkID]LinkView{{"east", "east-0"}: {}, {"east", "east-2"}: {Up: true}}, "tombolo2"},
		{"none", nil, "tombolo0,tombolo2"},
		{"one drains", map[LinkID]LinkView{{"east", "east-0"}: {Up: true, Draining: true}, {"east", "east-2"}: {Up: true}}, "tombolo2"},
		{"one drains, the other is down", map[LinkID]LinkView{{"east", "east-0"}: {Up: true, Draining: true}, {"east", "east-2"}: {}}, "tombolo0"},
		{"both drain", map[LinkID]LinkView{{"east", "east-0"}: {Up: true, Draining: true}, {"east", "east-2"}: {Up: true, Draining: true}}, "tombolo0,tombolo2"},
		{"one drained and is down", map[LinkID]LinkView{{"east", "east-0"}: {Draining: true}, {"east", "east-2"}: {}}, "tombolo0,tombolo2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tunnels, err := NewTunnels(west1())
			if err != nil {
				t.Fatal(err)
			}
			got := whole{tunnels, Routes(tunnels, View{Links: tc.up})}
			if want := "10.1.0.0/16 100 " + tc.want + " from 245.0.32.1"; !slices.Contains(routes(got), want) {
				t.Errorf("no route %q in %q", want, routes(got))
			}
		})
	}
}

// Without any link nothing but the refusal is left of a cluster's routes.
func TestNoLink(t *testing.T) {
	in := west1()
	in.Remotes[0].Gateways = nil
	got, err := planAll(in)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"10.1.0.0/16 65535 unreachable",
		"245.0.16.0/20 65535 unreachable",
		"fd5f:f9b7:58d1:1::/64 65535 unreachable",
	}
	if diff := cmp.Diff(want, routes(got)); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

func routes(c whole) []string {
	var lines []string
	for _, r := range c.Routes.Routes {
		how := strings.Join(r.Links(), ",") + " from " + r.Source.String()
		if r.Type == route.Unreachable {
			how = "unreachable"
		}
		lines = append(lines, fmt.Sprintf("%s %d %s", r.Destination, r.Metric, how))
	}
	return lines
}

// What remote clusters say is left out where it makes no sense, with a warning, and the rest is
// planned.
func TestWarnings(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*Input)
		// want is a part of each warning.
		want []string
		// links that are left.
		links []LinkID
	}{
		{
			"the same prefix as an older cluster",
			func(in *Input) {
				in.Remotes = append(in.Remotes, remote("north", 3, "10.1.128.0/17", gateway("n", 0, "192.0.2.30")))
			},
			[]string{"10.1.128.0/17 overlaps 10.1.0.0/16 of east"},
			[]LinkID{{"east", "east-0"}, {"east", "east-2"}},
		},
		{
			"an overlap with this cluster",
			func(in *Input) { in.Remotes[0].CIDRs = append(in.Remotes[0].CIDRs, "10.2.32.0/19") },
			[]string{"10.2.32.0/19 overlaps 10.2.0.0/18 of this cluster (west)"},
			nil,
		},
		{
			"our own index",
			func(in *Input) { in.Remotes[0].Index = 2 },
			[]string{"245.0.32.0/20 overlaps 245.0.32.0/20 of this cluster"},
			nil,
		},
		{
			"an index without a block",
			func(in *Input) { in.Remotes[0].Index = 5000 },
			[]string{"no /20 for index 5000"},
			nil,
		},
		{
			"a malformed CIDR",
			func(in *Input) { in.Remotes[0].CIDRs = append(in.Remotes[0].CIDRs, "10.9.0.1/16") },
			[]string{`CIDR "10.9.0.1/16" is left out`},
			[]LinkID{{"east", "east-0"}, {"east", "east-2"}},
		},
		{
			"a key that is none",
			func(in *Input) { in.Remotes[0].Gateways[0].PublicKey = "x" },
			[]string{`public key "x" is not a WireGuard key`},
			[]LinkID{{"east", "east-0"}},
		},
		{
			"a key of zeros",
			func(in *Input) { in.Remotes[0].Gateways[0].PublicKey = strings.Repeat("A", 43) + "=" },
			[]string{"low order"},
			[]LinkID{{"east", "east-0"}},
		},
		{
			"our own key",
			func(in *Input) { in.Remotes[0].Gateways[0].PublicKey = in.PrivateKey.Public().String() },
			[]string{"this gateway's own"},
			[]LinkID{{"east", "east-0"}},
		},
		{
			"the key of another cluster's gateway on the same device",
			func(in *Input) {
				in.Remotes = append(in.Remotes, remote("north", 3, "10.3.0.0/16", gateway("east-0", 0, "192.0.2.30")))
			},
			[]string{"is that of gateway east-0 of cluster east"},
			[]LinkID{{"east", "east-0"}, {"east", "east-2"}},
		},
		{
			"two gateways with one lane",
			func(in *Input) { in.Remotes[0].Gateways[1].Lane = 2 },
			[]string{"same lane 2 as gateway east-0"},
			[]LinkID{{"east", "east-0"}},
		},
		{
			"a lane out of range",
			func(in *Input) { in.Remotes[0].Gateways[0].Lane = 64 },
			[]string{"lane 64: want 0 to 63"},
			[]LinkID{{"east", "east-0"}},
		},
		{
			"no usable endpoint",
			func(in *Input) {
				in.Remotes[0].Gateways[0].Endpoints = []v1alpha1.Endpoint{
					{Address: "nonsense", Port: 1}, {Address: "0.0.0.0", Port: 1}, {Address: "192.0.2.1", Port: 65535}, {Address: "192.0.2.1"},
				}
			},
			[]string{"none of its endpoints"},
			[]LinkID{{"east", "east-0"}},
		},
		{
			"a refused newcomer",
			func(in *Input) { in.Remotes = append(in.Remotes, Remote{ClusterID: "north", Index: 1}) },
			nil,
			[]LinkID{{"east", "east-0"}, {"east", "east-2"}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := west1()
			tc.edit(&in)
			got, err := planAll(in)
			if err != nil {
				t.Fatal(err)
			}
			var links []LinkID
			for _, l := range got.Links {
				links = append(links, l.LinkID)
			}
			if diff := cmp.Diff(tc.links, links); diff != "" {
				t.Errorf("links (-want +got):\n%s", diff)
			}
			if len(got.Warnings) != len(tc.want) {
				t.Fatalf("warnings %+v, want %d", got.Warnings, len(tc.want))
			}
			for i, w := range got.Warnings {
				if !strings.Contains(w.Message, tc.want[i]) {
					t.Errorf("warning %q lacks %q", w.Message, tc.want[i])
				}
			}
		})
	}
}

func TestEndpointFamily(t *testing.T) {
	in := west1()
	in.Remotes[0].Gateways[0].Endpoints = []v1alpha1.Endpoint{{Address: "2001:db8::12", Port: 51820}, {Address: "192.0.2.12", Port: 51820}}
	for _, tc := range []struct {
		underlay string
		want     string
	}{{"192.0.2.21", "192.0.2.12:51821"}, {"2001:db8::21", "[2001:db8::12]:51821"}} {
		in.Underlay = []netip.Addr{netip.MustParseAddr(tc.underlay)}
		got, err := planAll(in)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(got.Links, func(l Link) bool { return l.Gateway == "east-2" })
		if i < 0 || got.Links[i].Endpoint.String() != tc.want {
			t.Errorf("from %s: links %+v, want %s", tc.underlay, got.Links, tc.want)
		}
	}
}

// The packets of the devices go by the main table, if an end of a tunnel lies inside the CIDRs that
// it leads to. Other packets to that end do not.
func TestBypass(t *testing.T) {
	in := west1()
	in.Remotes[0].CIDRs = append(in.Remotes[0].CIDRs, "192.0.2.8/30")
	got, err := planAll(in)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"rule 7472 from all iif lo sport 51820 to table 254", "rule 7472 from all iif lo sport 51822 to table 254",
		"rule 7472 from all to 127.74.73.1/32 to table 254", "rule 7473 from all to table 7473", "rule 7473 from all to table 7473"}
	var rules []string
	for _, r := range got.Routes.Rules {
		rules = append(rules, fmt.Sprintf("%s to table %d", r, r.Table))
	}
	if diff := cmp.Diff(want, rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

// What is wrong with this cluster itself is an error.
func TestErrors(t *testing.T) {
	in := west1()
	in.Index = 0
	if _, err := planAll(in); !errors.Is(err, ErrNoIndex) {
		t.Errorf("without an index: %v", err)
	}
	for _, transit := range []v1alpha1.CIDR{"", "x", "245.0.0.1/8", "fd00::/8", "245.0.0.0/24"} {
		in := west1()
		in.Transit = transit
		if _, err := planAll(in); err == nil || !strings.Contains(err.Error(), "transit CIDR") {
			t.Errorf("with transit CIDR %q: %v", transit, err)
		}
	}
}

// The order of the input shows nowhere, and the input is not changed.
func TestOrder(t *testing.T) {
	build := func(shuffle func(n int, swap func(i, j int))) Input {
		in := west1()
		in.Remotes = append(in.Remotes, remote("north", 3, "10.1.0.0/16", gateway("n0", 0, "192.0.2.30")),
			remote("south", 4, "10.4.0.0/16", gateway("s0", 0, "192.0.2.40"), gateway("s3", 3, "192.0.2.43")))
		for _, r := range in.Remotes {
			shuffle(len(r.Gateways), func(i, j int) { r.Gateways[i], r.Gateways[j] = r.Gateways[j], r.Gateways[i] })
		}
		shuffle(len(in.Remotes), func(i, j int) { in.Remotes[i], in.Remotes[j] = in.Remotes[j], in.Remotes[i] })
		return in
	}
	want, err := planAll(build(func(int, func(int, int)) {}))
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(50) {
		random := func() *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
		in := build(random().Shuffle)
		got, err := planAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, options...); diff != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, diff)
		}
		if diff := cmp.Diff(build(random().Shuffle), in, options...); diff != "" {
			t.Fatalf("seed %d: the input was changed:\n%s", seed, diff)
		}
	}
}
