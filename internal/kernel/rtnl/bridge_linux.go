package rtnl

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attributes of a bridge, of linux/if_link.h.
const (
	bridgeCallsIPTables  = 36 // IFLA_BR_NF_CALL_IPTABLES
	bridgeCallsIP6Tables = 37 // IFLA_BR_NF_CALL_IP6TABLES
)

// ReadBridgeNetfilter reports whether packets of a family on the bridge meet the rules of netfilter by
// the bridge's own setting. The sysctls net.bridge.bridge-nf-call-* may say so for all bridges.
func ReadBridgeNetfilter(bridge netlink.Link, ipv6 bool) (bool, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(bridge.Attrs().Index)
	req.AddData(msg)
	answers, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return false, fmt.Errorf("reading settings of %s: %w", bridge.Attrs().Name, err)
	}
	kind := uint16(bridgeCallsIPTables)
	if ipv6 {
		kind = bridgeCallsIP6Tables
	}
	for _, m := range answers {
		value, err := attribute(m[unix.SizeofIfInfomsg:], unix.IFLA_LINKINFO, nl.IFLA_INFO_DATA, kind)
		if err != nil {
			return false, fmt.Errorf("parsing settings of %s: %w", bridge.Attrs().Name, err)
		}
		if len(value) == 1 {
			return value[0] != 0, nil
		}
	}
	return false, nil
}
