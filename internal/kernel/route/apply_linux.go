package route

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Apply does what the Change says: the device first, then what leads over it, and what goes at last; a rule comes
// after its table is filled and goes before it is emptied. Every part is tried. It returns what was applied, and the
// joined errors of what was not; what is gone already counts as deleted.
func Apply(ctx context.Context, change Change) (Change, error) {
	var a applier
	var done Change
	index, err := a.applyVXLAN(ctx, change, &done)
	if err != nil {
		a.errs = append(a.errs, err)
	}
	done.SetNeighbours = each(ctx, &a, "setting", change.SetNeighbours, func(n Neighbour) error {
		return netlink.NeighSet(toNeighbour(n, index))
	})
	done.SetForwards = each(ctx, &a, "setting", change.SetForwards, func(f Forward) error {
		return netlink.NeighSet(toForward(f, index))
	})
	done.SetRoutes = each(ctx, &a, "setting", change.SetRoutes, func(r Route) error {
		return netlink.RouteReplace(toRoute(r, index))
	})
	done.AddRules = each(ctx, &a, "adding", change.AddRules, func(r Rule) error {
		return unless(unix.EEXIST, netlink.RuleAdd(toRule(r)))
	})
	done.DeleteRules = each(ctx, &a, "deleting", reversed(change.DeleteRules), func(r Rule) error {
		return unless(unix.ENOENT, netlink.RuleDel(toRule(r)))
	})
	done.DeleteRoutes = each(ctx, &a, "deleting", reversed(change.DeleteRoutes), func(r Route) error {
		return unless(unix.ESRCH, netlink.RouteDel(toRoute(r, index)))
	})
	done.DeleteForwards = each(ctx, &a, "deleting", change.DeleteForwards, func(f Forward) error {
		return unless(unix.ENOENT, netlink.NeighDel(toForward(f, index)))
	})
	done.DeleteNeighbours = each(ctx, &a, "deleting", change.DeleteNeighbours, func(n Neighbour) error {
		return unless(unix.ENOENT, netlink.NeighDel(toNeighbour(n, index)))
	})
	return done, errors.Join(a.errs...)
}

// Sync makes the kernel match want and returns what it changed. It is safe to repeat.
func Sync(ctx context.Context, want Config) (Change, error) {
	have, err := Read(ctx)
	if err != nil {
		return Change{}, err
	}
	change := Diff(have, want)
	if change.Empty() {
		return change, nil
	}
	done, err := Apply(ctx, change)
	if err != nil || change.SetVXLAN == nil {
		return done, err
	}
	// With a device's MTU the kernel changes that of the IPv6 routes over it (net/ipv6/route.c rt6_mtu_change).
	if have, err = Read(ctx); err != nil {
		return done, err
	}
	again, err := Apply(ctx, Diff(have, want))
	done.SetRoutes = append(done.SetRoutes, again.SetRoutes...)
	return done, err
}

type applier struct{ errs []error }

func each[T fmt.Stringer](ctx context.Context, a *applier, doing string, items []T, do func(T) error) (done []T) {
	for _, item := range items {
		err := ctx.Err()
		if err == nil {
			err = do(item)
		}
		if err != nil {
			a.errs = append(a.errs, fmt.Errorf("%s %s: %w", doing, item, err))
			continue
		}
		done = append(done, item)
	}
	return done
}

// unless is err, or nil if it says that the aim was reached before.
func unless(reached unix.Errno, err error) error {
	if errors.Is(err, reached) {
		return nil
	}
	return err
}

func reversed[T any](items []T) []T {
	items = slices.Clone(items)
	slices.Reverse(items)
	return items
}

// applyVXLAN returns the index of the device, or zero if there is none.
func (a *applier) applyVXLAN(ctx context.Context, change Change, done *Change) (index int, err error) {
	link, err := findDevice()
	if err != nil {
		return 0, err
	}
	if change.DeleteVXLAN && link != nil {
		if err := netlink.LinkDel(link); err != nil {
			return link.Index, fmt.Errorf("deleting device %s: %w", Device, err)
		}
		link = nil
	}
	done.DeleteVXLAN = change.DeleteVXLAN
	if want := change.AddVXLAN; want != nil && link == nil {
		link = toVXLAN(*want)
		if err := addDevice(link); err != nil {
			return 0, err
		}
		done.AddVXLAN = want
	}
	if link == nil {
		return 0, nil
	}
	if want := change.SetVXLAN; want != nil {
		if err := errors.Join(netlink.LinkSetMTU(link, want.MTU), netlink.LinkSetUp(link)); err != nil {
			return link.Index, fmt.Errorf("setting MTU %d of device %s: %w", want.MTU, Device, err)
		}
		done.SetVXLAN = want
	}
	return link.Index, ctx.Err()
}

func addDevice(link *netlink.Vxlan) error {
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("adding device %s: %w", Device, err)
	}
	// No addresses, not even a link-local one, which must be said before the device is up; without IPv6 there is
	// nothing to say.
	err := netlink.LinkSetIP6AddrGenMode(link, addrGenNone)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		err = nil
	}
	if err = errors.Join(err, netlink.LinkSetUp(link)); err != nil {
		// Half a device would be taken for a whole one.
		return errors.Join(fmt.Errorf("setting up device %s: %w", Device, err), netlink.LinkDel(link))
	}
	return nil
}

func toVXLAN(v VXLAN) *netlink.Vxlan {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = Device, v.MTU, v.MAC[:]
	return &netlink.Vxlan{LinkAttrs: attrs, VxlanId: int(v.ID), Port: int(v.Port), SrcAddr: v.Local.AsSlice()}
}

func toNeighbour(n Neighbour, index int) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: index, Family: family(n.Address), State: netlink.NUD_PERMANENT,
		IP: n.Address.AsSlice(), HardwareAddr: n.MAC[:]}
}

func toForward(f Forward, index int) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: index, Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT, Flags: netlink.NTF_SELF,
		IP: f.Underlay.AsSlice(), HardwareAddr: f.MAC[:]}
}

func toRoute(r Route, index int) *netlink.Route {
	route := &netlink.Route{Table: r.Table, Dst: toIPNet(r.Prefix), Priority: r.Metric, Protocol: Protocol, MTU: r.MTU,
		Family: family(r.Prefix.Addr())}
	switch r.Kind {
	case Local:
		route.Type, route.Scope, route.LinkIndex, route.Src = unix.RTN_LOCAL, netlink.SCOPE_HOST, loopback, r.Source.AsSlice()
	case Via:
		route.Type, route.LinkIndex, route.Gw = unix.RTN_UNICAST, index, r.Gateway.AsSlice()
		route.SetFlag(netlink.FLAG_ONLINK)
	case Unreachable:
		route.Type = unix.RTN_UNREACHABLE
	}
	return route
}

// addrGenNone is IN6_ADDR_GEN_MODE_NONE of include/uapi/linux/if_link.h.
const addrGenNone = 1

// loopback is the index of lo, the first device of every network namespace (LOOPBACK_IFINDEX in the kernel).
const loopback = 1

func toRule(r Rule) *netlink.Rule {
	rule := netlink.NewRule()
	rule.Table, rule.Priority, rule.Protocol, rule.Family = r.Table, r.Priority, Protocol, unix.AF_INET
	if r.IPv6 {
		rule.Family = unix.AF_INET6
	}
	if r.From.IsValid() {
		rule.Src = toIPNet(r.From)
	}
	return rule
}

func toIPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
