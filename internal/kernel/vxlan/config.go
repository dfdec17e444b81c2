package vxlan

import (
	"bytes"
	"cmp"
	"net"
	"net/netip"

	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
)

// Name is the name of the device that joins a cluster's nodes with its gateways.
const Name = "tombolo-vx"

// HandoverName is the name of the device by which a gateway hands packets over to another gateway
// of its cluster.
const HandoverName = "tombolo-ho"

// Anchor is an IPv4 address that a device bears besides others that may go: with the last one the
// kernel removes all routes and neighbours of the device (fib_disable_ip in
// net/ipv4/fib_frontend.c). It is a loopback address, so that nothing is ever sent to it. Once it is
// there it stays as long as the device, wanted or not.
func Anchor() netip.Addr { return netip.AddrFrom4([4]byte{127, 74, 73, 1}) }

// MAC is an Ethernet address.
type MAC [6]byte

// String is the address in the usual form.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// Config is which devices a node needs, or which of ours it has. The lists are in any order and
// without duplicates; Read returns them sorted.
type Config struct {
	Devices    []Device
	Addresses  []Address
	Neighbours []Neighbour
	Forwards   []Forward
}

// Device is one device. It has no addresses but those of the Config.
type Device struct {
	Name string
	// ID is the VXLAN network identifier.
	ID uint32
	// Port is the UDP port, of both sides.
	Port uint16
	// Local is the node's underlay address.
	Local netip.Addr
	// MTU in bytes.
	MTU int
	// MAC is that of this node.
	MAC MAC
	// RPFilter is the device's own rp_filter. In a plan RPFilterOff means that it stays as it is.
	RPFilter rtnl.RPFilter
	// Down is true for a device in the kernel that somebody set down. A plan leaves it false.
	Down bool
}

// Compare orders devices by name.
func (d Device) Compare(o Device) int { return cmp.Compare(d.Name, o.Name) }

// String is, for example, "device tombolo-vx".
func (d Device) String() string { return "device " + d.Name }

// Address is an address of a device, alone (/32, /128) and of the scope "host": the node never chooses
// it as the source of its packets. Link-local addresses are the kernel's own and do not show.
type Address struct {
	Device  string
	Address netip.Addr
}

// Compare orders addresses by device and address.
func (a Address) Compare(o Address) int {
	return cmp.Or(cmp.Compare(a.Device, o.Device), a.Address.Compare(o.Address))
}

// String is, for example, "address 245.0.32.0 of tombolo-vx".
func (a Address) String() string { return "address " + a.Address.String() + " of " + a.Device }

// Neighbour is a permanent neighbour entry on a device: a next hop and its MAC.
type Neighbour struct {
	Device  string
	Address netip.Addr
	MAC     MAC
}

// Compare orders neighbours by device, address and MAC.
func (n Neighbour) Compare(o Neighbour) int {
	return cmp.Or(cmp.Compare(n.Device, o.Device), n.Address.Compare(o.Address), bytes.Compare(n.MAC[:], o.MAC[:]))
}

// String is, for example, "neighbour 192.0.2.7".
func (n Neighbour) String() string { return "neighbour " + n.Address.String() }

// Forward is a permanent entry of a device's forwarding database: it says which node has a MAC.
type Forward struct {
	Device   string
	MAC      MAC
	Underlay netip.Addr
}

// Compare orders entries by device, MAC and address.
func (f Forward) Compare(o Forward) int {
	return cmp.Or(cmp.Compare(f.Device, o.Device), bytes.Compare(f.MAC[:], o.MAC[:]), f.Underlay.Compare(o.Underlay))
}

// String is, for example, "forwarding entry 02:...:0a".
func (f Forward) String() string { return "forwarding entry " + f.MAC.String() }
