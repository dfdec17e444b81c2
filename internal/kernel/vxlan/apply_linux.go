package vxlan

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
)

// Sync makes the named devices match want, which has no others, and returns what it changed. It is
// safe to repeat.
func Sync(ctx context.Context, want Config, names ...string) (Change, error) {
	have, err := Read(ctx, names...)
	if err != nil {
		return Change{}, err
	}
	change := Diff(have, want)
	if change.Empty() {
		return change, nil
	}
	return Apply(ctx, change)
}

// Apply makes the change: the devices first, then their entries, and what goes at last. It tries
// every part, and returns what it applied and the joined errors of the rest; what is gone already
// counts as deleted. The kernel changes the MTU of IPv6 routes over a device with that of the
// device (rt6_mtu_change in net/ipv6/route.c).
func Apply(ctx context.Context, change Change) (Change, error) {
	var links rtnl.Links
	var tried rtnl.Attempts
	var done Change
	done.DeleteDevices = rtnl.Each(ctx, &tried, "deleting", change.DeleteDevices, deleteDevice)
	done.AddDevices = rtnl.Each(ctx, &tried, "adding", change.AddDevices, addDevice)
	done.SetDevices = rtnl.Each(ctx, &tried, "setting", change.SetDevices, setDevice)
	done.AddAddresses = rtnl.Each(ctx, &tried, "adding", change.AddAddresses, func(a Address) error {
		return rtnl.Unless(unix.EEXIST, writeAddress(a, netlink.AddrAdd))
	})
	done.SetNeighbours = rtnl.Each(ctx, &tried, "setting", change.SetNeighbours, func(n Neighbour) error {
		return writeEntry(&links, n.Device, toNeighbour(n), netlink.NeighSet)
	})
	done.SetForwards = rtnl.Each(ctx, &tried, "setting", change.SetForwards, func(f Forward) error {
		return writeEntry(&links, f.Device, toForward(f), netlink.NeighSet)
	})
	done.DeleteForwards = rtnl.Each(ctx, &tried, "deleting", change.DeleteForwards, func(f Forward) error {
		return gone(writeEntry(&links, f.Device, toForward(f), netlink.NeighDel))
	})
	done.DeleteNeighbours = rtnl.Each(ctx, &tried, "deleting", change.DeleteNeighbours, func(n Neighbour) error {
		return gone(writeEntry(&links, n.Device, toNeighbour(n), netlink.NeighDel))
	})
	done.DeleteAddresses = rtnl.Each(ctx, &tried, "deleting", change.DeleteAddresses, func(a Address) error {
		return gone(rtnl.Unless(unix.EADDRNOTAVAIL, writeAddress(a, netlink.AddrDel)))
	})
	return done, tried.Err()
}

// writeAddress writes an address of a device.
func writeAddress(a Address, write func(netlink.Link, *netlink.Addr) error) error {
	link, err := netlink.LinkByName(a.Device)
	if err != nil {
		return err
	}
	address := &netlink.Addr{IPNet: rtnl.IPNet(netip.PrefixFrom(a.Address, a.Address.BitLen())), Scope: int(netlink.SCOPE_HOST)}
	if a.Address.Is6() {
		address.Flags = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE
	}
	return write(link, address)
}

// writeEntry writes a neighbour or forwarding entry of a device.
func writeEntry(links *rtnl.Links, device string, entry *netlink.Neigh, write func(*netlink.Neigh) error) (err error) {
	if entry.LinkIndex, err = links.Index(device); err != nil {
		return err
	}
	return write(entry)
}

// gone is err, or nil if err says that the entry or its device is gone already.
func gone(err error) error {
	if errors.Is(err, unix.ENOENT) || rtnl.IsLinkNotFound(err) {
		return nil
	}
	return err
}

func deleteDevice(d Device) error {
	link, err := findDevice(d.Name)
	if link == nil {
		return err
	}
	return rtnl.DeleteLink(link)
}

func addDevice(d Device) error {
	link := toLink(d)
	if err := netlink.LinkAdd(link); err != nil {
		return err
	}
	// No addresses of the kernel's own, not even a link-local one, which must be said before the device is up; without
	// IPv6 there is nothing to say.
	err := netlink.LinkSetIP6AddrGenMode(link, addrGenNone)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		err = nil
	}
	if err = errors.Join(err, setRPFilter(link, d.RPFilter), netlink.LinkSetUp(link)); err != nil {
		// Half a device would pass for a whole one.
		return errors.Join(fmt.Errorf("setting it up: %w", err), netlink.LinkDel(link))
	}
	return nil
}

func setDevice(d Device) error {
	link, err := netlink.LinkByName(d.Name)
	if err != nil {
		return err
	}
	if err := errors.Join(netlink.LinkSetMTU(link, d.MTU), setRPFilter(link, d.RPFilter), netlink.LinkSetUp(link)); err != nil {
		return fmt.Errorf("MTU %d: %w", d.MTU, err)
	}
	return nil
}

// setRPFilter sets the value unless it is to stay as it is.
func setRPFilter(link netlink.Link, want rtnl.RPFilter) error {
	if want == rtnl.RPFilterOff {
		return nil
	}
	return rtnl.SetRPFilter(link, want)
}

// addrGenNone is IN6_ADDR_GEN_MODE_NONE of include/uapi/linux/if_link.h.
const addrGenNone = 1

func toLink(d Device) *netlink.Vxlan {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = d.Name, d.MTU, d.MAC[:]
	return &netlink.Vxlan{LinkAttrs: attrs, VxlanId: int(d.ID), Port: int(d.Port), SrcAddr: d.Local.AsSlice()}
}

func toNeighbour(n Neighbour) *netlink.Neigh {
	return &netlink.Neigh{Family: rtnl.Family(n.Address), State: netlink.NUD_PERMANENT, IP: n.Address.AsSlice(), HardwareAddr: n.MAC[:]}
}

func toForward(f Forward) *netlink.Neigh {
	return &netlink.Neigh{Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT, Flags: netlink.NTF_SELF,
		IP: f.Underlay.AsSlice(), HardwareAddr: f.MAC[:]}
}
