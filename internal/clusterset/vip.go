package clusterset

import (
	"math/big"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// maxCandidates bounds the search in a block that is nearly full.
const maxCandidates = 1 << 20

// VIPRequest asks for the clusterset IPs of one ServiceImport.
type VIPRequest struct {
	Namespace, Name string            // required
	Families        []corev1.IPFamily // required, the import's, in order
	// Have are the addresses that it has, the most important first. They stay where they still fit.
	Have   []netip.Addr   // optional
	Blocks []netip.Prefix // required, at most one for each family
	Full   []netip.Prefix // optional, blocks in which a search would be in vain

	// Spent tells whether the exporting cluster may take no more addresses of the block (VIPRoom).
	Spent func(netip.Prefix) bool // optional, default false
	// Holder returns the other ServiceImport (namespace/name, the lowest) that holds the address.
	Holder func(netip.Addr) (string, bool) // required
}

// VIPs are the clusterset IPs of one ServiceImport. The zero value holds no address.
type VIPs struct {
	Addrs []netip.Addr // at most one of each family, in the order of the import's families
	// Unserved are the families that no block is for.
	Unserved []corev1.IPFamily
	// Full are the blocks that have no free address.
	Full []netip.Prefix
	// Spent are the blocks whose free addresses are kept for other clusters.
	Spent []netip.Prefix
}

// AllocateVIPs returns one clusterset IP for each of the request's families, as far as there are
// blocks with free addresses. An address that the ServiceImport has stays if it lies in a block and
// no ServiceImport with a lower namespace/name holds it too.
func AllocateVIPs(r VIPRequest) VIPs {
	var vips VIPs
	for _, family := range r.Families {
		i := slices.IndexFunc(r.Blocks, func(p netip.Prefix) bool { return FamilyOf(p.Addr()) == family })
		if i < 0 {
			vips.Unserved = append(vips.Unserved, family)
			continue
		}
		block := r.Blocks[i]
		if vip, had := r.keep(block); had {
			vips.Addrs = append(vips.Addrs, vip)
		} else if r.Spent != nil && r.Spent(block) {
			vips.Spent = append(vips.Spent, block)
		} else if vip, found := r.allocate(block); found {
			vips.Addrs = append(vips.Addrs, vip)
		} else {
			vips.Full = append(vips.Full, block)
		}
	}
	return vips
}

// keep returns the address in the block that the ServiceImport has and may keep.
func (r VIPRequest) keep(block netip.Prefix) (netip.Addr, bool) {
	own := r.Namespace + "/" + r.Name
	for _, addr := range r.Have {
		if !block.Contains(addr) {
			continue
		}
		if holder, held := r.Holder(addr); !held || own < holder {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// allocate returns a free address in the block.
func (r VIPRequest) allocate(block netip.Prefix) (netip.Addr, bool) {
	if slices.Contains(r.Full, block) {
		return netip.Addr{}, false
	}
	for n := range min(VIPCapacity(block), maxCandidates) {
		addr := VIPCandidate(block, r.Namespace, r.Name, n)
		if _, held := r.Holder(addr); !held {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// VIPCandidate is the n-th address (n = 0, 1, ...) to try for the clusterset IP of namespace/name
// in the block. The hash gives the first, and collisions take the next. If the block has more than
// two addresses, its first and last are left out. The search wraps around; n must be below
// VIPCapacity.
func VIPCandidate(block netip.Prefix, namespace, name string, n uint64) netip.Addr {
	sum := hash(namespace, name)
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

// FamilyOf is the IP family of the address.
func FamilyOf(addr netip.Addr) corev1.IPFamily {
	if addr.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}
