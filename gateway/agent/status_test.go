package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

func TestRoundRTT(t *testing.T) {
	const ms = time.Millisecond
	for _, tc := range []struct {
		before int32
		mean   time.Duration
		want   int32
	}{
		{0, 0, 0}, {0, 100 * time.Microsecond, 1}, {0, 1499 * time.Microsecond, 1}, {0, 20 * ms, 20},
		{1, 6 * ms, 1}, {1, 7 * ms, 7}, {20, 24 * ms, 20}, {20, 26 * ms, 26}, {20, 14 * ms, 14},
		{200, 249 * ms, 200}, {200, 251 * ms, 251}, {200, 0, 200},
	} {
		if got := roundRTT(tc.before, tc.mean); got != tc.want {
			t.Errorf("published %d, mean %s: %d, want %d", tc.before, tc.mean, got, tc.want)
		}
	}
}

func TestRoundLoss(t *testing.T) {
	for _, tc := range []struct {
		before int32
		share  float64
		want   int32
	}{{0, 0.004, 0}, {0, 0.009, 0}, {0, 0.012, 1}, {1, 0.018, 1}, {1, 0.004, 0}, {2, 0, 0}, {20, 0.24, 20}, {20, 0.26, 26}, {0, 1, 100}} {
		if got := roundLoss(tc.before, tc.share); got != tc.want {
			t.Errorf("published %d, share %g: %d, want %d", tc.before, tc.share, got, tc.want)
		}
	}
}

