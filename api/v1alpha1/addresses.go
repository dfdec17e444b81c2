package v1alpha1

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
)

const (
	// transitBlockBits is the length of a Member's IPv4 transit block.
	transitBlockBits = 20
	// transitBlockBits6 is the length of a Member's IPv6 transit block.
	transitBlockBits6 = 64
	// transitBits6 is the length of the clusterset's IPv6 transit CIDR.
	transitBits6 = 48
)

// NodeAddresses is how many transit addresses a Member has for nodes: all of its IPv4 block that no lane has.
const NodeAddresses = 1<<(32-transitBlockBits) - MaxLanes

// TransitBlock is the IPv4 block (/20) that the Member with that index has in the transit CIDR. The error names what
// does not fit.
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

// TransitCIDR6 is the clusterset's IPv6 transit CIDR (/48): a unique local prefix (RFC 4193) whose global ID is the first
// 40 bits of SHA-256("transit/" + clusterset ID).
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

// TransitBlocks are the blocks that the Member with that index has, IPv4 first: none if the index is 0, which means that
// it is not known, and no IPv4 block if the transit CIDR has none for it.
func (s *ClusterSetSpec) TransitBlocks(index int32) []netip.Prefix {
	if index == 0 {
		return nil
	}
	var blocks []netip.Prefix
	if transit, err := netip.ParsePrefix(string(s.TransitCIDR)); err == nil {
		if block, err := TransitBlock(transit, index); err == nil {
			blocks = append(blocks, block)
		}
	}
	return append(blocks, TransitBlock6(s.ClusterSetID, index))
}

// TransitCIDRs hold the transit blocks of all Members, IPv4 first.
func (s *ClusterSetSpec) TransitCIDRs() []netip.Prefix {
	var cidrs []netip.Prefix
	if transit, err := netip.ParsePrefix(string(s.TransitCIDR)); err == nil {
		cidrs = append(cidrs, transit.Masked())
	}
	return append(cidrs, TransitCIDR6(s.ClusterSetID))
}

// TunnelAddress is the address, inside the tunnels, of the lane's gateway in its Member's transit block: the block's
// first MaxLanes addresses are its gateways', by lane.
func TunnelAddress(block netip.Prefix, lane Lane) netip.Addr {
	addr := block.Masked().Addr()
	for range lane {
		addr = addr.Next()
	}
	return addr
}

// NodeAddress is the n-th transit address (0 <= n < NodeAddresses) that the block has for nodes: they follow those of the
// lanes.
func NodeAddress(block netip.Prefix, n int) netip.Addr {
	raw := block.Masked().Addr().AsSlice()
	last := raw[len(raw)-4:]
	binary.BigEndian.PutUint32(last, binary.BigEndian.Uint32(last)+uint32(MaxLanes+n))
	addr, _ := netip.AddrFromSlice(raw)
	return addr
}

// NodeAddressNumber is the n for which NodeAddress is addr in the block that holds addr, whichever that is; false if
// addr is none of a node's.
func NodeAddressNumber(addr netip.Addr) (n int, ok bool) {
	raw := addr.AsSlice()
	if !addr.IsValid() || addr.Is6() && [4]byte(raw[8:12]) != [4]byte{} {
		return 0, false
	}
	host := binary.BigEndian.Uint32(raw[len(raw)-4:])
	if addr.Is4() {
		host &= 1<<(32-transitBlockBits) - 1
	}
	if host < MaxLanes || host >= MaxLanes+NodeAddresses {
		return 0, false
	}
	return int(host) - MaxLanes, true
}

// FormatTransitAddresses is the value of AnnotationTransitAddress.
func FormatTransitAddresses(addrs []netip.Addr) string {
	texts := make([]string, 0, len(addrs))
	for _, a := range addrs {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ",")
}

// ParseTransitAddresses are the transit addresses that a value of AnnotationTransitAddress gives to a node, in its order;
// what is no address of a node's is left out.
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

// VIPCandidate is the n-th address (n = 0, 1, ...) to try for the clusterset IP of namespace/name in the block: the
// hash gives the first, collisions take the next, and the block's first and last addresses are left out where it is
// larger than two addresses. It wraps around; n must be below VIPCapacity.
func VIPCandidate(block netip.Prefix, namespace, name string, n uint64) netip.Addr {
	sum := Hash(namespace, name)
	capacity := new(big.Int).SetUint64(VIPCapacity(block))
	position := new(big.Int).SetBytes(sum[:])
	position.Add(position, new(big.Int).SetUint64(n)).Mod(position, capacity)
	if hostBits(block) >= 2 {
		position.Add(position, big.NewInt(1))
	}
	base := new(big.Int).SetBytes(block.Masked().Addr().AsSlice())
	raw := base.Add(base, position).FillBytes(make([]byte, block.Addr().BitLen()/8))
	addr, _ := netip.AddrFromSlice(raw)
	return addr
}

// VIPCapacity is how many clusterset IPs the block holds, at most 2^62.
func VIPCapacity(block netip.Prefix) uint64 {
	bits := hostBits(block)
	if bits < 2 {
		return 1 << bits
	}
	return 1<<min(bits, 62) - 2
}

func hostBits(block netip.Prefix) int { return block.Addr().BitLen() - block.Bits() }
