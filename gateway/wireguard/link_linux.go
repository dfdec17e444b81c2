package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/kernel/tunnel"
)

// isUserspace reports whether the link is one of this package's, and whether it is a TUN.
func isUserspace(l netlink.Link) (userspaceLink, ours bool) {
	ours = tunnel.Is(l)
	return ours && tunnel.IsUserspace(l), ours
}

// ourLinks are the links that belong to this package, by name.
func ourLinks(ctx context.Context) ([]netlink.Link, error) {
	links, err := rtnl.Dump(ctx, "links", netlink.LinkList)
	if err != nil {
		return nil, err
	}
	links = slices.DeleteFunc(links, func(l netlink.Link) bool {
		_, ours := isUserspace(l)
		return !ours
	})
	slices.SortFunc(links, func(a, b netlink.Link) int { return strings.Compare(a.Attrs().Name, b.Attrs().Name) })
	return links, nil
}

// linkAddresses are the link's addresses except the link-local ones: those the kernel assigns
// itself.
func linkAddresses(ctx context.Context, link netlink.Link) ([]netip.Addr, error) {
	list, err := rtnl.Dump(ctx, "addresses of "+link.Attrs().Name, func() ([]netlink.Addr, error) {
		return netlink.AddrList(link, netlink.FAMILY_ALL)
	})
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, a := range list {
		if addr := rtnl.Addr(a.IP); addr.IsValid() && !addr.IsLinkLocalUnicast() {
			addrs = append(addrs, addr)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs, nil
}

// addLink creates the link, down.
func addLink(name string) (netlink.Link, error) {
	link := &netlink.Wireguard{LinkAttrs: netlink.NewLinkAttrs()}
	link.Name = name
	if err := netlink.LinkAdd(link); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("creating %s: %w", name, kernelError(err))
	}
	return findLink(name)
}

func findLink(name string) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", name, err)
	}
	if _, ours := isUserspace(link); !ours {
		return nil, fmt.Errorf("link %s is of type %s and not ours: rename or remove it", name, link.Type())
	}
	return link, nil
}

// removeLink deletes the link. A link that is gone already is no error.
func (d *Devices) removeLink(name string) error {
	d.engine.Stop(name)
	link, err := findLink(name)
	if rtnl.IsLinkNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := rtnl.DeleteLink(link); err != nil {
		return fmt.Errorf("removing %s: %w", name, kernelError(err))
	}
	return nil
}

// changeLink applies what concerns the link, in the order that packets need: addresses and MTU,
// then up.
func changeLink(link netlink.Link, c DeviceChange) error {
	var errs []error
	for _, addr := range c.AddAddresses {
		errs = append(errs, rtnl.Unless(unix.EEXIST, netlink.AddrAdd(link, hostAddress(addr))))
	}
	for _, addr := range c.RemoveAddresses {
		errs = append(errs, rtnl.Unless(unix.EADDRNOTAVAIL, netlink.AddrDel(link, hostAddress(addr))))
	}
	if c.MTU != 0 {
		errs = append(errs, netlink.LinkSetMTU(link, c.MTU))
	}
	if c.LooseRPFilter {
		errs = append(errs, rtnl.SetRPFilter(link, rpFilter))
	}
	if c.SetUp {
		errs = append(errs, netlink.LinkSetUp(link))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("changing link %s: %w", c.Name, kernelError(err))
	}
	return nil
}

// hostAddress is the address alone. No prefix of it is on the link, so the kernel adds no route to
// the main table. No other host can hold it, so no duplicates need to be detected.
func hostAddress(addr netip.Addr) *netlink.Addr {
	a := &netlink.Addr{IPNet: rtnl.IPNet(netip.PrefixFrom(addr, addr.BitLen()))}
	if addr.Is6() {
		a.Flags = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE
	}
	return a
}
