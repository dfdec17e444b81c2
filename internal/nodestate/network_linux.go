package nodestate

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
)

// Network prints links, addresses, rules, the routes of all tables, and the permanent neighbours. It
// prints all that can be listed, and returns what cannot.
func Network(ctx context.Context, out io.Writer) error {
	links, err := rtnl.Dump(ctx, "links", netlink.LinkList)
	names := map[int]string{}
	fmt.Fprintln(out, "links:")
	for _, l := range links {
		a := l.Attrs()
		names[a.Index] = a.Name
		fmt.Fprintf(out, "  %d: %s type %s mtu %d state %s master %d group %d flags %s\n",
			a.Index, a.Name, l.Type(), a.MTU, a.OperState, a.MasterIndex, a.Group, a.Flags)
	}
	errs := []error{err}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		errs = append(errs, addresses(ctx, out, family, names), rules(ctx, out, family), routes(ctx, out, family, names), neighbours(ctx, out, family, names))
	}
	return errors.Join(errs...)
}

// familyName is how the headings call an address family.
func familyName(family int) string {
	if family == unix.AF_INET {
		return "IPv4"
	}
	return "IPv6"
}

func addresses(ctx context.Context, out io.Writer, family int, links map[int]string) error {
	all, err := rtnl.Dump(ctx, familyName(family)+" addresses", func() ([]netlink.Addr, error) { return netlink.AddrList(nil, family) })
	fmt.Fprintf(out, "%s addresses:\n", familyName(family))
	for _, a := range all {
		fmt.Fprintf(out, "  %s dev %s flags %#x\n", a.IPNet, links[a.LinkIndex], a.Flags)
	}
	return err
}

func rules(ctx context.Context, out io.Writer, family int) error {
	all, err := rtnl.Dump(ctx, familyName(family)+" rules", func() ([]netlink.Rule, error) { return netlink.RuleList(family) })
	fmt.Fprintf(out, "%s rules:\n", familyName(family))
	for _, r := range all {
		fmt.Fprintf(out, "  %d: %s protocol %d\n", r.Priority, r, r.Protocol)
	}
	return err
}

func routes(ctx context.Context, out io.Writer, family int, links map[int]string) error {
	all, err := rtnl.Dump(ctx, familyName(family)+" routes", func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	fmt.Fprintf(out, "%s routes:\n", familyName(family))
	for _, r := range all {
		fmt.Fprintf(out, "  table %d: %s dev %s type %d metric %d mtu %d\n", r.Table, r, links[r.LinkIndex], r.Type, r.Priority, r.MTU)
	}
	return err
}

// neighbours prints those that programs made; the kernel's own come and go.
func neighbours(ctx context.Context, out io.Writer, family int, links map[int]string) error {
	all, err := rtnl.Dump(ctx, familyName(family)+" neighbours", func() ([]netlink.Neigh, error) { return netlink.NeighList(0, family) })
	fmt.Fprintf(out, "%s permanent neighbours:\n", familyName(family))
	for _, n := range all {
		if n.State&netlink.NUD_PERMANENT != 0 {
			fmt.Fprintf(out, "  %s dev %s at %s\n", n.IP, links[n.LinkIndex], n.HardwareAddr)
		}
	}
	return err
}
