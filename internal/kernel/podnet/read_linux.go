package podnet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
)

// Read looks at the caller's network namespace. The pods are the CIDRs of this node's own pods; IPv6
// is looked at only if there are any of it.
func Read(ctx context.Context, pods []netip.Prefix) (f Facts, err error) {
	four, six := "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"
	has4 := slices.ContainsFunc(pods, func(p netip.Prefix) bool { return p.Addr().Is4() })
	has6 := slices.ContainsFunc(pods, func(p netip.Prefix) bool { return p.Addr().Is6() })
	for name, used := range map[string]bool{four: has4, six: has6} {
		if value, err := number(name); err == nil && value == 0 && used {
			f.NotForwarding = append(f.NotForwarding, strings.ReplaceAll(name, "/", "."))
		}
	}
	slices.Sort(f.NotForwarding)
	if f.Bridges, err = readBridges(ctx, pods); err != nil {
		return f, err
	}
	// A kernel without connection tracking has neither.
	f.Flows, _ = number("net/netfilter/nf_conntrack_count")
	f.MaxFlows, _ = number("net/netfilter/nf_conntrack_max")
	return f, nil
}

// readBridges returns the bridges that are up, which they are with a pod on them, and have an
// address among the pods': the CNI gave it to them.
func readBridges(ctx context.Context, pods []netip.Prefix) (all []Bridge, err error) {
	links, err := rtnl.Dump(ctx, "links", netlink.LinkList)
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		if link.Type() != "bridge" || link.Attrs().OperState != netlink.OperUp {
			continue
		}
		addresses, err := rtnl.Dump(ctx, "addresses of "+link.Attrs().Name, func() ([]netlink.Addr, error) {
			return netlink.AddrList(link, netlink.FAMILY_ALL)
		})
		if err != nil {
			return nil, err
		}
		bridge := Bridge{Name: link.Attrs().Name}
		for program, is4 := range map[string]bool{"iptables": true, "ip6tables": false} {
			if !holdsPods(addresses, pods, is4) {
				continue
			}
			passes, err := passesNetfilter(link, program)
			if errors.Is(err, fs.ErrNotExist) {
				bridge.NoModule = true
			} else if err != nil {
				return nil, err
			}
			if !passes {
				bridge.Bypassed = append(bridge.Bypassed, program)
			}
		}
		if slices.Sort(bridge.Bypassed); len(bridge.Bypassed) > 0 {
			all = append(all, bridge)
		}
	}
	return all, nil
}

func holdsPods(addresses []netlink.Addr, pods []netip.Prefix, is4 bool) bool {
	return slices.ContainsFunc(addresses, func(a netlink.Addr) bool {
		ip, ok := netip.AddrFromSlice(a.IP)
		ip = ip.Unmap()
		return ok && ip.Is4() == is4 && slices.ContainsFunc(pods, func(p netip.Prefix) bool { return p.Contains(ip) })
	})
}

// passesNetfilter reports whether packets on the bridge meet the rules of that program, by the
// setting of all bridges or its own. The error is fs.ErrNotExist without the module.
func passesNetfilter(bridge netlink.Link, program string) (bool, error) {
	value, err := number("net/bridge/bridge-nf-call-" + program)
	if err != nil || value != 0 {
		return err == nil, err
	}
	return rtnl.ReadBridgeNetfilter(bridge, program == "ip6tables")
}

// ReadStrict returns those of the devices, by their indexes and with sources of packets that came in by
// them, whose reverse path filter is strict. It leaves out veths and bridges without one of the
// addresses, which are the node's: pods are behind them, and may send from any source.
func ReadStrict(ctx context.Context, devices map[int]netip.Addr, node []netip.Addr) (all []Strict, err error) {
	for index, source := range devices {
		link, err := netlink.LinkByIndex(index)
		if rtnl.IsLinkNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading link %d: %w", index, err)
		}
		addresses, err := rtnl.Dump(ctx, "addresses of "+link.Attrs().Name, func() ([]netlink.Addr, error) {
			return netlink.AddrList(link, netlink.FAMILY_V4)
		})
		if err != nil {
			return nil, err
		}
		nodes := slices.ContainsFunc(addresses, func(a netlink.Addr) bool { return slices.Contains(node, rtnl.Addr(a.IP)) })
		if kind := link.Type(); (kind == "veth" || kind == "bridge") && !nodes {
			continue
		}
		s := Strict{Device: link.Attrs().Name, Source: source, NoAddress: len(addresses) == 0}
		if strict, err := s.inForce(); err != nil {
			return nil, err
		} else if strict {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b Strict) int { return strings.Compare(a.Device, b.Device) })
	return all, nil
}

// inForce reports whether the filter is strict by now: the higher one of the device's own value and that
// of all counts.
func (s Strict) inForce() (bool, error) {
	own, err := number("net/ipv4/conf/" + s.Device + "/rp_filter")
	all, errAll := number("net/ipv4/conf/all/rp_filter")
	if err := errors.Join(err, errAll); err != nil {
		return false, fmt.Errorf("reading reverse path filters: %w", err)
	}
	value := rtnl.RPFilter(max(own, all))
	return value == rtnl.RPFilterStrict || value == rtnl.RPFilterLoose && s.NoAddress, nil
}

// number is the value of a sysctl.
func number(name string) (int, error) {
	text, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return 0, err
	}
	value, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("reading sysctl %s: %w", name, err)
	}
	return value, nil
}
