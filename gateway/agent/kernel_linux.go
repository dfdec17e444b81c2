package agent

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/route"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// defaultMTU is Ethernet's, for a node whose addresses are on none of its links.
const defaultMTU = 1500

// Node is the kernel of the network namespace that its methods are called in. It is not safe for concurrent use.
type Node struct {
	devices *wireguard.Devices
}

// NewNode returns the Node that this process runs on.
func NewNode() *Node { return &Node{devices: wireguard.New()} }

// Check implements Kernel.
func (*Node) Check() error { return wireguard.Check() }

// CheckForwarding implements Kernel. A node of Kubernetes forwards; if this one does not, somebody changed it.
func (*Node) CheckForwarding(ipv6 bool) error {
	settings := []string{"net/ipv4/ip_forward"}
	if ipv6 {
		settings = append(settings, "net/ipv6/conf/all/forwarding")
	}
	for _, s := range settings {
		value, err := os.ReadFile(filepath.Join("/proc/sys", s))
		if err != nil {
			return fmt.Errorf("reading whether the node forwards: %w", err)
		}
		if name := strings.ReplaceAll(s, "/", "."); strings.TrimSpace(string(value)) == "0" {
			return fmt.Errorf("the node does not forward packets: %s is 0; set it, with: sysctl -w %s=1", name, name)
		}
	}
	return nil
}

// ReadTunnels implements Kernel.
func (n *Node) ReadTunnels(ctx context.Context) (wireguard.State, error) { return n.devices.Read(ctx) }

// SyncTunnels implements Kernel.
func (n *Node) SyncTunnels(ctx context.Context, want wireguard.Config) (wireguard.Change, error) {
	return n.devices.Sync(ctx, want)
}

// ReadRoutes implements Kernel.
func (*Node) ReadRoutes(ctx context.Context) (route.State, error) { return route.Read(ctx) }

// SyncRoutes implements Kernel.
func (*Node) SyncRoutes(ctx context.Context, want route.Config) (route.Change, error) {
	return route.Sync(ctx, want)
}

// UnderlayMTU implements Kernel: 1500 if no link has any of the addresses.
func (*Node) UnderlayMTU(underlay []netip.Addr) (int, error) {
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

// Listen implements Kernel.
func (*Node) Listen(ctx context.Context, addr netip.Addr) (probe.Conn, error) {
	return probe.Listen(ctx, addr)
}
