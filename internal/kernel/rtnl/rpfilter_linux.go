package rtnl

import (
	"encoding/binary"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attributes and indexes of a link's IPv4 settings: linux/if_link.h (IFLA_INET_CONF) and linux/ip.h
// (IPV4_DEVCONF_RP_FILTER, counted from 1).
const (
	iflaInetConf = 1
	confRPFilter = 8
	confSize     = 4
)

// SetRPFilter sets the link's own rp_filter by netlink, which needs NET_ADMIN only: /proc/sys may be
// read-only (inet_set_link_af in net/ipv4/devinet.c).
func SetRPFilter(link netlink.Link, value RPFilter) error {
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(link.Attrs().Index)
	req.AddData(msg)
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC|unix.NLA_F_NESTED, nil)
	inet := spec.AddRtAttr(unix.AF_INET|unix.NLA_F_NESTED, nil)
	inet.AddRtAttr(iflaInetConf|unix.NLA_F_NESTED, nil).AddRtAttr(confRPFilter, nl.Uint32Attr(uint32(value)))
	req.AddData(spec)
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("setting rp_filter of %s: %w", link.Attrs().Name, err)
	}
	return nil
}

// ReadRPFilter returns the link's own rp_filter. The kernel sends the settings as one array of
// 32-bit values.
func ReadRPFilter(link netlink.Link) (RPFilter, error) {
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
			return RPFilter(binary.NativeEndian.Uint32(conf[(confRPFilter-1)*confSize:])), nil
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
