package conntrack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// Delete deletes the entries of those flows in the caller's network namespace, and returns how many
// there were. It lists the kernel's table once for each family, so that many flows cost as much as
// one. An entry that has gone meanwhile counts as deleted. The error is EPERM without the
// capability NET_ADMIN.
func Delete(ctx context.Context, flows []Flow) (deleted int, err error) {
	four, six := wanted{}, wanted{}
	for _, flow := range flows {
		if flow.Address.Is4() {
			four[flow] = true
		} else {
			six[flow] = true
		}
	}
	var errs []error
	for family, flows := range map[netlink.InetFamily]wanted{unix.AF_INET: four, unix.AF_INET6: six} {
		if len(flows) > 0 {
			n, err := deleteMatching(ctx, family, flows)
			deleted, errs = deleted+n, append(errs, err)
		}
	}
	return deleted, errors.Join(errs...)
}

// DeleteStale deletes the entries of those flows in the caller's network namespace, and returns how
// many there were. It lists the kernel's table once for each family of the blocks. Its errors are
// those of Delete.
func DeleteStale(ctx context.Context, stale Stale) (deleted int, err error) {
	var errs []error
	for family, is4 := range map[netlink.InetFamily]bool{unix.AF_INET: true, unix.AF_INET6: false} {
		if slices.ContainsFunc(stale.Inside, func(p netip.Prefix) bool { return p.Addr().Is4() == is4 }) {
			n, err := deleteMatching(ctx, family, stale)
			deleted, errs = deleted+n, append(errs, err)
		}
	}
	return deleted, errors.Join(errs...)
}

// wanted are the flows to delete, all of one family.
type wanted map[Flow]bool

func deleteMatching(ctx context.Context, family netlink.InetFamily, w netlink.CustomConntrackFilter) (deleted int, err error) {
	err = rtnl.Repeat(ctx, func() error {
		n, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, w)
		deleted += int(n)
		return err
	})
	if err != nil {
		return deleted, fmt.Errorf("deleting conntrack entries: %w", err)
	}
	return deleted, nil
}

// MatchConntrackFlow reports whether the entry is of one of the flows
// (netlink.CustomConntrackFilter).
func (w wanted) MatchConntrackFlow(entry *netlink.ConntrackFlow) bool {
	flow, ok := flowOf(entry)
	return ok && w[flow]
}

// MatchConntrackFlow reports whether the entry is of such a flow (netlink.CustomConntrackFilter).
// An entry that leads to no endpoint is not: nothing serves it.
func (s Stale) MatchConntrackFlow(entry *netlink.ConntrackFlow) bool {
	flow, ok := flowOf(entry)
	inside := func(a netip.Addr) bool {
		return slices.ContainsFunc(s.Inside, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return ok && inside(flow.Address) && !inside(flow.Endpoint.Addr()) &&
		(s.Protocol == 0 || s.Protocol == flow.Protocol) && !s.Keep[flow]
}

// flowOf is the flow that the entry is of; false if it has no addresses.
func flowOf(entry *netlink.ConntrackFlow) (Flow, bool) {
	address, ok := netip.AddrFromSlice(entry.Forward.DstIP)
	endpoint, valid := netip.AddrFromSlice(entry.Reverse.SrcIP)
	return Flow{
		Key:      serviceport.Key{Address: address.Unmap(), Protocol: serviceport.Protocol(entry.Forward.Protocol), Port: entry.Forward.DstPort},
		Endpoint: netip.AddrPortFrom(endpoint.Unmap(), entry.Reverse.SrcPort),
	}, ok && valid
}
