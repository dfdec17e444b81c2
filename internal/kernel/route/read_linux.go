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

// dumpAttempts is how often a dump is repeated that others' changes cut short.
const dumpAttempts = 5

// dump repeats a listing until it was not interrupted: nothing may be concluded from a part.
func dump[T any](ctx context.Context, what string, list func() ([]T, error)) ([]T, error) {
	var err error
	for range dumpAttempts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var items []T
		items, err = list()
		if err == nil {
			return items, nil
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return nil, fmt.Errorf("listing %s: %w", what, err)
}

// Read returns what of ours the kernel has, in the network namespace of whoever calls.
func Read(ctx context.Context) (Config, error) {
	var have Config
	link, err := findDevice()
	if err != nil {
		return Config{}, err
	}
	index := -1
	if link != nil {
		index = link.Index
		have.VXLAN = fromVXLAN(link)
		if have.Neighbours, have.Forwards, err = readNeighbours(ctx, index); err != nil {
			return Config{}, err
		}
	}
	if have.Routes, err = readRoutes(ctx, index); err != nil {
		return Config{}, err
	}
	have.Rules, err = readRules(ctx)
	return have, err
}

// findDevice returns nil if there is no device of that name, and an error if it is none that we made.
func findDevice() (*netlink.Vxlan, error) {
	link, err := netlink.LinkByName(Device)
	var notFound netlink.LinkNotFoundError
	if errors.As(err, &notFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading device %s: %w", Device, err)
	}
	vxlan, ok := link.(*netlink.Vxlan)
	if !ok {
		return nil, fmt.Errorf("device %s is a %s that tombolo did not make: remove or rename it", Device, link.Type())
	}
	return vxlan, nil
}

func fromVXLAN(link *netlink.Vxlan) *VXLAN {
	local, _ := netip.AddrFromSlice(link.SrcAddr)
	v := &VXLAN{ID: uint32(link.VxlanId), Port: uint16(link.Port), Local: local.Unmap(), MTU: link.MTU,
		Down: link.Flags&net.FlagUp == 0}
	copy(v.MAC[:], link.HardwareAddr)
	return v
}

func readNeighbours(ctx context.Context, index int) (neighbours []Neighbour, forwards []Forward, err error) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6, unix.AF_BRIDGE} {
		entries, err := dump(ctx, "neighbours of "+Device, func() ([]netlink.Neigh, error) {
			return netlink.NeighList(index, family)
		})
		if err != nil {
			return nil, nil, err
		}
		for _, e := range entries {
			address, ok := netip.AddrFromSlice(e.IP)
			if !ok || e.State&netlink.NUD_PERMANENT == 0 || len(e.HardwareAddr) != len(MAC{}) {
				continue
			}
			if family == unix.AF_BRIDGE {
				forwards = append(forwards, Forward{MAC: MAC(e.HardwareAddr), Underlay: address.Unmap()})
				continue
			}
			neighbours = append(neighbours, Neighbour{Address: address.Unmap(), MAC: MAC(e.HardwareAddr)})
		}
	}
	return neighbours, forwards, nil
}

var kinds = map[int]Kind{unix.RTN_LOCAL: Local, unix.RTN_UNICAST: Via, unix.RTN_UNREACHABLE: Unreachable}

func ourTable(table int) bool {
	return table == TableLocal || table == TableFallback || table == TableRemote || table == TableNodes
}

func readRoutes(ctx context.Context, index int) ([]Route, error) {
	var routes []Route
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		ours := &netlink.Route{Protocol: Protocol, Table: unix.RT_TABLE_UNSPEC} // of any table
		list, err := dump(ctx, "routes", func() ([]netlink.Route, error) {
			return netlink.RouteListFiltered(family, ours, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			kind, known := kinds[r.Type]
			if !known || !ourTable(r.Table) {
				continue
			}
			route := Route{Table: r.Table, Prefix: prefixOf(r.Dst, family), Metric: r.Priority, Kind: kind, MTU: r.MTU}
			if kind == Via && (r.LinkIndex == index || index < 0) {
				route.Gateway = addrOf(r.Gw) // over another device it is none of ours, and shows as different
			}
			if kind == Local {
				route.Source = addrOf(r.Src)
			}
			routes = append(routes, route)
		}
	}
	return routes, nil
}

func readRules(ctx context.Context) ([]Rule, error) {
	var rules []Rule
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := dump(ctx, "rules", func() ([]netlink.Rule, error) { return netlink.RuleList(family) })
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			if r.Protocol != Protocol || !ourTable(r.Table) {
				continue
			}
			rule := Rule{Table: r.Table, Priority: r.Priority, IPv6: family == unix.AF_INET6}
			if r.Src != nil {
				rule.From = prefixOf(r.Src, family)
			}
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

func addrOf(ip net.IP) netip.Addr {
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

// prefixOf is the default route's prefix for nil.
func prefixOf(n *net.IPNet, family int) netip.Prefix {
	if n == nil {
		if family == unix.AF_INET {
			return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addrOf(n.IP), bits)
}

// Routed are the prefixes, but for the default route's, that the main table leads to by a next hop, by that next hop and
// sorted: what a CNI that routes says of where its pods are.
func Routed(ctx context.Context) (map[netip.Addr][]netip.Prefix, error) {
	routed := map[netip.Addr][]netip.Prefix{}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := dump(ctx, "the main table's routes", func() ([]netlink.Route, error) {
			return netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			prefix, hop := prefixOf(r.Dst, family), addrOf(r.Gw)
			if hop.IsValid() && prefix.Bits() > 0 && r.Type == unix.RTN_UNICAST {
				routed[hop] = append(routed[hop], prefix)
			}
		}
	}
	for _, prefixes := range routed {
		slices.SortFunc(prefixes, netip.Prefix.Compare)
	}
	return routed, nil
}

// UnderlayMTU is the smallest MTU of the devices that have these addresses, in bytes. The error names an address that no
// device has.
func UnderlayMTU(addresses []netip.Addr) (int, error) {
	smallest := 0
	for _, address := range addresses {
		list, err := netlink.AddrList(nil, family(address))
		if err != nil {
			return 0, fmt.Errorf("listing addresses: %w", err)
		}
		i := slices.IndexFunc(list, func(a netlink.Addr) bool { return addrOf(a.IP) == address })
		if i < 0 {
			return 0, fmt.Errorf("no device of this node has its InternalIP %s", address)
		}
		link, err := netlink.LinkByIndex(list[i].LinkIndex)
		if err != nil {
			return 0, fmt.Errorf("reading the device of %s: %w", address, err)
		}
		if mtu := link.Attrs().MTU; smallest == 0 || mtu < smallest {
			smallest = mtu
		}
	}
	return smallest, nil
}
