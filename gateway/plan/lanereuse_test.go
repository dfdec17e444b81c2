package plan

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// A gateway that is gone frees its lane, and another one gets it, with another key. The old peer
// goes before the new one gets its prefixes. Nothing else changes.
func TestLaneIsReused(t *testing.T) {
	before := west1()
	before.Remotes = []Remote{remote("east", 1, "10.1.0.0/16",
		gateway("old", 0, "192.0.2.10"), gateway("other", 2, "192.0.2.12"))}
	after := before
	after.Remotes = []Remote{remote("east", 1, "10.1.0.0/16",
		gateway("new", 0, "192.0.2.13"), gateway("other", 2, "192.0.2.12"))}
	was, err := NewTunnels(before)
	if err != nil {
		t.Fatal(err)
	}
	is, err := NewTunnels(after)
	if err != nil {
		t.Fatal(err)
	}
	change := wireguard.Diff(stateOf(was.WireGuard), is.WireGuard)
	if len(change.Devices) != 1 || len(change.Remove) != 0 {
		t.Fatalf("more than one device changes: %+v", change)
	}
	d := change.Devices[0]
	want := wireguard.DeviceChange{Name: "tombolo0", Peers: []wireguard.PeerChange{
		{PublicKey: was.WireGuard.Devices[0].Peers[0].PublicKey, Remove: true},
		{
			PublicKey: is.WireGuard.Devices[0].Peers[0].PublicKey, Add: true, Endpoint: is.WireGuard.Devices[0].Peers[0].Endpoint,
			Keepalive: &is.WireGuard.Devices[0].Peers[0].Keepalive, AllowedIPs: is.WireGuard.Devices[0].Peers[0].AllowedIPs,
		},
	}}
	if diff := cmp.Diff(want, d, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})); diff != "" {
		t.Errorf("change (-want +got):\n%s", diff)
	}
	old, young := was.Links[0], is.Links[0]
	if old.Gateway != "old" || young.Gateway != "new" || old.TunnelAddress != young.TunnelAddress || old.PublicKey == young.PublicKey {
		t.Errorf("the links are %+v and %+v: want one tunnel address and two keys", old, young)
	}
}

// stateOf is the kernel's state that the Config made.
func stateOf(c wireguard.Config) wireguard.State {
	var state wireguard.State
	for _, d := range c.Devices {
		s := wireguard.DeviceState{
			Name: d.Name, PrivateKey: d.PrivateKey, ListenPort: d.ListenPort, MTU: d.MTU, Up: true, RPFilter: 2, Addresses: d.Addresses,
		}
		for _, p := range d.Peers {
			s.Peers = append(s.Peers, wireguard.PeerState{Peer: p, Published: p.Endpoint})
		}
		state.Devices = append(state.Devices, s)
	}
	return state
}
