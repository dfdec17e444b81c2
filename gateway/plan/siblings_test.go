package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

func sibling(name string, lane v1alpha1.Lane, underlay ...string) GatewayPeer {
	s := GatewayPeer{Name: name, Lane: lane, PublicKey: publicKey(name)}
	for _, u := range underlay {
		s.Underlay = append(s.Underlay, netip.MustParseAddr(u))
	}
	return s
}

// withSiblings is west1 beside two other gateways.
func withSiblings() Input {
	in := west1()
	in.Underlay = []netip.Addr{netip.MustParseAddr("192.0.2.21")}
	in.VXLANID, in.VXLANPort = 99, 4789
	in.Siblings = []GatewayPeer{sibling("west-3", 3, "2001:db8::3", "192.0.2.23"), sibling("west-0", 0, "192.0.2.20")}
	return in
}

func TestHandoverDevice(t *testing.T) {
	got, err := NewTunnels(withSiblings())
	if err != nil {
		t.Fatal(err)
	}
	addr, mac := netip.MustParseAddr, func(name string) vxlan.MAC { return clusterset.NodeMAC(name) }
	want := vxlan.Config{
		Devices: []vxlan.Device{{Name: "tombolo-ho", ID: 100, Port: 4789, Local: addr("192.0.2.21"), MTU: 1450, MAC: mac("west-1"),
			RPFilter: rtnl.RPFilterLoose}},
		Addresses: []vxlan.Address{{Device: "tombolo-ho", Address: addr("245.0.32.1")}},
	}
	for name, hops := range map[string][]string{"west-0": {"245.0.32.0", "192.0.2.20"}, "west-3": {"245.0.32.3", "192.0.2.23"}} {
		want.Forwards = append(want.Forwards, vxlan.Forward{Device: "tombolo-ho", MAC: mac(name), Underlay: addr(hops[1])})
		for _, hop := range []netip.Addr{addr(hops[0]), clusterset.NodeLinkLocal(name)} {
			want.Neighbours = append(want.Neighbours, vxlan.Neighbour{Device: "tombolo-ho", Address: hop, MAC: mac(name)})
		}
	}
	slices.SortFunc(want.Forwards, vxlan.Forward.Compare)
	slices.SortFunc(want.Neighbours, vxlan.Neighbour.Compare)
	if diff := cmp.Diff(want, got.Handover, options...); diff != "" {
		t.Errorf("device (-want +got):\n%s", diff)
	}
	if len(got.Warnings) > 0 {
		t.Errorf("warnings: %+v", got.Warnings)
	}
}

// A gateway that is alone has no device, and no table for what is handed over.
func TestNoSiblings(t *testing.T) {
	in := withSiblings()
	in.Siblings = nil
	got, err := planAll(in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(vxlan.Config{}, got.Handover, options...); diff != "" {
		t.Errorf("device (-want +got):\n%s", diff)
	}
	if slices.ContainsFunc(got.Routes.Routes, func(r route.Route) bool { return r.Table == route.TableHandover }) || len(got.Routes.Rules) != 2 {
		t.Errorf("routes %v, rules %v", got.Routes.Routes, got.Routes.Rules)
	}
}

func TestSiblingWarnings(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*GatewayPeer)
		want string
	}{
		{"our lane", func(s *GatewayPeer) { s.Lane = 1 }, "the same lane 1 as gateway west-1"},
		{"the other's lane", func(s *GatewayPeer) { s.Lane = 0 }, "the same lane 0 as gateway west-0"},
		{"no key", func(s *GatewayPeer) { s.PublicKey = "" }, "its public key is not a WireGuard key"},
		{"another family", func(s *GatewayPeer) { s.Underlay = s.Underlay[:1] }, "no address of the family of 192.0.2.21"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := withSiblings()
			tc.edit(&in.Siblings[0])
			got, err := NewTunnels(in)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Siblings) != 1 || got.Siblings[0].Name != "west-0" || len(got.Handover.Devices) != 1 {
				t.Errorf("siblings are %+v", got.Siblings)
			}
			if len(got.Warnings) != 1 || got.Warnings[0].Gateway != "west-3" || !strings.Contains(got.Warnings[0].Message, tc.want) {
				t.Errorf("warnings are %+v, want %q", got.Warnings, tc.want)
			}
		})
	}
}

