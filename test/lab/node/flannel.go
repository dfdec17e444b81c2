package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// What flannel's VXLAN is called and how it is told apart from others, see
// https://github.com/flannel-io/flannel/blob/master/Documentation/backends.md.
const (
	flannelDevice  = "flannel.1"
	flannelDevice6 = "flannel-v6.1"
	flannelBridge  = "cni0"
	flannelVNI     = 1
	flannelPort    = 8472
	// What a VXLAN over IPv4 and over IPv6 adds to a packet, in bytes.
	flannelOverhead  = 50
	flannelOverhead6 = 70
)

// flannel has pods as ports of a bridge and a VXLAN between the nodes, all of whose entries this
// node makes itself: where each other node is, and the address that stands for it, which is the
// first one of its pod CIDR. Each IP family has its own, over the nodes' network of that family.
type flannel struct {
	family   family
	podCIDRs []netip.Prefix // of the family
	log      *slog.Logger
}

// device is the VXLAN's name.
func (f *flannel) device() string {
	if f.family.is4 {
		return flannelDevice
	}
	return flannelDevice6
}

// overhead is what the VXLAN adds to a packet, in bytes.
func (f *flannel) overhead() int {
	if f.family.is4 {
		return flannelOverhead
	}
	return flannelOverhead6
}

// vtep is another node as the VXLAN sees it.
type vtep struct {
	cidr     netip.Prefix // of its pods
	mac      net.HardwareAddr
	underlay netip.Addr
}

func (f *flannel) plugin() object {
	mtu := 0
	if link, err := netlink.LinkByName(uplink); err == nil {
		mtu = link.Attrs().MTU - f.overhead()
	}
	return podPlugin(flannelBridge, mtu)
}

func (f *flannel) sync(ctx context.Context, self *corev1.Node, others []*corev1.Node) error {
	own, address := f.family.cidr(self)
	if !own.IsValid() {
		return nil // the controllers have not given it one yet
	}
	link, err := f.vxlan(self.Name, address, own)
	if err != nil {
		return err
	}
	var peers []vtep
	routes := map[netip.Prefix]netip.Addr{}
	for _, n := range others {
		if cidr, underlay := f.family.cidr(n); cidr.IsValid() {
			peers = append(peers, vtep{cidr: cidr, mac: vtepMAC(n.Name), underlay: underlay})
			routes[cidr] = cidr.Addr()
		}
	}
	change, errRoutes := syncRoutes(routes, link)
	err = errors.Join(f.syncNeighbours(link, peers), errRoutes)
	if !change.empty() {
		f.log.Info("nodes of the VXLAN changed", "added", change.added, "removed", change.removed)
	}
	wrote, errNAT := flannelNAT(f.family, f.podCIDRs, own).sync(ctx, nil)
	if wrote {
		f.log.Info("masquerade rules written")
	}
	return errors.Join(err, errNAT)
}

// vtepMAC is the link-layer address of a node's VXLAN: locally administered, the same after a
// reboot.
func vtepMAC(node string) net.HardwareAddr {
	sum := sha256.Sum256([]byte("flannel " + node))
	return append(net.HardwareAddr{0x02}, sum[:5]...)
}

// vxlan returns the device, made if it is not there.
func (f *flannel) vxlan(node string, underlay netip.Addr, own netip.Prefix) (netlink.Link, error) {
	under, err := netlink.LinkByName(uplink)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", uplink, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = f.device(), vtepMAC(node), under.Attrs().MTU-f.overhead()
	// It learns nothing: every entry comes from the Nodes.
	device := &netlink.Vxlan{LinkAttrs: attrs, VxlanId: flannelVNI, Port: flannelPort, SrcAddr: underlay.AsSlice(), VtepDevIndex: under.Attrs().Index}
	if err := netlink.LinkAdd(device); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("adding %s: %w", f.device(), err)
	}
	link, err := netlink.LinkByName(f.device())
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", f.device(), err)
	}
	address := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(own.Addr(), own.Addr().BitLen()))}
	if err := netlink.AddrAdd(link, address); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("adding %s to %s: %w", own.Addr(), f.device(), err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, fmt.Errorf("setting %s up: %w", f.device(), err)
	}
	return link, nil
}

// syncNeighbours makes the VXLAN know where the peers are, and no others.
func (f *flannel) syncNeighbours(link netlink.Link, peers []vtep) error {
	var arp, fdb []netlink.Neigh
	for _, p := range peers {
		entry := netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, HardwareAddr: p.mac}
		entry.Family, entry.IP = f.family.neighbour, p.cidr.Addr().AsSlice()
		arp = append(arp, entry)
		entry.Family, entry.Flags, entry.IP = unix.AF_BRIDGE, netlink.NTF_SELF, p.underlay.AsSlice()
		fdb = append(fdb, entry)
	}
	return errors.Join(syncEntries(link, f.family.neighbour, arp), syncEntries(link, unix.AF_BRIDGE, fdb))
}

// syncEntries makes the link have these permanent entries of a family, and no others.
func syncEntries(link netlink.Link, family int, want []netlink.Neigh) error {
	have, err := netlink.NeighList(link.Attrs().Index, family)
	if err != nil {
		return fmt.Errorf("listing neighbours of %s: %w", link.Attrs().Name, err)
	}
	var errs []error
	for _, n := range without(have, want) {
		if n.State&netlink.NUD_PERMANENT == 0 {
			continue // the kernel's own
		}
		if err := netlink.NeighDel(&n); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("removing %s from %s: %w", n.IP, link.Attrs().Name, err))
		}
	}
	for _, n := range without(want, have) {
		if err := netlink.NeighSet(&n); err != nil {
			errs = append(errs, fmt.Errorf("adding %s to %s: %w", n.IP, link.Attrs().Name, err))
		}
	}
	return errors.Join(errs...)
}

// without are the entries that have no equal among the others.
func without(entries, others []netlink.Neigh) (rest []netlink.Neigh) {
	for _, n := range entries {
		found := false
		for _, o := range others {
			found = found || n.IP.Equal(o.IP) && bytes.Equal(n.HardwareAddr, o.HardwareAddr) && o.State&n.State&netlink.NUD_PERMANENT != 0
		}
		if !found {
			rest = append(rest, n)
		}
	}
	return rest
}

// flannelNAT is what flannel masquerades, see its pkg/trafficmngr: what pods send out of the
// cluster, but for multicast, and what comes from outside for pods of other nodes. What kube-proxy
// has marked is kube-proxy's business.
func flannelNAT(f family, cluster []netip.Prefix, own netip.Prefix) natChain {
	c := natChain{family: f, name: "FLANNEL-POSTRTG", rules: []string{"-m mark --mark 0x4000/0x4000 -j RETURN"}}
	for _, all := range cluster {
		c.rules = append(c.rules,
			fmt.Sprintf("-s %s -d %s -j RETURN", own, all),
			fmt.Sprintf("-s %s -d %s -j RETURN", all, own),
			fmt.Sprintf("! -s %s -d %s -j RETURN", all, own),
			fmt.Sprintf("-s %s ! -d %s -j MASQUERADE --random-fully", all, f.multicast),
			fmt.Sprintf("! -s %s -d %s -j MASQUERADE --random-fully", all, all),
		)
	}
	return c
}
