//go:build kernel

package wireguard

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// sync syncs in the namespace and asserts that doing so again changes nothing.
func syncTwice(t *testing.T, ns *netns.Namespace, d *Devices, want Config) Change {
	t.Helper()
	var first, second Change
	var err error
	ns.Do(func() {
		if first, err = d.Sync(t.Context(), want); err == nil {
			second, err = d.Sync(t.Context(), want)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !second.Empty() {
		t.Errorf("the second pass changes %+v", second)
	}
	return first
}

func read(t *testing.T, ns *netns.Namespace, d *Devices) State {
	t.Helper()
	var state State
	var err error
	ns.Do(func() { state, err = d.Read(t.Context()) })
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// A real kernel goes from every Config to every other.
func TestKernelProperties(t *testing.T) {
	ns := netns.New(t)
	d := New()
	for name, c := range configs() {
		for _, step := range []Config{configs()["base"], c} {
			syncTwice(t, ns, d, step)
			ignore := cmpopts.IgnoreFields(PeerState{}, "Published")
			if diff := cmp.Diff(wanted(step), read(t, ns, d), netipValues, cmpopts.EquateEmpty(), ignore); diff != "" {
				t.Errorf("%s: state (-want +got):\n%s", name, diff)
			}
		}
	}
}

// wg and ip see what was asked for.
func TestKernelReaders(t *testing.T) {
	ns := netns.New(t)
	syncTwice(t, ns, New(), Config{Devices: []Device{testDevice(2, testPeer("west", "10.2.0.0/18", "fd00:2::/48"))}})
	dump := strings.Fields(ns.Run("wg", "show", "tombolo2", "dump"))
	want := []string{
		testPrivateKey("private").Text(), testPrivateKey("private").Public().String(), "51822", "off",
		testKey("west").String(), "(none)", "192.0.2.1:51820", "10.2.0.0/18,fd00:2::/48", "0", "0", "0", "25",
	}
	if diff := cmp.Diff(want, dump); diff != "" {
		t.Errorf("wg show (-want +got):\n%s", diff)
	}
	address := ns.Run("ip", "-o", "address", "show", "dev", "tombolo2")
	for _, want := range []string{"245.0.16.0/32", "fd00::1/128"} {
		if !strings.Contains(address, want) {
			t.Errorf("addresses lack %s:\n%s", want, address)
		}
	}
	if link := ns.Run("ip", "link", "show", "tombolo2"); !strings.Contains(link, "mtu 1420") || !strings.Contains(link, ",UP") {
		t.Errorf("link is %s", link)
	}
	if got := ns.Run("sysctl", "-n", "net.ipv4.conf.tombolo2.rp_filter"); strings.TrimSpace(got) != "2" {
		t.Errorf("rp_filter is %s, want 2", got)
	}
	if got := ns.Run("ip", "-6", "route", "show", "table", "main", "dev", "tombolo2"); strings.Contains(got, "fd00::1") {
		t.Errorf("the main table has a route of ours: %s", got)
	}
}

// More peers and prefixes than the library puts into one message.
func TestKernelManyPeers(t *testing.T) {
	ns := netns.New(t)
	d := New()
	device := testDevice(0)
	for i := range 100 {
		p := testPeer(fmt.Sprint(i))
		for j := range 10 {
			p.AllowedIPs = append(p.AllowedIPs, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), byte(j), 0}), 24))
		}
		device.Peers = append(device.Peers, p)
	}
	syncTwice(t, ns, d, Config{Devices: []Device{device}})
	// All first prefixes go, without a trace of the peer that takes them.
	for i := range device.Peers {
		device.Peers[i].AllowedIPs = device.Peers[i].AllowedIPs[1:]
	}
	change := syncTwice(t, ns, d, Config{Devices: []Device{device}})
	if got := len(change.Devices[0].RemovePrefixes); got != 100 {
		t.Errorf("%d prefixes removed, want 100", got)
	}
	if got := strings.Count(ns.Run("wg", "show", "tombolo0", "peers"), "\n"); got != 100 {
		t.Errorf("%d peers, want 100", got)
	}
}