// Own links come first, then siblings that reach the cluster, then all links though none is up.
// What has been handed over goes over links alone.
func TestWays(t *testing.T) {
	up, draining, reaches := LinkView{Up: true}, LinkView{Up: true, Draining: true}, map[v1alpha1.ClusterID]bool{"east": true}
	const links, handover = "tombolo0,tombolo2", "tombolo-ho 245.0.32.0,tombolo-ho 245.0.32.3"
	for _, tc := range []struct {
		name          string
		east0, east2  LinkView
		west0, west3  SiblingView
		want, handed  string
		reachesItself bool
	}{
		{"links up", up, up, SiblingView{Up: true, Reaches: reaches}, SiblingView{}, links, links, true},
		{"one up", up, LinkView{}, SiblingView{Up: true, Reaches: reaches}, SiblingView{}, "tombolo0", "tombolo0", true},
		{"one up that drains", draining, LinkView{}, SiblingView{Up: true, Reaches: reaches}, SiblingView{}, "tombolo0", "tombolo0", true},
		{"none up", LinkView{}, LinkView{}, SiblingView{Up: true, Reaches: reaches}, SiblingView{Up: true, Reaches: reaches}, handover, links, false},
		{"one sibling drains", LinkView{}, LinkView{}, SiblingView{Up: true, Draining: true, Reaches: reaches},
			SiblingView{Up: true, Reaches: reaches}, "tombolo-ho 245.0.32.3", links, false},
		{"the only sibling drains", LinkView{}, LinkView{}, SiblingView{Up: true, Draining: true, Reaches: reaches}, SiblingView{Up: true},
			"tombolo-ho 245.0.32.0", links, false},
		{"a sibling is dead", LinkView{}, LinkView{}, SiblingView{Reaches: reaches}, SiblingView{}, links, links, false},
		{"nothing is known, no sibling answers", LinkView{New: true}, LinkView{New: true}, SiblingView{}, SiblingView{}, "", links, false},
		{"nothing is known, a sibling reaches it", LinkView{New: true}, LinkView{New: true}, SiblingView{Up: true, Reaches: reaches}, SiblingView{},
			"tombolo-ho 245.0.32.0", links, false},
		{"one is down, one new", LinkView{}, LinkView{New: true}, SiblingView{}, SiblingView{}, links, links, false},
		{"nobody reaches it", LinkView{}, LinkView{}, SiblingView{Up: true}, SiblingView{Up: true}, links, links, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tunnels, err := NewTunnels(withSiblings())
			if err != nil {
				t.Fatal(err)
			}
			view := View{Links: map[LinkID]LinkView{{"east", "east-0"}: tc.east0, {"east", "east-2"}: tc.east2},
				Siblings: map[string]SiblingView{"west-0": tc.west0, "west-3": tc.west3}}
			got := Routes(tunnels, view)
			for table, want := range map[int]string{route.TableTunnels: tc.want, route.TableHandover: tc.handed} {
				if way := wayTo(got, table, "10.1.0.0/16"); way != want {
					t.Errorf("table %d leads by %s, want %s", table, way, want)
				}
			}
			if r := Reached(tunnels, view); slices.Contains(r, 1) != tc.reachesItself {
				t.Errorf("reached are %v", r)
			}
		})
	}
}

// wayTo is how the table leads to the prefix.
func wayTo(c route.Config, table int, prefix string) string {
	var hops []string
	for _, r := range c.Routes {
		if r.Table == table && r.Destination.String() == prefix && r.Type == route.Unicast {
			for _, h := range r.Hops {
				hops = append(hops, strings.TrimSuffix(fmt.Sprint(h.Link, " ", h.Gateway), " invalid IP"))
			}
		}
	}
	return strings.Join(hops, ",")
}

// A node that is no gateway any more sends over siblings where one that stays reaches the cluster,
// and takes what is handed over to it all the same.
func TestLeaving(t *testing.T) {
	tunnels, err := NewTunnels(withSiblings())
	if err != nil {
		t.Fatal(err)
	}
	reaches := map[v1alpha1.ClusterID]bool{"east": true}
	for _, tc := range []struct {
		name         string
		west0, west3 SiblingView
		own          string
	}{
		{"one reaches it", SiblingView{Up: true, Reaches: reaches}, SiblingView{}, ""},
		{"it drains, too", SiblingView{Up: true, Reaches: reaches, Draining: true}, SiblingView{}, "tombolo0,tombolo2"},
		{"one drains, the other is dead", SiblingView{Up: true, Reaches: reaches, Draining: true}, SiblingView{Reaches: reaches}, "tombolo0,tombolo2"},
		{"none reaches it", SiblingView{Up: true}, SiblingView{Up: true}, "tombolo0,tombolo2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			view := View{Leaving: true, Siblings: map[string]SiblingView{"west-0": tc.west0, "west-3": tc.west3},
				Links: map[LinkID]LinkView{{"east", "east-0"}: {Up: true}, {"east", "east-2"}: {Up: true}}}
			got := Routes(tunnels, view)
			for table, want := range map[int]string{route.TableTunnels: tc.own, route.TableHandover: "tombolo0,tombolo2"} {
				if way := wayTo(got, table, "10.1.0.0/16"); way != want {
					t.Errorf("table %d leads by %q, want %q", table, way, want)
				}
			}
			refused := slices.ContainsFunc(got.Routes, func(r route.Route) bool {
				return r.Table == route.TableTunnels && r.Destination == netip.MustParsePrefix("10.1.0.0/16") && r.Type == route.Unreachable
			})
			if refused != (tc.own != "") {
				t.Errorf("refused in the tunnels' table: %t", refused)
			}
		})
	}
}

func TestHandoverID(t *testing.T) {
	for nodes, want := range map[int32]uint32{0: 7474, 1: 2, 7473: 7474, 1<<24 - 1: 1<<24 - 2} {
		if got := handoverID(nodes); got != want {
			t.Errorf("beside %d: %d, want %d", nodes, got, want)
		}
	}
}
