package vxlan

import (
	"context"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
)

// Read returns which of the named devices the kernel has, with their entries, in the network
// namespace of the caller. The error names a device that has such a name and that we did not make.
func Read(ctx context.Context, names ...string) (Config, error) {
	var have Config
	for _, name := range names {
		one, err := readOne(ctx, name)
		if rtnl.IsLinkNotFound(err) {
			continue // removed meanwhile
		}
		if err != nil {
			return Config{}, err
		}
		have.Devices = append(have.Devices, one.Devices...)
		have.Addresses = append(have.Addresses, one.Addresses...)
		have.Neighbours = append(have.Neighbours, one.Neighbours...)
		have.Forwards = append(have.Forwards, one.Forwards...)
	}
	slices.SortFunc(have.Devices, Device.Compare)
	slices.SortFunc(have.Addresses, Address.Compare)
	slices.SortFunc(have.Neighbours, Neighbour.Compare)
	slices.SortFunc(have.Forwards, Forward.Compare)
	return have, nil
}

// readOne reads one device and its entries. Without a device of that name it returns the zero Config.
func readOne(ctx context.Context, name string) (have Config, err error) {
	link, err := findDevice(name)
	if link == nil {
		return have, err
	}
	device, err := fromLink(link)
	if err != nil {
		return have, err
	}
	have.Devices = []Device{device}
	if err := readAddresses(ctx, link, &have); err != nil {
		return have, err
	}
	err = readEntries(ctx, link, &have)
	return have, err
}

// findDevice returns nil if there is no device of that name, and an error if there is one that we
// did not make.
func findDevice(name string) (*netlink.Vxlan, error) {
	link, err := netlink.LinkByName(name)
	if rtnl.IsLinkNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading device %s: %w", name, err)
	}
	vxlan, ok := link.(*netlink.Vxlan)
	if !ok {
		return nil, fmt.Errorf("device %s is a %s that tombolo did not make: remove or rename it", name, link.Type())
	}
	return vxlan, nil
}

func fromLink(link *netlink.Vxlan) (Device, error) {
	rpFilter, err := rtnl.ReadRPFilter(link)
	if err != nil {
		return Device{}, err
	}
	d := Device{
		Name: link.Name, ID: uint32(link.VxlanId), Port: uint16(link.Port), Local: rtnl.Addr(link.SrcAddr), MTU: link.MTU,
		RPFilter: rpFilter, Down: link.Flags&net.FlagUp == 0,
	}
	copy(d.MAC[:], link.HardwareAddr)
	return d, nil
}

func readAddresses(ctx context.Context, link *netlink.Vxlan, have *Config) error {
	list, err := rtnl.Dump(ctx, "addresses of "+link.Name, func() ([]netlink.Addr, error) {
		return netlink.AddrList(link, netlink.FAMILY_ALL)
	})
	if err != nil {
		return err
	}
	for _, a := range list {
		if address := rtnl.Addr(a.IP); address.IsValid() && !address.IsLinkLocalUnicast() {
			have.Addresses = append(have.Addresses, Address{Device: link.Name, Address: address})
		}
	}
	return nil
}

// ReadEntries returns the neighbours and forwards of those of the named devices that are VXLANs,
// whoever made them.
func ReadEntries(ctx context.Context, names ...string) (Config, error) {
	var have Config
	for _, name := range names {
		link, err := netlink.LinkByName(name)
		if rtnl.IsLinkNotFound(err) {
			continue
		}
		if err != nil {
			return Config{}, fmt.Errorf("reading device %s: %w", name, err)
		}
		if device, ok := link.(*netlink.Vxlan); ok {
			if err := readEntries(ctx, device, &have); err != nil {
				return Config{}, err
			}
		}
	}
	slices.SortFunc(have.Neighbours, Neighbour.Compare)
	slices.SortFunc(have.Forwards, Forward.Compare)
	return have, nil
}

func readEntries(ctx context.Context, link *netlink.Vxlan, have *Config) error {
	for _, family := range append(rtnl.Families(), unix.AF_BRIDGE) {
		entries, err := rtnl.Dump(ctx, "neighbours of "+link.Name, func() ([]netlink.Neigh, error) {
			return netlink.NeighList(link.Index, family)
		})
		if err != nil {
			return err
		}
		for _, e := range entries {
			address := rtnl.Addr(e.IP)
			if !address.IsValid() || e.State&netlink.NUD_PERMANENT == 0 || len(e.HardwareAddr) != len(MAC{}) {
				continue
			}
			if family == unix.AF_BRIDGE {
				have.Forwards = append(have.Forwards, Forward{Device: link.Name, MAC: MAC(e.HardwareAddr), Underlay: address})
				continue
			}
			have.Neighbours = append(have.Neighbours, Neighbour{Device: link.Name, Address: address, MAC: MAC(e.HardwareAddr)})
		}
	}
	return nil
}
