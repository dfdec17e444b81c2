//go:build kernel || integration

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

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// A real kernel goes from every Config to every other.
func TestKernelProperties(t *testing.T) {
	eachKind(t, func(t *testing.T, userspace bool) {
		ns := newNode(t)
		d := start(t, ns)
		for name, c := range configs() {
			for _, step := range []Config{configs()["base"], c} {
				step.Userspace = userspace
				syncTwice(t, ns, d, step)
				ignore := cmpopts.IgnoreFields(PeerState{}, "Published")
				if diff := cmp.Diff(wanted(step), read(t, ns, d), netipValues, cmpopts.EquateEmpty(), ignore); diff != "" {
					t.Errorf("%s: state (-want +got):\n%s", name, diff)
				}
			}
		}
	})
}

// wg and ip see what was asked for.
func TestKernelReaders(t *testing.T) { eachKind(t, testReaders) }

func testReaders(t *testing.T, userspace bool) {
	ns := newNode(t)
	device := testDevice(2, testPeer("west", "10.2.0.0/18", "fd00:2::/48"))
	syncTwice(t, ns, start(t, ns), Config{Userspace: userspace, Devices: []Device{device}})
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
	if got := ns.Run("ip", "-6", "address", "show", "dev", "tombolo2", "scope", "link"); got != "" {
		t.Errorf("the link has an address of its own: %s", got)
	}
	kind, got := map[bool]string{false: "wireguard", true: "tun"}[userspace], ns.Run("ip", "-d", "-o", "link", "show", "tombolo2")
	if !strings.Contains(got, kind) {
		t.Errorf("the link is not of type %s: %s", kind, got)
	}
}

// More peers and prefixes than the library puts into one message.
func TestKernelManyPeers(t *testing.T) { eachKind(t, testManyPeers) }

func testManyPeers(t *testing.T, userspace bool) {
	ns := newNode(t)
	d := start(t, ns)
	device := testDevice(0)
	for i := range 100 {
		p := testPeer(fmt.Sprint(i))
		for j := range 10 {
			p.AllowedIPs = append(p.AllowedIPs, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), byte(j), 0}), 24))
		}
		device.Peers = append(device.Peers, p)
	}
	syncTwice(t, ns, d, Config{Userspace: userspace, Devices: []Device{device}})
	// All first prefixes go, without a trace of the peer that takes them.
	for i := range device.Peers {
		device.Peers[i].AllowedIPs = device.Peers[i].AllowedIPs[1:]
	}
	change := syncTwice(t, ns, d, Config{Userspace: userspace, Devices: []Device{device}})
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
	eachKind(t, func(t *testing.T, userspaceA bool) {
		eachKind(t, func(t *testing.T, userspaceB bool) { testKeepsSessions(t, newPair(t, userspaceA, userspaceB)) })
	})
}

func testKeepsSessions(t *testing.T, p *pair) {
	p.ping(t)
	handshake := p.b.ns.Run("wg", "show", "tombolo1", "latest-handshakes")

	peers := &p.b.config.Devices[0].Peers
	(*peers)[0].AllowedIPs = prefixes("10.1.0.0/17", "245.0.16.0/20")
	*peers = append(*peers, testPeer("north", "10.3.0.0/16"))
	for _, d := range []*Devices{p.b.devices, New()} { // the same process, and one that has just started
		syncTwice(t, p.b.ns, d, p.b.config)
		if got := p.b.ns.Run("wg", "show", "tombolo1", "endpoints"); !strings.Contains(got, "192.0.2.1:51820") {
			t.Errorf("the learned endpoint is gone: %s", got)
		}
	}
	if got := p.b.ns.Run("wg", "show", "tombolo1", "latest-handshakes"); !strings.Contains(got, strings.TrimSpace(handshake)) {
		t.Errorf("the session is another one: %s, was %s", got, handshake)
	}
	p.ping(t)
	(*peers)[0].Endpoint = netip.MustParseAddrPort("192.0.2.1:4500")
	syncTwice(t, p.b.ns, p.b.devices, p.b.config)
	if got := p.b.ns.Run("wg", "show", "tombolo1", "endpoints"); !strings.Contains(got, "192.0.2.1:4500") {
		t.Errorf("the newly published endpoint is not used: %s", got)
	}
}

// A thread without NET_ADMIN is told what it lacks; with it, all is well.
func TestKernelNotPermitted(t *testing.T) { eachKind(t, testNotPermitted) }

func testNotPermitted(t *testing.T, userspace bool) {
	mode := v1alpha1.WireGuardKernel
	if userspace {
		mode = v1alpha1.WireGuardUserspace
	}
	ns := newNode(t)
	want := configs()["base"]
	want.Userspace = userspace
	var checkErr, syncErr error
	done := make(chan struct{})
	ns.Go(func() {
		defer close(done)
		if syncErr = dropNetAdmin(); syncErr != nil {
			return
		}
		_, checkErr = Check(mode)
		_, syncErr = New().Sync(t.Context(), want)
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
