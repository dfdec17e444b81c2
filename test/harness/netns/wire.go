//go:build kernel || integration

package netns

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Wire is a switch to which namespaces are connected: a bridge in a namespace of its own.
type Wire struct {
	ns *Namespace
	n  int
}

// NewWire makes a Wire without any connection.
func NewWire(t testing.TB) *Wire {
	t.Helper()
	w := &Wire{ns: New(t)}
	w.ns.Run("ip", "link", "add", "br0", "up", "type", "bridge")
	return w
}

// Connect gives the namespace a link eth0 on the wire, with these addresses, and returns the number
// of its port.
func (w *Wire) Connect(ns *Namespace, addrs ...netip.Prefix) (port int) {
	w.ns.t.Helper()
	w.n++
	w.ns.Do(func() { check(w.ns.t, w.addPort(ns.handle), "connecting a namespace") })
	if KernelHasIPv6() {
		ns.Run("ip", "link", "set", "eth0", "addrgenmode", "none")
	}
	for _, a := range addrs {
		args := []string{"address", "add", a.String(), "dev", "eth0"}
		if a.Addr().Is6() {
			args = append(args, "nodad")
		}
		ns.Run("ip", args...)
	}
	ns.Run("ip", "link", "set", "eth0", "up")
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
func (w *Wire) Cut(n int) {
	w.ns.t.Helper()
	w.ns.Run("ip", "link", "set", fmt.Sprintf("port%d", n), "nomaster")
}

// Heal connects the namespace at that port again.
func (w *Wire) Heal(n int) {
	w.ns.t.Helper()
	w.ns.Run("ip", "link", "set", fmt.Sprintf("port%d", n), "master", "br0")
}
