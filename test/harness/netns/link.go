//go:build kernel || integration

package netns

import (
	"net"

	"github.com/vishvananda/netlink"
)

// Join makes a pair of devices: one named device with that address in n, one named peerDevice in
// peer.
func (n *Namespace) Join(device, address string, peer *Namespace, peerDevice, peerAddress string) {
	n.t.Helper()
	n.Do(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = device
		pair := &netlink.Veth{LinkAttrs: attrs, PeerName: peerDevice, PeerNamespace: netlink.NsFd(peer.handle)}
		check(n.t, netlink.LinkAdd(pair), "adding "+device)
	})
	n.Address(device, address)
	peer.Address(peerDevice, peerAddress)
}

// Address gives a device an address and sets it up.
func (n *Namespace) Address(device, address string) {
	n.t.Helper()
	n.Do(func() {
		link, err := netlink.LinkByName(device)
		check(n.t, err, "finding "+device)
		parsed, err := netlink.ParseAddr(address)
		check(n.t, err, "parsing "+address)
		parsed.Flags |= 0x02 // IFA_F_NODAD: an IPv6 address is usable at once
		check(n.t, netlink.AddrAdd(link, parsed), "adding "+address)
		check(n.t, netlink.LinkSetUp(link), "setting up "+device)
	})
}

// Route adds a route by way of a gateway.
func (n *Namespace) Route(prefix, gateway string) {
	n.t.Helper()
	n.Do(func() {
		_, dst, err := net.ParseCIDR(prefix)
		check(n.t, err, "parsing "+prefix)
		check(n.t, netlink.RouteAdd(&netlink.Route{Dst: dst, Gw: net.ParseIP(gateway)}), "adding a route to "+prefix)
	})
}
