package v1alpha1

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"
	"net/netip"
)

const (
	// transitBlockBits is the length of a Member's IPv4 transit block.
	transitBlockBits = 20
	// transitBlockBits6 is the length of a Member's IPv6 transit block.
	transitBlockBits6 = 64
)

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

// TransitBlock6 is the IPv6 block (/64) that the Member with that index has in the clusterset's transit /48: a unique
// local prefix (RFC 4193) whose global ID is the first 40 bits of SHA-256("transit/" + clusterset ID).
func TransitBlock6(clusterSetID string, index int32) netip.Prefix {
	sum := sha256.Sum256([]byte("transit/" + clusterSetID))
	var b [16]byte
	b[0] = 0xfd
	copy(b[1:6], sum[:5])
	binary.BigEndian.PutUint16(b[6:8], uint16(index))
	return netip.PrefixFrom(netip.AddrFrom16(b), transitBlockBits6)
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
