package cni

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The gateways of pods that have host routes. No device has the one of IPv4: the node answers for it.
// That of IPv6 is the link-local address of each pair's end on the node, which follows from
// gatewayMAC.
var (
	linkGateway  = netip.MustParseAddr("169.254.1.1")
	linkGateway6 = netip.MustParseAddr("fe80::ecee:eeff:feee:eeee")
)

// gatewayMAC is the link-layer address of the node's end of every pod's pair, as Calico has it.
var gatewayMAC = net.HardwareAddr{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}

// wire is a pair of devices between a node and a pod.
type wire struct {
	host, pod string // the devices' names
	mtu       int    // bytes; 0 is the kernel's default
	ends      []end
}

// end is an address of the pod.
type end struct {
	address netip.Prefix
	gateway netip.Addr // of the bridge
}

// connect makes the pair, with the pod's end in the namespace at path.
func (w wire) connect(path, bridge string) error {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return fmt.Errorf("opening the pod's namespace: %w", err)
	}
	defer ns.Close() // nothing was written
	inside, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("entering the pod's namespace: %w", err)
	}
	defer inside.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = w.host, w.mtu
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: w.pod, PeerNamespace: netlink.NsFd(ns)}); err != nil {
		return fmt.Errorf("adding %s: %w", w.host, err)
	}
	host, err := netlink.LinkByName(w.host)
	if err != nil {
		return fmt.Errorf("finding %s: %w", w.host, err)
	}
	if bridge != "" {
		err = errors.Join(w.toBridge(host, bridge), w.inNetwork(inside))
	} else {
		err = errors.Join(w.toHost(host), w.alone(inside))
	}
	if err != nil {
		return errors.Join(err, netlink.LinkDel(host))
	}
	return nil
}

// disconnect removes the pair by the pod's end.
func disconnect(ns netns.NsHandle, pod string) error {
	inside, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("entering the pod's namespace: %w", err)
	}
	defer inside.Close()
	link, err := inside.LinkByName(pod)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err == nil {
		err = inside.LinkDel(link)
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", pod, err)
	}
	return nil
}

// toBridge makes the node's end a port of the bridge.
func (w wire) toBridge(host netlink.Link, name string) error {
	bridge, err := w.bridge(name)
	if err != nil {
		return err
	}
	for _, err := range []error{
		netlink.LinkSetMaster(host, bridge),
		netlink.LinkSetHairpin(host, true),
		netlink.LinkSetUp(host),
	} {
		if err != nil {
			return fmt.Errorf("making %s a port of %s: %w", w.host, name, err)
		}
	}
	return nil
}

// bridge makes sure that there is one, with the gateway's address. Several pods may be connected at
// once.
func (w wire) bridge(name string) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, w.mtu
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("adding %s: %w", name, err)
	}
	bridge, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", name, err)
	}
	for _, e := range w.ends {
		gateway := usable(netip.PrefixFrom(e.gateway, e.address.Bits()))
		if err := netlink.AddrAdd(bridge, gateway); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("adding %s to %s: %w", e.gateway, name, err)
		}
	}
	// One that was set stays; else it would be the least of the ports', and pods would lose their
	// gateway when that changes.
	if err := netlink.LinkSetHardwareAddr(bridge, bridge.Attrs().HardwareAddr); err != nil {
		return nil, fmt.Errorf("setting the address of %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return nil, fmt.Errorf("setting %s up: %w", name, err)
	}
	return bridge, nil
}

// inNetwork configures the pod's end as one of the bridge's network.
func (w wire) inNetwork(inside *netlink.Handle) error {
	link, err := w.podLink(inside, func(e end) netip.Prefix { return e.address })
	if err != nil {
		return err
	}
	for _, e := range w.ends {
		if err := route(inside, &netlink.Route{LinkIndex: link.Attrs().Index, Gw: e.gateway.AsSlice()}); err != nil {
			return err
		}
	}
	return nil
}

// toHost has the node answer for the gateway and lead to the pod.
func (w wire) toHost(host netlink.Link) error {
	if err := netlink.LinkSetHardwareAddr(host, gatewayMAC); err != nil {
		return fmt.Errorf("setting the address of %s: %w", w.host, err)
	}
	for setting, value := range map[string]string{"rp_filter": "1", "proxy_arp": "1", "route_localnet": "1"} {
		if err := os.WriteFile(filepath.Join("/proc/sys/net/ipv4/conf", w.host, setting), []byte(value), 0); err != nil {
			return fmt.Errorf("setting %s of %s: %w", setting, w.host, err)
		}
	}
	// At once, where the default is a random time of up to 0.8 s.
	if err := os.WriteFile(filepath.Join("/proc/sys/net/ipv4/neigh", w.host, "proxy_delay"), []byte("0"), 0); err != nil {
		return fmt.Errorf("setting proxy_delay of %s: %w", w.host, err)
	}
	if err := netlink.LinkSetUp(host); err != nil {
		return fmt.Errorf("setting %s up: %w", w.host, err)
	}
	for _, e := range w.ends {
		to := &netlink.Route{LinkIndex: host.Attrs().Index, Dst: ipNet(e.single()), Scope: netlink.SCOPE_LINK}
		if err := netlink.RouteReplace(to); err != nil {
			return fmt.Errorf("adding the route to the pod %s: %w", e.address.Addr(), err)
		}
	}
	return nil
}

// alone configures the pod's end as one that has no neighbour but the gateway.
func (w wire) alone(inside *netlink.Handle) error {
	link, err := w.podLink(inside, end.single)
	if err != nil {
		return err
	}
	index := link.Attrs().Index
	for _, e := range w.ends {
		via := linkGateway6
		if e.address.Addr().Is4() {
			via = linkGateway
			gateway := netip.PrefixFrom(via, via.BitLen())
			if err := route(inside, &netlink.Route{LinkIndex: index, Dst: ipNet(gateway), Scope: netlink.SCOPE_LINK}); err != nil {
				return err
			}
		}
		if err := route(inside, &netlink.Route{LinkIndex: index, Gw: via.AsSlice()}); err != nil {
			return err
		}
	}
	return nil
}

// podLink gives the pod's end its addresses, each in the network that as returns, and sets it up.
func (w wire) podLink(inside *netlink.Handle, as func(end) netip.Prefix) (netlink.Link, error) {
	link, err := inside.LinkByName(w.pod)
	if err != nil {
		return nil, fmt.Errorf("finding the pod's %s: %w", w.pod, err)
	}
	for _, e := range w.ends {
		if err := inside.AddrAdd(link, usable(as(e))); err != nil {
			return nil, fmt.Errorf("adding %s to the pod's %s: %w", e.address, w.pod, err)
		}
	}
	if w.mtu != 0 {
		if err := inside.LinkSetMTU(link, w.mtu); err != nil {
			return nil, fmt.Errorf("setting the MTU of the pod's %s: %w", w.pod, err)
		}
	}
	if err := inside.LinkSetUp(link); err != nil {
		return nil, fmt.Errorf("setting the pod's %s up: %w", w.pod, err)
	}
	return link, nil
}

// single is the pod's address without a network.
func (e end) single() netip.Prefix {
	return netip.PrefixFrom(e.address.Addr(), e.address.Addr().BitLen())
}

// usable is an address that may be used at once, without duplicate address detection.
func usable(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

func route(inside *netlink.Handle, r *netlink.Route) error {
	if err := inside.RouteAdd(r); err != nil {
		return fmt.Errorf("adding the pod's route %s: %w", r, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
