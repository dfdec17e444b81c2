//go:build kernel

package netns

import (
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Namespace is a network namespace.
type Namespace struct {
	Name string
	// calls run on a thread that is in the namespace.
	calls chan func()
}

// New makes a namespace with its loopback up and forwarding on, until the test ends.
func New(t *testing.T, name string) *Namespace {
	t.Helper()
	ns := &Namespace{Name: name, calls: make(chan func())}
	ready := make(chan error)
	go ns.serve(ready)
	if err := <-ready; err != nil {
		t.Fatalf("making namespace %s: %v", name, err)
	}
	t.Cleanup(func() { close(ns.calls) })
	ns.Run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	return ns
}

// serve keeps a thread in a new namespace, which ends with it: the thread is never unlocked.
func (ns *Namespace) serve(ready chan<- error) {
	runtime.LockOSThread()
	handle, err := netns.New()
	if err == nil {
		err = loopbackUp()
	}
	ready <- err
	if err != nil {
		return
	}
	defer handle.Close()
	for call := range ns.calls {
		call()
	}
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding lo: %w", err)
	}
	return netlink.LinkSetUp(lo)
}

// Do runs f in the namespace. f must not use Do itself, and what it does in goroutines of its own is elsewhere.
func (ns *Namespace) Do(f func()) {
	done := make(chan struct{})
	ns.calls <- func() {
		defer close(done)
		f()
	}
	<-done
}

// Go runs f on a thread of its own in the namespace. The caller waits for it.
func (ns *Namespace) Go(t *testing.T, f func()) {
	t.Helper()
	var handle netns.NsHandle
	var err error
	ns.Do(func() { handle, err = netns.Get() })
	if err != nil {
		t.Fatalf("finding namespace %s: %v", ns.Name, err)
	}
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with f
		defer handle.Close()
		if err := netns.Set(handle); err != nil {
			t.Errorf("entering namespace %s: %v", ns.Name, err)
		}
		f()
	}()
}

// Try runs the command in the namespace and returns all it printed.
func (ns *Namespace) Try(args ...string) (output string, err error) {
	ns.Do(func() {
		var b []byte
		b, err = exec.Command(args[0], args[1:]...).CombinedOutput()
		output = string(b)
	})
	return output, err
}

// Run is Try, and fails the test if the command does.
func (ns *Namespace) Run(t *testing.T, args ...string) string {
	t.Helper()
	output, err := ns.Try(args...)
	if err != nil {
		t.Fatalf("%s: %s: %v\n%s", ns.Name, strings.Join(args, " "), err, output)
	}
	return output
}

// Start starts the command in the namespace, until the test ends.
func (ns *Namespace) Start(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	var err error
	ns.Do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatalf("%s: starting %s: %v", ns.Name, args[0], err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// Wire is a switch to which namespaces are connected: a bridge in a namespace of its own.
type Wire struct {
	ns *Namespace
	n  int
}

// NewWire makes a Wire without any connection.
func NewWire(t *testing.T) *Wire {
	t.Helper()
	w := &Wire{ns: New(t, "wire")}
	w.ns.Run(t, "ip", "link", "add", "br0", "up", "type", "bridge")
	return w
}

// Connect gives the namespace a link eth0 on the wire, with these addresses, and returns the number of its port.
func (w *Wire) Connect(t *testing.T, ns *Namespace, addrs ...netip.Prefix) (port int) {
	t.Helper()
	w.n++
	var target netns.NsHandle
	var err error
	ns.Do(func() { target, err = netns.Get() })
	if err != nil {
		t.Fatalf("finding namespace %s: %v", ns.Name, err)
	}
	defer target.Close()
	w.ns.Do(func() { err = w.addPort(target) })
	if err != nil {
		t.Fatalf("connecting %s: %v", ns.Name, err)
	}
	ns.Run(t, "ip", "link", "set", "eth0", "addrgenmode", "none")
	for _, a := range addrs {
		args := []string{"ip", "address", "add", a.String(), "dev", "eth0"}
		if a.Addr().Is6() {
			args = append(args, "nodad")
		}
		ns.Run(t, args...)
	}
	ns.Run(t, "ip", "link", "set", "eth0", "up")
	return w.n
}

func (w *Wire) addPort(target netns.NsHandle) error {
	bridge, err := netlink.LinkByName("br0")
	if err != nil {
		return fmt.Errorf("finding br0: %w", err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex = fmt.Sprintf("port%d", w.n), bridge.Attrs().Index
	port := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(target))}
	if err := netlink.LinkAdd(port); err != nil {
		return fmt.Errorf("adding port %d: %w", w.n, err)
	}
	return netlink.LinkSetUp(port)
}

// Cut makes the wire drop what the namespace at that port sends and is sent; Heal undoes it.
func (w *Wire) Cut(t *testing.T, n int) {
	t.Helper()
	w.ns.Run(t, "ip", "link", "set", fmt.Sprintf("port%d", n), "nomaster")
}

// Heal connects the namespace at that port again.
func (w *Wire) Heal(t *testing.T, n int) {
	t.Helper()
	w.ns.Run(t, "ip", "link", "set", fmt.Sprintf("port%d", n), "master", "br0")
}
