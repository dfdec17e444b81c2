package wireguard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
)

// Attributes and indexes of a link's IPv4 settings: linux/if_link.h (IFLA_INET_CONF) and linux/ip.h
// (IPV4_DEVCONF_RP_FILTER, counted from 1).
const (
	iflaInetConf = 1
	confRPFilter = 8
	confSize     = 4
)

// ourLinks are the links that belong to this package, by name.
func ourLinks(ctx context.Context) ([]netlink.Link, error) {
	links, err := rtnl.Dump(ctx, "links", netlink.LinkList)
	if err != nil {
		return nil, err
	}
	links = slices.DeleteFunc(links, func(l netlink.Link) bool {
		return l.Type() != "wireguard" || !isOurs(l.Attrs().Name)
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
	if link.Type() != "wireguard" {
		return nil, fmt.Errorf("link %s is of type %s and not ours: rename or remove it", name, link.Type())
	}
	return link, nil
}

// removeLink deletes the link. A link that is gone already is no error.
func removeLink(name string) error {
	link, err := findLink(name)
	var absent netlink.LinkNotFoundError
	if errors.As(err, &absent) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing %s: %w", name, kernelError(err))
	}
	return nil
}

// changeLink applies what concerns the link, in the order that packets need: addresses and MTU,
// then up.
func changeLink(link netlink.Link, c DeviceChange) error {
	var errs []error
	for _, addr := range c.AddAddresses {
		errs = append(errs, ignoring(netlink.AddrAdd(link, hostAddress(addr)), unix.EEXIST))
	}
	for _, addr := range c.RemoveAddresses {
		errs = append(errs, ignoring(netlink.AddrDel(link, hostAddress(addr)), unix.EADDRNOTAVAIL))
	}
	if c.MTU != 0 {
		errs = append(errs, netlink.LinkSetMTU(link, c.MTU))
	}
	if c.LooseRPFilter {
		errs = append(errs, setRPFilter(link, rpFilterLoose))
	}
	if c.SetUp {
		errs = append(errs, netlink.LinkSetUp(link))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("changing link %s: %w", c.Name, kernelError(err))
	}
	return nil
}

func ignoring(err, absent error) error {
	if errors.Is(err, absent) {
		return nil
	}
	return err
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

// setRPFilter sets the link's rp_filter by netlink, where /proc/sys is read-only (inet_set_link_af
// in net/ipv4/devinet.c).
func setRPFilter(link netlink.Link, value uint32) error {
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(link.Attrs().Index)
	req.AddData(msg)
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC|unix.NLA_F_NESTED, nil)
	inet := spec.AddRtAttr(unix.AF_INET|unix.NLA_F_NESTED, nil)
	inet.AddRtAttr(iflaInetConf|unix.NLA_F_NESTED, nil).AddRtAttr(confRPFilter, nl.Uint32Attr(value))
	req.AddData(spec)
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("setting rp_filter of %s: %w", link.Attrs().Name, err)
	}
	return nil
}

// readRPFilter reads the link's own rp_filter by netlink: the settings come as one array of 32-bit
// values.
func readRPFilter(link netlink.Link) (int, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(link.Attrs().Index)
	req.AddData(msg)
	answers, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return 0, fmt.Errorf("reading settings of %s: %w", link.Attrs().Name, err)
	}
	for _, m := range answers {
		conf, err := attribute(m[unix.SizeofIfInfomsg:], unix.IFLA_AF_SPEC, unix.AF_INET, iflaInetConf)
		if err != nil {
			return 0, fmt.Errorf("parsing settings of %s: %w", link.Attrs().Name, err)
		}
		if len(conf) >= confRPFilter*confSize {
			return int(binary.NativeEndian.Uint32(conf[(confRPFilter-1)*confSize:])), nil
		}
	}
	return 0, nil
}

// attribute is the value at the end of the path of nested attributes, or nil.
func attribute(b []byte, path ...uint16) ([]byte, error) {
	for _, want := range path {
		attrs, err := nl.ParseRouteAttr(b)
		if err != nil {
			return nil, err
		}
		b = nil
		for _, a := range attrs {
			if a.Attr.Type&^unix.NLA_F_NESTED == want {
				b = a.Value
			}
		}
	}
	return b, nil
}
