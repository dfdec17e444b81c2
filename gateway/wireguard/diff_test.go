package wireguard

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var netipValues = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})

func testKey(name string) PublicKey { return sha256.Sum256([]byte(name)) }

func testPrivateKey(name string) PrivateKey { return clamped(PrivateKey(testKey(name))) }

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, t := range texts {
		list = append(list, netip.MustParsePrefix(t))
	}
	return list
}

func testPeer(name string, allowed ...string) Peer {
	return Peer{
		PublicKey: testKey(name), Endpoint: netip.MustParseAddrPort("192.0.2.1:51820"), Keepalive: 25 * time.Second,
		AllowedIPs: prefixes(allowed...),
	}
}

func testDevice(lane int, peers ...Peer) Device {
	return Device{
		Name: DeviceName(lane), PrivateKey: testPrivateKey("private"), ListenPort: 51820 + lane, MTU: 1420,
		Addresses: []netip.Addr{netip.MustParseAddr("245.0.16.0"), netip.MustParseAddr("fd00::1")},
		Peers:     peers,
	}
}

// configs differ from each other in all that a Config can differ in.
func configs() map[string]Config {
	base := func() Config {
		return Config{Devices: []Device{
			testDevice(0, testPeer("west", "10.2.0.0/18"), testPeer("north", "10.3.0.0/16", "fd00:3::/48")),
			testDevice(2, testPeer("south", "10.4.0.0/16")),
		}}
	}
	all := map[string]Config{"empty": {}, "base": base(), "userspace": {Userspace: true, Devices: base().Devices}}
	for _, tt := range []struct {
		name string
		edit func(*Device)
	}{
		{"private key", func(d *Device) { d.PrivateKey[5]++ }},
		{"listen port", func(d *Device) { d.ListenPort = 4500 }},
		{"mtu", func(d *Device) { d.MTU = 1400 }},
		{"address gone", func(d *Device) { d.Addresses = d.Addresses[:1] }},
		{"address other", func(d *Device) { d.Addresses = []netip.Addr{netip.MustParseAddr("245.0.16.9")} }},
		{"peer gone", func(d *Device) { d.Peers = d.Peers[:1] }},
		{"peer more", func(d *Device) { d.Peers = append(d.Peers, testPeer("more", "10.5.0.0/16")) }},
		{"peer other", func(d *Device) { d.Peers[0].PublicKey = testKey("other") }},
		{"peers gone", func(d *Device) { d.Peers = nil }},
		{"endpoint", func(d *Device) { d.Peers[0].Endpoint = netip.MustParseAddrPort("[2001:db8::1]:1") }},
		{"keepalive", func(d *Device) { d.Peers[0].Keepalive = 0 }},
		{"allowed ip more", func(d *Device) { d.Peers[0].AllowedIPs = prefixes("10.2.0.0/18", "10.9.0.0/16") }},
		{"allowed ip gone", func(d *Device) { d.Peers[1].AllowedIPs = prefixes("fd00:3::/48") }},
		{"allowed ip moved", func(d *Device) {
			d.Peers[0].AllowedIPs, d.Peers[1].AllowedIPs = prefixes("10.2.0.0/18", "10.3.0.0/16"), prefixes("fd00:3::/48")
		}},
		{"name", func(d *Device) { d.Name, d.ListenPort = DeviceName(5), 51825 }},
	} {
		c := base()
		tt.edit(&c.Devices[0])
		all[tt.name] = c
	}
	return all
}

// kernel is what a kernel without sessions makes of a Config, and of changes.
type kernel struct{ devices map[string]*DeviceState }

