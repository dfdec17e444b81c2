package clusterset

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

const (
	// transitBlockBits is the length of a Member's IPv4 transit block.
	transitBlockBits = 20
	// transitBlockBits6 is the length of a Member's IPv6 transit block.
	transitBlockBits6 = 64
	// transitBits6 is the length of the clusterset's IPv6 transit CIDR.
	transitBits6 = 48
)

// NodeAddresses is how many transit addresses a Member has for nodes: its IPv4 block without the
// addresses of lanes.
const NodeAddresses = 1<<(32-transitBlockBits) - v1alpha1.MaxLanes

// TransitBlock is the IPv4 block (/20) that the Member with that index has in the transit CIDR. The
// error names what does not fit.
func TransitBlock(transit netip.Prefix, index int32) (netip.Prefix, error) {
	if !transit.IsValid() || !transit.Addr().Is4() || transit.Bits() > transitBlockBits {
		return netip.Prefix{}, fmt.Errorf("transit CIDR %s: want an IPv4 prefix of /%d or shorter", transit, transitBlockBits)
	}
	if index < 1 || int64(index) >= 1<<(transitBlockBits-transit.Bits()) {
		return netip.Prefix{}, fmt.Errorf("transit CIDR %s has no /%d for index %d", transit, transitBlockBits, index)
	}
	base := binary.BigEndian.Uint32(transit.Masked().Addr().AsSlice())
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], base+uint32(index)<<(32-transitBlockBits))
	return netip.PrefixFrom(netip.AddrFrom4(b), transitBlockBits), nil
}

// TransitCIDR6 is the clusterset's IPv6 transit CIDR (/48): a unique local prefix (RFC 4193) whose
// global ID is the first 40 bits of SHA-256("transit/" + clusterset ID).
func TransitCIDR6(clusterSetID string) netip.Prefix {
	sum := sha256.Sum256([]byte("transit/" + clusterSetID))
	var b [16]byte
	b[0] = 0xfd
	copy(b[1:6], sum[:5])
	return netip.PrefixFrom(netip.AddrFrom16(b), transitBits6)
}

// TransitBlock6 is the IPv6 block (/64) that the Member with that index has in TransitCIDR6.
func TransitBlock6(clusterSetID string, index int32) netip.Prefix {
	b := TransitCIDR6(clusterSetID).Addr().As16()
	binary.BigEndian.PutUint16(b[6:8], uint16(index))
	return netip.PrefixFrom(netip.AddrFrom16(b), transitBlockBits6)
}

// TransitBlocks are the blocks that the Member with that index has, IPv4 first. There are none for
// index 0, which means that the index is not known. There is no IPv4 block if the transit CIDR has
// none for the index.
func TransitBlocks(spec *v1alpha1.ClusterSetSpec, index int32) []netip.Prefix {
	if index == 0 {
		return nil
	}
	var blocks []netip.Prefix
	if transit, err := netip.ParsePrefix(string(spec.TransitCIDR)); err == nil {
		if block, err := TransitBlock(transit, index); err == nil {
			blocks = append(blocks, block)
		}
	}
	return append(blocks, TransitBlock6(spec.ClusterSetID, index))
}

// TransitCIDRs hold the transit blocks of all Members, IPv4 first.
func TransitCIDRs(spec *v1alpha1.ClusterSetSpec) []netip.Prefix {
	return append(Prefixes([]v1alpha1.CIDR{spec.TransitCIDR}), TransitCIDR6(spec.ClusterSetID))
}

// TunnelAddress is the address, inside the tunnels, of the lane's gateway in its Member's transit
// block. The first MaxLanes addresses of the block belong to its gateways, by lane.
func TunnelAddress(block netip.Prefix, lane v1alpha1.Lane) netip.Addr {
	addr := block.Masked().Addr()
	for range lane {
		addr = addr.Next()
	}
	return addr
}

// TunnelBlock holds the tunnel addresses of a Member's gateways: the first MaxLanes addresses of its
// transit block.
func TunnelBlock(block netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(block.Masked().Addr(), block.Addr().BitLen()-bits.Len(v1alpha1.MaxLanes-1))
}

// NodeAddress is the n-th transit address (0 <= n < NodeAddresses) that the block has for nodes.
// They follow those of the lanes.
func NodeAddress(block netip.Prefix, n int) netip.Addr {
	raw := block.Masked().Addr().AsSlice()
	last := raw[len(raw)-4:]
	binary.BigEndian.PutUint32(last, binary.BigEndian.Uint32(last)+uint32(v1alpha1.MaxLanes+n))
	addr, _ := netip.AddrFromSlice(raw)
	return addr
}

// NodeAddressNumber is the n for which NodeAddress is addr, in whichever block holds addr. It is
// false if addr is not a node's transit address.
func NodeAddressNumber(addr netip.Addr) (n int, ok bool) {
	raw := addr.AsSlice()
	if !addr.IsValid() || addr.Is6() && [4]byte(raw[8:12]) != [4]byte{} {
		return 0, false
	}
	host := binary.BigEndian.Uint32(raw[len(raw)-4:])
	if addr.Is4() {
		host &= 1<<(32-transitBlockBits) - 1
	}
	if host < v1alpha1.MaxLanes || host >= v1alpha1.MaxLanes+NodeAddresses {
		return 0, false
	}
	return int(host) - v1alpha1.MaxLanes, true
}

// FormatTransitAddresses is the value of AnnotationTransitAddress.
func FormatTransitAddresses(addrs []netip.Addr) string {
	texts := make([]string, 0, len(addrs))
	for _, a := range addrs {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ",")
}

// ParseTransitAddresses are the transit addresses that a value of AnnotationTransitAddress assigns
// to a node, in its order. It leaves out what is not a node's transit address.
func ParseTransitAddresses(value string) []netip.Addr {
	var addrs []netip.Addr
	for text := range strings.SplitSeq(value, ",") {
		addr, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			continue
		}
		if _, ok := NodeAddressNumber(addr); ok {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}
