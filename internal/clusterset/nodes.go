package clusterset

import (
	"crypto/sha256"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// AddressesOf are the node's addresses of that type, in its order and without duplicates. What
// cannot be parsed is left out. An IPv4 address that is written as IPv6 counts as IPv4.
func AddressesOf(node *corev1.Node, kind corev1.NodeAddressType) []netip.Addr {
	var addrs []netip.Addr
	for _, a := range node.Status.Addresses {
		addr, err := netip.ParseAddr(a.Address)
		if a.Type == kind && err == nil && !slices.Contains(addrs, addr.Unmap()) {
			addrs = append(addrs, addr.Unmap())
		}
	}
	return addrs
}

// InternalIPs are the node's, the first of each family, in its order.
func InternalIPs(node *corev1.Node) []netip.Addr {
	all := AddressesOf(node, corev1.NodeInternalIP)
	var firsts []netip.Addr
	for _, a := range all {
		if OfFamily(all, a.Is4()) == a {
			firsts = append(firsts, a)
		}
	}
	return firsts
}

// UsableAddresses are the addresses that a node can use: without IPv6, those of IPv4.
func UsableAddresses(addrs []netip.Addr, ipv6 bool) []netip.Addr {
	if ipv6 {
		return addrs
	}
	return slices.DeleteFunc(slices.Clone(addrs), netip.Addr.Is6)
}

// OfFamily is the first IPv4 address, or the first IPv6 one; not valid if there is none.
func OfFamily(addrs []netip.Addr, is4 bool) netip.Addr {
	for _, a := range addrs {
		if a.Is4() == is4 {
			return a
		}
	}
	return netip.Addr{}
}

// NodeMAC is the address of a node's VXLAN device. Other nodes know it from the node's name alone:
// it is the beginning of SHA-256("vxlan/" + name), as a unicast address that is locally
// administered.
func NodeMAC(node string) [6]byte {
	sum := sha256.Sum256([]byte("vxlan/" + node))
	mac := [6]byte(sum[:6])
	mac[0] = mac[0]&^0x01 | 0x02
	return mac
}

// NodeLinkLocal is the IPv6 address that stands for the node on the VXLAN: fe80:: and the modified
// EUI-64 of its NodeMAC (RFC 4291 appendix A). The node does not have this address. It is a next
// hop with a permanent neighbour entry. The node's own IPv6 address cannot be the next hop: unlike
// in IPv4, the kernel refuses one that another device leads to.
func NodeLinkLocal(node string) netip.Addr {
	m := NodeMAC(node)
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80,
		8: m[0] ^ 0x02, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}
