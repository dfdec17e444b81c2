package conntrack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// attempts is how often the kernel's table is listed anew if it changed meanwhile.
const attempts = 5

// Delete deletes the entries of those flows in the network namespace of whoever calls, and returns how many there were.
// It lists the kernel's table once for each family, so that many flows cost as much as one. An entry that has gone
// meanwhile counts as deleted. The error is EPERM without the capability NET_ADMIN.
func Delete(ctx context.Context, flows []Flow) (deleted int, err error) {
	four, six := wanted{}, wanted{}
	for _, flow := range flows {
		if flow.Address.Is4() {
			four[flow] = true
		} else {
			six[flow] = true
		}
	}
	n4, err4 := four.delete(ctx, unix.AF_INET)
	n6, err6 := six.delete(ctx, unix.AF_INET6)
	return n4 + n6, errors.Join(err4, err6)
}

// wanted are the flows to delete, all of one family.
type wanted map[Flow]bool

func (w wanted) delete(ctx context.Context, family netlink.InetFamily) (deleted int, err error) {
	if len(w) == 0 {
		return 0, nil
	}
	for range attempts {
		if err := ctx.Err(); err != nil {
			return deleted, err
		}
		var n uint
		n, err = netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, w)
		deleted += int(n)
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return deleted, fmt.Errorf("deleting conntrack entries: %w", err)
	}
	return deleted, nil
}

// MatchConntrackFlow tells whether the entry is of one of the flows (netlink.CustomConntrackFilter).
func (w wanted) MatchConntrackFlow(entry *netlink.ConntrackFlow) bool {
	address, ok := netip.AddrFromSlice(entry.Forward.DstIP)
	endpoint, valid := netip.AddrFromSlice(entry.Reverse.SrcIP)
	return ok && valid && w[Flow{
		Address: address.Unmap(), Protocol: protocols[entry.Forward.Protocol], Port: entry.Forward.DstPort,
		Endpoint: netip.AddrPortFrom(endpoint.Unmap(), entry.Reverse.SrcPort),
	}]
}
