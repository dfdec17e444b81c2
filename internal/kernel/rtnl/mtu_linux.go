package rtnl

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// UnderlayMTU is the smallest MTU of the devices that have these addresses, in bytes. It is zero
// without addresses. The error names an address that no device has.
func UnderlayMTU(ctx context.Context, addresses []netip.Addr) (int, error) {
	smallest := 0
	for _, address := range addresses {
		list, err := Dump(ctx, "addresses", func() ([]netlink.Addr, error) { return netlink.AddrList(nil, Family(address)) })
		if err != nil {
			return 0, err
		}
		i := slices.IndexFunc(list, func(a netlink.Addr) bool { return Addr(a.IP) == address })
		if i < 0 {
			return 0, fmt.Errorf("no device of this node has its InternalIP %s", address)
		}
		link, err := netlink.LinkByIndex(list[i].LinkIndex)
		if err != nil {
			return 0, fmt.Errorf("reading the device of %s: %w", address, err)
		}
		if mtu := link.Attrs().MTU; smallest == 0 || mtu < smallest {
			smallest = mtu
		}
	}
	return smallest, nil
}
