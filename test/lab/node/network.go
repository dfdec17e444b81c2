package node

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// kernelDevice is the first network device of a user-mode kernel, uplink its
// name on a node.
const (
	kernelDevice = "vec0"
	uplink       = "eth0"
)

// setUpNetwork configures the uplink: addresses, MTU, default routes.
func setUpNetwork(cfg Config) error {
	link, err := netlink.LinkByName(kernelDevice)
	if err != nil {
		return fmt.Errorf("finding %s: %w", kernelDevice, err)
	}
	if err := netlink.LinkSetName(link, uplink); err != nil {
		return fmt.Errorf("renaming %s to %s: %w", kernelDevice, uplink, err)
	}
	if cfg.MTU != 0 {
		if err := netlink.LinkSetMTU(link, cfg.MTU); err != nil {
			return fmt.Errorf("setting the MTU of %s to %d: %w", uplink, cfg.MTU, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", uplink, err)
	}
	for _, a := range cfg.Addresses {
		// No duplicate address detection: an address is usable at once.
		addr := &netlink.Addr{IPNet: ipNet(a), Flags: unix.IFA_F_NODAD}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("adding %s to %s: %w", a, uplink, err)
		}
	}
	for _, gateway := range cfg.Gateways {
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.AsSlice()}
		if err := netlink.RouteAdd(route); err != nil {
			return fmt.Errorf("adding the default route via %s: %w", gateway, err)
		}
	}
	return nil
}

// ipNet returns p as the net package has it, host bits kept.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
