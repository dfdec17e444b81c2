//go:build kernel || integration

package wireguard

import (
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// eachUserspace runs the test with the devices of this process only.
func eachUserspace(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	eachKind(t, func(t *testing.T, userspace bool) {
		if !userspace {
			t.Skip("this is about devices of this process")
		}
		test(t)
	})
}

// linkKind is the kind and index of a link, as ip says; empty if there is none.
func linkKind(t *testing.T, ns *netns.Namespace, name string) (kind string, index int) {
	t.Helper()
	var links []struct {
		Ifindex  int
		Linkinfo struct {
			InfoKind string `json:"info_kind"`
		}
	}
	output, err := ns.Try("ip", "-j", "-d", "link", "show", name)
	if err != nil {
		return "", 0
	}
	if err := json.Unmarshal([]byte(output), &links); err != nil || len(links) != 1 {
		t.Fatalf("ip -j link says %q: %v", output, err)
	}
	return links[0].Linkinfo.InfoKind, links[0].Ifindex
}

// The next process adopts the TUN: the link, its address and the routes over it stay, and the
// tunnel is there again at once.
func TestUserspaceAdopted(t *testing.T) {
	eachKind(t, func(t *testing.T, userspaceB bool) {
		eachUserspace(t, func(t *testing.T) { testAdopted(t, newPair(t, true, userspaceB)) })
	})
}

func testAdopted(t *testing.T, p *pair) {
	p.ping(t)
	p.b.ns.Run("busybox", "ping", "-c1", "-W10", "245.0.16.0")
	_, before := linkKind(t, p.a.ns, "tombolo0")
	routes := p.a.ns.Run("ip", "route", "show", "dev", "tombolo0")
	p.a.stop()
	if output, err := p.a.ns.Try("busybox", "ping", "-c1", "-W1", "245.0.32.1"); err == nil {
		t.Errorf("the tunnel works without a process: %s", output)
	}
	if got := read(t, p.a.ns, New()).Devices; len(got) != 1 || !got[0].Detached {
		t.Errorf("devices are %+v, want one that is detached", got)
	}
	began := time.Now()
	p.a.devices, p.a.stop = startStopping(t, p.a.ns)
	change := syncTwice(t, p.a.ns, p.a.devices, p.a.config)
	p.ping(t)
	if took := time.Since(began); took >= 5*time.Second { // WireGuard repeats a handshake after 5 s
		t.Errorf("the tunnel was back after %s", took)
	}
	if c := change.Devices[0]; c.Replace || len(c.AddAddresses) > 0 || c.MTU != 0 {
		t.Errorf("adopting changed %+v", c)
	}
	if kind, after := linkKind(t, p.a.ns, "tombolo0"); kind != "tun" || after != before {
		t.Errorf("the link is a %s with index %d, was %d", kind, after, before)
	}
	if got := p.a.ns.Run("ip", "route", "show", "dev", "tombolo0"); !strings.HasPrefix(got, strings.Fields(routes)[0]) {
		t.Errorf("routes are %q, were %q", got, routes)
	}
}

// A change of the kind replaces the device under its name, and the tunnel works after each.
func TestUserspaceConverted(t *testing.T) {
	eachKind(t, func(t *testing.T, userspace bool) {
		if _, err := Check("kernel"); err != nil {
			t.Skip(err)
		}
		p := newPair(t, userspace, false)
		p.ping(t)
		for _, to := range []bool{!userspace, userspace} {
			p.a.config.Userspace = to
			syncTwice(t, p.a.ns, p.a.devices, p.a.config)
			if kind, _ := linkKind(t, p.a.ns, "tombolo0"); (kind == "tun") != to || kind == "" {
				t.Errorf("the link is a %q", kind)
			}
			p.a.ns.Run("ip", "route", "add", "245.0.32.0/20", "dev", "tombolo0")
			p.ping(t)
		}
		syncTwice(t, p.a.ns, p.a.devices, Config{})
		if kind, _ := linkKind(t, p.a.ns, "tombolo0"); kind != "" {
			t.Errorf("a link of kind %s is left", kind)
		}
	})
}

// Links that others made under our names are refused and left alone, whatever is wanted.
func TestUserspaceForeign(t *testing.T) { eachKind(t, testForeign) }

func testForeign(t *testing.T, userspace bool) {
	ns := newNode(t)
	d := start(t, ns)
	for _, args := range [][]string{
		{"tuntap", "add", "mode", "tun", "tombolo0"}, {"tuntap", "add", "mode", "tap", "tombolo2"}, {"link", "add", "tombolo3", "type", "bridge"},
	} {
		ns.Run("ip", args...)
	}
	for _, want := range []Config{{Userspace: userspace, Devices: configs()["base"].Devices}, {Userspace: userspace}} {
		var change Change
		var err error
		ns.Do(func() { change, err = d.Sync(t.Context(), want) })
		if len(want.Devices) > 0 && (err == nil || !strings.Contains(err.Error(), "link tombolo0 is of type tuntap and not ours: rename or remove it")) {
			t.Errorf("taking the TUN of another program: %v", err)
		}
		if !change.Empty() {
			t.Errorf("changed %+v", change)
		}
		for name, want := range map[string]string{"tombolo0": "tun", "tombolo2": "tun", "tombolo3": "bridge"} {
			if kind, _ := linkKind(t, ns, name); kind != want {
				t.Errorf("%s is a %q, want a %q", name, kind, want)
			}
		}
	}
}

// A port that is taken is an error, and the device says so until it gets the port. A tunnel that is
// up goes on by its old port.
func TestUserspacePortTaken(t *testing.T) { eachUserspace(t, testPortTaken) }

func testPortTaken(t *testing.T) {
	p := newPair(t, true, true)
	var taken net.PacketConn
	var err error
	p.a.ns.Do(func() { taken, err = net.ListenPacket("udp4", ":4500") })
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	fails := func() {
		t.Helper()
		for range 3 { // in each pass anew
			var err error
			p.a.ns.Do(func() { _, err = p.a.devices.Sync(t.Context(), p.a.config) })
			if !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(err.Error(), "4500") {
				t.Errorf("taking port 4500: %v", err)
			}
		}
	}
	p.a.config.Devices[0].ListenPort = 4500
	fails()
	p.ping(t)

	p.a.stop()
	p.a.ns.Run("ip", "link", "delete", "tombolo0")
	p.a.devices, p.a.stop = startStopping(t, p.a.ns)
	fails()
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	syncTwice(t, p.a.ns, p.a.devices, p.a.config)
	p.a.ns.Run("ip", "route", "add", "245.0.32.0/20", "dev", "tombolo0")
	p.ping(t)
	if got := p.a.ns.Run("ss", "-Hlun", "sport", "=", "4500"); !strings.Contains(got, "4500") {
		t.Errorf("nobody listens on port 4500: %q", got)
	}
}

// What others do to a device of ours is put right.
func TestUserspaceDrift(t *testing.T) { eachUserspace(t, testUserspaceDrift) }

func testUserspaceDrift(t *testing.T) {
	p := newPair(t, true, true)
	for _, damage := range [][]string{
		{"ip", "link", "delete", "tombolo0"},
		{"rm", "/var/run/wireguard/tombolo0.sock"},
		{"ip", "link", "set", "tombolo0", "down"},
		{"ip", "link", "set", "tombolo0", "mtu", "1300"},
		{"wg", "set", "tombolo0", "listen-port", "0"},
		{"wg", "set", "tombolo0", "peer", testPrivateKey("b").Public().String(), "remove"},
		{"ip", "link", "set", "tombolo0", "alias", "other"},
	} {
		p.ping(t)
		p.a.ns.Run(damage[0], damage[1:]...)
		if damage[len(damage)-1] == "other" {
			break // it is foreign now
		}
		time.Sleep(50 * time.Millisecond) // the device sees what became of its TUN
		syncTwice(t, p.a.ns, p.a.devices, p.a.config)
		_, _ = p.a.ns.Try("ip", "route", "add", "245.0.32.0/20", "dev", "tombolo0")
	}
	var err error
	p.a.ns.Do(func() { _, err = p.a.devices.Sync(t.Context(), p.a.config) })
	if err == nil || !strings.Contains(err.Error(), "not ours") {
		t.Errorf("a TUN without our alias was taken: %v", err)
	}
}
