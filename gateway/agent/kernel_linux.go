package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/route"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// defaultMTU is Ethernet's, for a node whose addresses are on none of its links.
const defaultMTU = 1500

// NewKernel returns the kernel of the network namespace that its methods are called in.
func NewKernel() Kernel {
	return Kernel{Tunnels: devices{wireguard.New()}, Traffic: wireguard.New(), Routes: table{}, Host: thisNode{}}
}

// devices are wireguard's.
type devices struct{ *wireguard.Devices }

// Check implements tunnels.
func (devices) Check() error { return wireguard.Check() }

// table is route's.
type table struct{}

// Read implements routes.
func (table) Read(ctx context.Context) (route.State, error) { return route.Read(ctx) }

// Sync implements routes.
func (table) Sync(ctx context.Context, want route.Config) (route.Change, error) {
	return route.Sync(ctx, want)
}

// thisNode is the node that this process runs on.
type thisNode struct{}

// CheckForwarding implements host.
func (thisNode) CheckForwarding(ipv6 bool) error { return checkForwarding(ipv6) }

// Listen implements host.
func (thisNode) Listen(ctx context.Context, addr netip.Addr) (probe.Conn, error) {
	return probe.Listen(ctx, addr)
}

// UnderlayMTU implements host: 1500 if no link has any of the addresses.
func (thisNode) UnderlayMTU(underlay []netip.Addr) (int, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return 0, fmt.Errorf("listing links: %w", err)
	}
	mtu := 0
	for _, link := range links {
		addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
		if err != nil {
			return 0, fmt.Errorf("listing addresses of %s: %w", link.Attrs().Name, err)
		}
		if slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return isOneOf(a, underlay) }) {
			if m := link.Attrs().MTU; mtu == 0 || m < mtu {
				mtu = m
			}
		}
	}
	if mtu == 0 {
		return defaultMTU, nil
	}
	return mtu, nil
}

func isOneOf(a netlink.Addr, addrs []netip.Addr) bool {
	addr, _ := netip.AddrFromSlice(a.IP)
	return slices.Contains(addrs, addr.Unmap())
}
