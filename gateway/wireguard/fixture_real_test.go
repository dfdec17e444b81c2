//go:build kernel || integration

package wireguard

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// eachKind runs the test with the kernel's devices and with those of this process, or with those
// that this machine can have: the lab's kernel has both, many a host has no WireGuard.
func eachKind(t *testing.T, test func(t *testing.T, userspace bool)) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("this needs root, for network namespaces")
	}
	for _, mode := range []v1alpha1.WireGuardMode{v1alpha1.WireGuardKernel, v1alpha1.WireGuardUserspace} {
		t.Run(string(mode), func(t *testing.T) {
			userspace, err := Check(mode)
			if errors.Is(err, ErrNoKernelSupport) || errors.Is(err, ErrNoTUN) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			test(t, userspace)
		})
	}
}

// start returns the devices of the namespace, which are served until the test ends.
func start(t *testing.T, ns *netns.Namespace) *Devices {
	d, _ := startStopping(t, ns)
	return d
}

// startStopping is start; stop ends what is served.
func startStopping(t *testing.T, ns *netns.Namespace) (d *Devices, stop func()) {
	t.Helper()
	d = New()
	ctx, cancel := context.WithCancel(logr.NewContext(context.Background(), testr.New(t)))
	ended := make(chan error, 1)
	ns.Go(func() { ended <- d.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return d, stop
}

// newNode returns a namespace in which control sockets are not those of other namespaces.
func newNode(t *testing.T) *netns.Namespace {
	t.Helper()
	ns := netns.New(t)
	ns.OwnFolder("/run/wireguard")
	return ns
}

// syncTwice syncs in the namespace and asserts that doing so again changes nothing.
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

// pair is two nodes, 192.0.2.1 and 192.0.2.2, with a tunnel between them. They see each other's addresses as
// published, but for a's: b has a wrong one, and learns it.
type pair struct{ a, b *end }

// end is one node of a pair.
type end struct {
	ns      *netns.Namespace
	devices *Devices
	// stop ends what serves the devices.
	stop   func()
	config Config
}

func newPair(t *testing.T, userspaceA, userspaceB bool) *pair {
	t.Helper()
	p := newEnds(t, userspaceA, userspaceB)
	wire := netns.NewWire(t)
	wire.Connect(p.a.ns, netip.MustParsePrefix("192.0.2.1/24"))
	wire.Connect(p.b.ns, netip.MustParsePrefix("192.0.2.2/24"))
	p.connect(t)
	return p
}

// newEnds returns a pair whose ends have no underlay yet.
func newEnds(t *testing.T, userspaceA, userspaceB bool) *pair {
	t.Helper()
	return &pair{a: newEnd(t, configA(userspaceA)), b: newEnd(t, configB(userspaceB))}
}

func configA(userspace bool) Config {
	device := testDevice(0, testPeer("", "10.2.0.0/18", "245.0.32.0/20"))
	device.PrivateKey, device.Addresses = testPrivateKey("a"), []netip.Addr{netip.MustParseAddr("245.0.16.0")}
	device.Peers[0].PublicKey, device.Peers[0].Endpoint = testPrivateKey("b").Public(), netip.MustParseAddrPort("192.0.2.2:51821")
	return Config{Userspace: userspace, Devices: []Device{device}}
}

func configB(userspace bool) Config {
	device := testDevice(1, testPeer("", "10.1.0.0/16", "245.0.16.0/20"))
	device.PrivateKey, device.Addresses = testPrivateKey("b"), []netip.Addr{netip.MustParseAddr("245.0.32.1")}
	device.Peers[0].PublicKey, device.Peers[0].Endpoint = testPrivateKey("a").Public(), netip.MustParseAddrPort("192.0.2.77:1")
	return Config{Userspace: userspace, Devices: []Device{device}}
}

func newEnd(t *testing.T, config Config) *end {
	t.Helper()
	e := &end{ns: newNode(t), config: config}
	e.devices, e.stop = startStopping(t, e.ns)
	return e
}

// connect makes the tunnel.
func (p *pair) connect(t *testing.T) {
	t.Helper()
	// b first: what a sends at once, as its keepalive makes it, is lost otherwise, and tried again
	// after 5 s only (REKEY_TIMEOUT of WireGuard).
	syncTwice(t, p.b.ns, p.b.devices, p.b.config)
	syncTwice(t, p.a.ns, p.a.devices, p.a.config)
	p.a.ns.Run("ip", "route", "add", "245.0.32.0/20", "dev", "tombolo0")
	p.b.ns.Run("ip", "route", "add", "245.0.16.0/20", "dev", "tombolo1")
}

// ping pings b from a through the tunnel.
func (p *pair) ping(t *testing.T) {
	t.Helper()
	p.a.ns.Run("busybox", "ping", "-c1", "-W10", "245.0.32.1")
}