// Sessions outlive changes of their peer and of its neighbours, and a learned endpoint outlives
// what is not about it.
func TestKernelKeepsSessions(t *testing.T) {
	wire := netns.NewWire(t)
	a, b := netns.New(t), netns.New(t)
	wire.Connect(a, netip.MustParsePrefix("192.0.2.1/24"))
	wire.Connect(b, netip.MustParsePrefix("192.0.2.2/24"))
	deviceA, deviceB := testDevice(0), testDevice(1)
	deviceA.PrivateKey, deviceB.PrivateKey = testPrivateKey("a"), testPrivateKey("b")
	deviceA.Addresses, deviceB.Addresses = []netip.Addr{netip.MustParseAddr("245.0.16.0")}, []netip.Addr{netip.MustParseAddr("245.0.32.1")}
	toB, toA := testPeer("", "10.2.0.0/18", "245.0.32.0/20"), testPeer("", "10.1.0.0/16", "245.0.16.0/20")
	toB.PublicKey, toB.Endpoint = deviceB.PrivateKey.Public(), netip.MustParseAddrPort("192.0.2.2:51821")
	toA.PublicKey, toA.Endpoint = deviceA.PrivateKey.Public(), netip.MustParseAddrPort("192.0.2.77:1") // wrong, so b learns it
	deviceA.Peers, deviceB.Peers = []Peer{toB}, []Peer{toA}
	kernelA, kernelB := New(), New()
	// b first: what a sends at once, as its keepalive makes it, is lost otherwise, and tried again
	// after 5 s only (REKEY_TIMEOUT of WireGuard).
	syncTwice(t, b, kernelB, Config{Devices: []Device{deviceB}})
	syncTwice(t, a, kernelA, Config{Devices: []Device{deviceA}})
	a.Run("ip", "route", "add", "245.0.32.0/20", "dev", "tombolo0")
	b.Run("ip", "route", "add", "245.0.16.0/20", "dev", "tombolo1")
	a.Run("busybox", "ping", "-c1", "-W10", "245.0.32.1")
	handshake := b.Run("wg", "show", "tombolo1", "latest-handshakes")

	deviceB.Peers[0].AllowedIPs = prefixes("10.1.0.0/17", "245.0.16.0/20")
	deviceB.Peers = append(deviceB.Peers, testPeer("north", "10.3.0.0/16"))
	for _, d := range []*Devices{kernelB, New()} { // the same process, and one that has just started
		syncTwice(t, b, d, Config{Devices: []Device{deviceB}})
		if got := b.Run("wg", "show", "tombolo1", "endpoints"); !strings.Contains(got, "192.0.2.1:51820") {
			t.Errorf("the learned endpoint is gone: %s", got)
		}
	}
	if got := b.Run("wg", "show", "tombolo1", "latest-handshakes"); !strings.Contains(got, strings.TrimSpace(handshake)) {
		t.Errorf("the session is another one: %s, was %s", got, handshake)
	}
	a.Run("busybox", "ping", "-c1", "-W10", "245.0.32.1")
	deviceB.Peers[0].Endpoint = netip.MustParseAddrPort("192.0.2.1:4500")
	syncTwice(t, b, kernelB, Config{Devices: []Device{deviceB}})
	if got := b.Run("wg", "show", "tombolo1", "endpoints"); !strings.Contains(got, "192.0.2.1:4500") {
		t.Errorf("the newly published endpoint is not used: %s", got)
	}
}

// A thread without NET_ADMIN is told what it lacks; with it, all is well.
func TestKernelNotPermitted(t *testing.T) {
	if err := Check(); err != nil {
		t.Errorf("with all rights: %v", err)
	}
	ns := netns.New(t)
	var checkErr, syncErr error
	done := make(chan struct{})
	ns.Go(func() {
		defer close(done)
		if syncErr = dropNetAdmin(); syncErr != nil {
			return
		}
		checkErr = Check()
		_, syncErr = New().Sync(t.Context(), configs()["base"])
	})
	<-done
	for _, err := range []error{checkErr, syncErr} {
		if !errors.Is(err, ErrNotPermitted) || !strings.Contains(err.Error(), "NET_ADMIN") {
			t.Errorf("without NET_ADMIN: %v", err)
		}
	}
}

// dropNetAdmin takes the capability from this thread only.
func dropNetAdmin() error {
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	return unix.Capset(&header, &data[0])
}