func (k kernel) state() State {
	var s State
	for _, d := range k.devices {
		s.Devices = append(s.Devices, *d)
	}
	slices.SortFunc(s.Devices, func(a, b DeviceState) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// apply does what the kernel does, which gives a prefix to the peer that names it last.
func (k kernel) apply(change Change) {
	for _, c := range change.Devices {
		if c.Replace {
			delete(k.devices, c.Name)
		}
		if d := k.devices[c.Name]; c.Create && d != nil && d.Detached {
			d.Detached = false
		} else if c.Create {
			k.devices[c.Name] = &DeviceState{Name: c.Name, Userspace: c.Userspace}
		}
		k.applyDevice(k.devices[c.Name], c)
	}
	for _, name := range change.Remove {
		delete(k.devices, name)
	}
}

func (kernel) applyDevice(d *DeviceState, c DeviceChange) {
	if c.PrivateKey != nil {
		d.PrivateKey = *c.PrivateKey
	}
	if c.ListenPort != nil {
		d.ListenPort = *c.ListenPort
	}
	if c.MTU != 0 {
		d.MTU = c.MTU
	}
	if c.LooseRPFilter {
		d.RPFilter = 2
	}
	d.Up = d.Up || c.SetUp
	d.Addresses = append(without(d.Addresses, c.RemoveAddresses), c.AddAddresses...)
	slices.SortFunc(d.Addresses, netip.Addr.Compare)
	d.lose(c.RemovePrefixes)
	for _, p := range c.Peers {
		d.applyPeer(p)
	}
	slices.SortFunc(d.Peers, func(a, b PeerState) int { return compareKeys(a.PublicKey, b.PublicKey) })
}

func (d *DeviceState) lose(gone []netip.Prefix) {
	for i := range d.Peers {
		d.Peers[i].AllowedIPs = without(d.Peers[i].AllowedIPs, gone)
	}
}

func (d *DeviceState) applyPeer(c PeerChange) {
	is := func(p PeerState) bool { return p.PublicKey == c.PublicKey }
	if c.Remove {
		d.Peers = slices.DeleteFunc(d.Peers, is)
		return
	}
	if c.Add {
		d.Peers = append(d.Peers, PeerState{Peer: Peer{PublicKey: c.PublicKey}})
	}
	d.lose(c.AllowedIPs)
	p := &d.Peers[slices.IndexFunc(d.Peers, is)]
	if c.Endpoint.IsValid() {
		p.Endpoint = c.Endpoint
	}
	if c.Keepalive != nil {
		p.Keepalive = *c.Keepalive
	}
	p.AllowedIPs = append(p.AllowedIPs, c.AllowedIPs...)
	slices.SortFunc(p.AllowedIPs, netip.Prefix.Compare)
}

func kernelOf(c Config) kernel {
	k := kernel{map[string]*DeviceState{}}
	k.apply(Diff(State{}, c))
	return k
}

// wanted is the state that the Config asks for, written down without Diff.
func wanted(c Config) State {
	var s State
	for _, d := range c.Devices {
		state := DeviceState{
			Name: d.Name, Userspace: c.Userspace, PrivateKey: d.PrivateKey, ListenPort: d.ListenPort, MTU: d.MTU,
			Up: true, RPFilter: 2, Addresses: d.Addresses,
		}
		for _, p := range d.Peers {
			state.Peers = append(state.Peers, PeerState{Peer: p})
		}
		slices.SortFunc(state.Peers, func(a, b PeerState) int { return compareKeys(a.PublicKey, b.PublicKey) })
		s.Devices = append(s.Devices, state)
	}
	slices.SortFunc(s.Devices, func(a, b DeviceState) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// From every Config to every other, the difference is what it takes, and to itself there is none.
func TestDiffProperties(t *testing.T) {
	for fromName, from := range configs() {
		for toName, to := range configs() {
			t.Run(fmt.Sprintf("%s to %s", fromName, toName), func(t *testing.T) {
				k := kernelOf(from)
				change := Diff(k.state(), to)
				if got := change.Empty(); got != (fromName == toName) {
					t.Errorf("change is empty: %t: %+v", got, change)
				}
				k.apply(change)
				if diff := cmp.Diff(wanted(to), k.state(), netipValues, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("state (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// A TUN whose process has ended is adopted with what the link has, and gets the rest.
func TestDiffAdopts(t *testing.T) {
	want := configs()["userspace"]
	k := kernelOf(want)
	for _, d := range k.devices {
		*d = DeviceState{Name: d.Name, Userspace: true, Detached: true, MTU: d.MTU, RPFilter: d.RPFilter, Addresses: d.Addresses}
	}
	change := Diff(k.state(), want)
	for _, c := range change.Devices {
		if !c.Create || c.Replace || !c.SetUp || c.MTU != 0 || len(c.AddAddresses) > 0 || len(c.RemoveAddresses) > 0 {
			t.Errorf("%s: change is %+v, want an adoption that keeps the link's addresses", c.Name, c)
		}
	}
	k.apply(change)
	if diff := cmp.Diff(wanted(want), k.state(), netipValues, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

// A change of the kind replaces each device under its name.
func TestDiffReplaces(t *testing.T) {
	for from, to := range map[string]string{"base": "userspace", "userspace": "base"} {
		change := Diff(kernelOf(configs()[from]).state(), configs()[to])
		if len(change.Devices) != 2 || len(change.Remove) != 0 {
			t.Fatalf("%s to %s: change is %+v", from, to, change)
		}
		for _, c := range change.Devices {
			if !c.Replace || !c.Create || c.Userspace != (to == "userspace") {
				t.Errorf("%s to %s: change is %+v", from, to, c)
			}
		}
	}
}

// What a difference leaves alone matters as much as what it changes.
func TestDiffTouchesNoMore(t *testing.T) {
	all := configs()
	have := kernelOf(all["base"]).state()
	west, north := testKey("west"), testKey("north")
	keepalive, moved := time.Duration(0), all["endpoint"].Devices[0].Peers[0]
	for _, tc := range []struct {
		to   string
		want DeviceChange
	}{
		{"endpoint", DeviceChange{Peers: []PeerChange{{PublicKey: west, Remove: true}, {PublicKey: west, Add: true,
			Endpoint: netip.MustParseAddrPort("[2001:db8::1]:1"), Keepalive: &moved.Keepalive, AllowedIPs: moved.AllowedIPs}}}},
		{"keepalive", DeviceChange{Peers: []PeerChange{{PublicKey: west, Keepalive: &keepalive}}}},
		{"allowed ip more", DeviceChange{Peers: []PeerChange{{PublicKey: west, AllowedIPs: prefixes("10.9.0.0/16")}}}},
		{"allowed ip gone", DeviceChange{RemovePrefixes: prefixes("10.3.0.0/16")}},
		{"allowed ip moved", DeviceChange{Peers: []PeerChange{{PublicKey: west, AllowedIPs: prefixes("10.3.0.0/16")}}}},
		{"peer gone", DeviceChange{Peers: []PeerChange{{PublicKey: north, Remove: true}}}},
		{"mtu", DeviceChange{MTU: 1400}},
	} {
		t.Run(tc.to, func(t *testing.T) {
			tc.want.Name = DeviceName(0)
			want := Change{Devices: []DeviceChange{tc.want}}
			if diff := cmp.Diff(want, Diff(have, all[tc.to]), netipValues); diff != "" {
				t.Errorf("change (-want +got):\n%s", diff)
			}
		})
	}
}

// A peer with a session stays: it gets another endpoint in place.
func TestDiffKeepsSessions(t *testing.T) {
	all := configs()
	have := kernelOf(all["base"]).state()
	p := &have.Devices[0].Peers[slices.IndexFunc(have.Devices[0].Peers, func(p PeerState) bool { return p.PublicKey == testKey("west") })]
	p.Alive, p.Published = true, p.Endpoint
	want := []PeerChange{{PublicKey: testKey("west"), Endpoint: netip.MustParseAddrPort("[2001:db8::1]:1")}}
	if diff := cmp.Diff(want, Diff(have, all["endpoint"]).Devices[0].Peers, netipValues); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// A learned endpoint stays unless another is published, or the session is dead.
func TestRewritesEndpoint(t *testing.T) {
	published, learned := netip.MustParseAddrPort("192.0.2.1:51820"), netip.MustParseAddrPort("203.0.113.9:40000")
	other := netip.MustParseAddrPort("192.0.2.2:51820")
	for _, tc := range []struct {
		name      string
		kernel    netip.AddrPort
		before    netip.AddrPort
		alive     bool
		published netip.AddrPort
		want      bool
	}{
		{"new peer without endpoint", netip.AddrPort{}, netip.AddrPort{}, false, published, true},
		{"as published, alive", published, published, true, published, false},
		{"as published, dead", published, published, false, published, false},
		{"learned, alive", learned, published, true, published, false},
		{"learned, dead", learned, published, false, published, true},
		{"learned, alive, another published", learned, published, true, other, true},
		{"learned, alive, after a restart", learned, netip.AddrPort{}, true, published, false},
		{"learned, dead, after a restart", learned, netip.AddrPort{}, false, published, true},
		{"nothing published", learned, published, false, netip.AddrPort{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			have := PeerState{Peer: Peer{Endpoint: tc.kernel}, Published: tc.before, Alive: tc.alive}
			if got := rewritesEndpoint(have, tc.published); got != tc.want {
				t.Errorf("rewritten: %t, want %t", got, tc.want)
			}
		})
	}
}

// A private key shows in no text that somebody may log.
func TestPrivateKeyIsHidden(t *testing.T) {
	key, err := GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	device := Device{PrivateKey: key}
	change := DeviceChange{PrivateKey: &key}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, x := range []any{key, &key, device, change} {
			text := fmt.Sprintf(format, x)
			if strings.Contains(text, key.Text()) || strings.Contains(text, fmt.Sprint([32]byte(key))) {
				t.Errorf("%s of %T shows the key", format, x)
			}
		}
	}
	parsed, err := ParsePrivateKey(key.Text() + "\n")
	if err != nil || parsed != key {
		t.Errorf("the text of a key parses to another: %v", err)
	}
}

// Whatever form of a key somebody put into the Secret, the kernel shows the clamped one.
func TestParsePrivateKeyClamps(t *testing.T) {
	unclamped := testKey("private")
	key, err := ParsePrivateKey(unclamped.String())
	if err != nil || key != testPrivateKey("private") || key == PrivateKey(unclamped) {
		t.Errorf("key is not clamped, error %v", err)
	}
	if key.Public() != PrivateKey(unclamped).Public() {
		t.Error("clamping makes another public key of it")
	}
}

func TestParseKeys(t *testing.T) {
	for _, text := range []string{"", "x", strings.Repeat("A", 43) + "=", "AAEC", testKey("a").String() + "A"} {
		if _, err := ParsePrivateKey(text); err == nil {
			t.Errorf("private key %q is taken", text)
		}
		if _, err := ParsePublicKey(text); err == nil {
			t.Errorf("public key %q is taken", text)
		}
	}
}

// What only gives a peer another endpoint is nothing that others have done.
func TestWithoutEndpoints(t *testing.T) {
	a, b := testKey("a"), testKey("b")
	endpoint, keepalive := netip.MustParseAddrPort("192.0.2.1:1"), 25*time.Second
	again := []PeerChange{{PublicKey: a, Remove: true}, {PublicKey: a, Add: true, Endpoint: endpoint, Keepalive: &keepalive, AllowedIPs: prefixes("10.0.0.0/8")}}
	added := PeerChange{PublicKey: b, Add: true, Endpoint: endpoint}
	for _, tt := range []struct {
		name  string
		peers []PeerChange
		want  []PeerChange
	}{
		{"another endpoint", []PeerChange{{PublicKey: a, Endpoint: endpoint}}, nil},
		{"tried again", again, nil},
		{"tried again, and another was missing", append(slices.Clone(again), added), []PeerChange{added}},
		{"removed", again[:1], again[:1]},
		{"lost its prefixes", []PeerChange{{PublicKey: a, AllowedIPs: prefixes("10.0.0.0/8")}}, []PeerChange{{PublicKey: a, AllowedIPs: prefixes("10.0.0.0/8")}}},
		{"another keepalive", []PeerChange{{PublicKey: a, Keepalive: &keepalive}}, []PeerChange{{PublicKey: a, Keepalive: &keepalive}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Change{Devices: []DeviceChange{{Name: "tombolo0", Peers: tt.peers}}}.WithoutEndpoints()
			var want Change
			if tt.want != nil {
				want.Devices = []DeviceChange{{Name: "tombolo0", Peers: tt.want}}
			}
			if diff := cmp.Diff(want, got, netipValues); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	kept := Change{Remove: []string{"tombolo7"}, Devices: []DeviceChange{{Name: "tombolo0", MTU: 1400, Peers: again}}}
	if got := kept.WithoutEndpoints(); len(got.Remove) != 1 || len(got.Devices) != 1 || got.Devices[0].Peers != nil {
		t.Errorf("%+v, want the device that goes, and the MTU", got)
	}
}