// What is wrong with a link depends on what both ends see of it.
func TestLinkMessage(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status probe.Status
		alive  bool
		want   string
	}{
		{"up", probe.Status{State: v1alpha1.LinkUp}, true, ""},
		{"drains", probe.Status{State: v1alpha1.LinkUp, Draining: true}, true, "its gateway drains"},
		{"went down twice", probe.Status{State: v1alpha1.LinkUp, Downs: 2, Late: 9}, true, ""},
		{"flaps", probe.Status{State: v1alpha1.LinkUp, Downs: 3, Late: 1}, true, "are packets lost on the way, or does the node of either gateway lack CPU?"},
		{"flaps for want of CPU", probe.Status{State: v1alpha1.LinkUp, Downs: 3, Late: 3}, true, "does its node lack CPU?"},
		{"nothing", probe.Status{State: v1alpha1.LinkDown}, false, "no answer to WireGuard handshakes with 192.0.2.1:51820"},
		{"a session", probe.Status{State: v1alpha1.LinkDown}, true, "is its gateway agent running, and does its firewall admit UDP port 7472?"},
		{"one way", probe.Status{State: v1alpha1.LinkDown, Heard: true, PeerSaysDown: true}, true, "its gateway hears nothing from us"},
		{"the other way", probe.Status{State: v1alpha1.LinkDown, PeerSaysDown: true}, true, "its gateway gets no answers from us"},
	} {
		if got := linkMessage(link("west", "a"), tc.status, tc.alive); !strings.Contains(got, tc.want) || tc.want == "" && got != "" || len(got) > 200 {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// A link that tries several endpoints names them.
func TestLinkMessageNamesEndpoints(t *testing.T) {
	l := link("west", "a")
	l.Endpoints = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:51820"), netip.MustParseAddrPort("203.0.113.1:51820")}
	want := "no answer to WireGuard handshakes, tried in turn with 192.0.2.1:51820, 203.0.113.1:51820: does UDP pass to any?"
	if got := linkMessage(l, probe.Status{State: v1alpha1.LinkDown}, false); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func link(cluster v1alpha1.ClusterID, gateway string) plan.Link {
	return plan.Link{
		LinkID: plan.LinkID{Cluster: cluster, Gateway: gateway}, Endpoint: netip.MustParseAddrPort("192.0.2.1:51820"),
		TunnelAddress: netip.MustParseAddr("245.0.32.1"), Device: "tombolo0", PublicKey: wireguard.PublicKey{1},
	}
}

func TestLinksOf(t *testing.T) {
	at := func(s int64) metav1.Time { return metav1.NewTime(time.Unix(s, 0)) }
	r := &tunnelResult{
		plan: plan.Tunnels{Links: []plan.Link{link("north", "n"), link("west", "b"), link("west", "a"), link("west", "c"), link("west", "new")}},
		statuses: map[string]probe.Status{
			"west/a":  {State: v1alpha1.LinkUp, Since: time.Unix(100, 5), RTT: 21 * time.Millisecond},
			"west/b":  {State: v1alpha1.LinkDown, Since: time.Unix(90, 0), RTT: 30 * time.Millisecond},
			"west/c":  {State: v1alpha1.LinkConnecting, Since: time.Unix(80, 0)},
			"north/n": {State: v1alpha1.LinkUp, Since: time.Unix(1, 0)},
		},
		alive: map[plan.LinkID]bool{{Cluster: "west", Gateway: "b"}: true},
	}
	old := []v1alpha1.Link{
		{RemoteGateway: "a", State: v1alpha1.LinkUp, Since: at(50), RTTMilliseconds: 20},
		{RemoteGateway: "b", State: v1alpha1.LinkUp, Since: at(50), RTTMilliseconds: 20},
	}
	want := []v1alpha1.Link{
		{RemoteGateway: "a", State: v1alpha1.LinkUp, Since: at(50), RTTMilliseconds: 20},
		{RemoteGateway: "b", State: v1alpha1.LinkDown, Since: at(90), Message: "WireGuard has a session, but probes to 245.0.32.1 are not answered: is its gateway agent running, and does its firewall admit UDP port 7472?"},
		{RemoteGateway: "c", State: v1alpha1.LinkConnecting, Since: at(80), Message: "no answer to WireGuard handshakes with 192.0.2.1:51820: does UDP pass between this node and 192.0.2.1:51820?"},
	}
	if diff := cmp.Diff(want, linksOf("west", r, old)); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	if got := linksOf("south", r, nil); got != nil {
		t.Errorf("links to a cluster without any: %+v", got)
	}
}

func TestReadyCondition(t *testing.T) {
	for _, tc := range []struct {
		name    string
		result  tunnelResult
		fault   string
		keyErr  error
		status  metav1.ConditionStatus
		reason  string
		message string
	}{
		{"module", tunnelResult{err: fmt.Errorf("creating: %w", wireguard.ErrNoKernelSupport)}, "", nil, metav1.ConditionFalse,
			v1alpha1.ReasonKernelModuleMissing, "creating: " + wireguard.ErrNoKernelSupport.Error()},
		{"neither", tunnelResult{err: fmt.Errorf("%w; %w", wireguard.ErrNoKernelSupport, wireguard.ErrNoTUN)}, "", nil, metav1.ConditionFalse,
			v1alpha1.ReasonKernelModuleMissing, wireguard.ErrNoKernelSupport.Error() + "; " + wireguard.ErrNoTUN.Error()},
		{"no TUN", tunnelResult{err: fmt.Errorf("%w: gone", wireguard.ErrNoTUN)}, "", nil, metav1.ConditionFalse, reasonTUNUnavailable,
			"userspace WireGuard needs /dev/net/tun: gone"},
		{"userspace", tunnelResult{planned: true, userspace: "userspace WireGuard: for a reason"}, "", nil, metav1.ConditionTrue,
			v1alpha1.ReasonReady, "0 links on 0 devices; userspace WireGuard: for a reason"},
		{"capability", tunnelResult{err: wireguard.ErrNotPermitted}, "", nil, metav1.ConditionFalse,
			v1alpha1.ReasonNotPermitted, wireguard.ErrNotPermitted.Error()},
		{"key", tunnelResult{err: fmt.Errorf("%w: gone", errKey)}, "", nil, metav1.ConditionFalse, reasonKeyUnavailable, "no private key: gone"},
		{"other", tunnelResult{err: errors.New("busy")}, "", nil, metav1.ConditionFalse, v1alpha1.ReasonKernelError, "busy"},
		{"port", tunnelResult{err: fmt.Errorf("west: %w", &wireguard.PortInUseError{Port: 51820, Device: "wg0"})}, "", nil, metav1.ConditionFalse, v1alpha1.ReasonPortInUse,
			"west: UDP port 51820 is used by WireGuard device wg0: free it, or set ClusterSet.spec.gateway.port to another one"},
		{"endpoint", tunnelResult{planned: true}, "no address", nil, metav1.ConditionFalse, v1alpha1.ReasonInvalidEndpoint, "no address"},
		{"pending", tunnelResult{pending: "no lane"}, "", nil, metav1.ConditionFalse, v1alpha1.ReasonPending, "no lane"},
		{"warnings", tunnelResult{planned: true, plan: plan.Tunnels{
			Links:    []plan.Link{link("west", "a")},
			Warnings: []plan.Warning{{Cluster: "north", Message: "left out"}, {Cluster: "west", Gateway: "b", Message: "no key"}},
		}}, "", nil, metav1.ConditionTrue, v1alpha1.ReasonReady, "1 links on 0 devices; cluster north: left out; cluster west, gateway b: no key"},
		{"key not kept", tunnelResult{planned: true}, "", fmt.Errorf("%w is kept: disk full", errKey), metav1.ConditionFalse, reasonKeyUnavailable,
			"no private key is kept: disk full"},
		{"key still in the API", tunnelResult{planned: true}, "", errors.New("conflict"), metav1.ConditionTrue, v1alpha1.ReasonReady, "0 links on 0 devices"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := metav1.Condition{Type: v1alpha1.ConditionReady, Status: tc.status, Reason: tc.reason, Message: tc.message}
			if diff := cmp.Diff(want, readyCondition(&tc.result, tc.fault, tc.keyErr)); diff != "" {
				t.Errorf("condition (-want +got):\n%s", diff)
			}
		})
	}
}

// A link is in use if it was up and a route of its cluster goes by its device; the way of the
// probes alone is no use.
func TestLinksInUse(t *testing.T) {
	cidr, host := netip.MustParsePrefix("10.2.0.0/18"), netip.MustParsePrefix("245.0.32.1/32")
	wanted := plan.Tunnels{Links: []plan.Link{link("west", "a")}, WireGuard: wireguard.Config{Devices: []wireguard.Device{{
		Name: "tombolo0", Peers: []wireguard.Peer{{PublicKey: wireguard.PublicKey{1}, AllowedIPs: []netip.Prefix{cidr}}},
	}}}}
	for _, tc := range []struct {
		name  string
		route route.Route
		up    bool
		want  bool
	}{
		{"its route", route.Route{Key: route.Key{Destination: cidr}, Type: route.Unicast, Hops: route.Over("tombolo0", "tombolo2")}, true, true},
		{"its route, kept as the last one", route.Route{Key: route.Key{Destination: cidr}, Type: route.Unicast, Hops: route.Over("tombolo0", "tombolo2")}, false, false},
		{"another device", route.Route{Key: route.Key{Destination: cidr}, Type: route.Unicast, Hops: route.Over("tombolo2")}, true, false},
		{"the refusal", route.Route{Key: route.Key{Destination: cidr}, Type: route.Unreachable}, true, false},
		{"the way of the probes", route.Route{Key: route.Key{Destination: host}, Type: route.Unicast, Hops: route.Over("tombolo0")}, true, false},
		{"another cluster", route.Route{Key: route.Key{Destination: netip.MustParsePrefix("10.3.0.0/16")}, Type: route.Unicast, Hops: route.Over("tombolo0")}, true, false},
	} {
		got := linksInUse(route.Config{Routes: []route.Route{tc.route}}, wanted, map[plan.LinkID]bool{wanted.Links[0].LinkID: tc.up})
		if got[wanted.Links[0].LinkID] != tc.want {
			t.Errorf("%s: in use %t, want %t", tc.name, !tc.want, tc.want)
		}
	}
}
