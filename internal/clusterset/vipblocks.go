package clusterset

import (
	"crypto/sha256"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// vipBits6 is the length of the IPv6 block that clusterset IPs come from by default. It holds as
// many addresses as the default of IPv4.
const vipBits6 = 112

// VIPBlock6 is the block (/112) that a clusterset's IPv6 clusterset IPs come from by default: of a
// unique local prefix (RFC 4193) whose global ID is the first 40 bits of SHA-256("vip/" +
// clusterset ID).
func VIPBlock6(clusterSetID string) netip.Prefix {
	sum := sha256.Sum256([]byte("vip/" + clusterSetID))
	var b [16]byte
	b[0] = 0xfd
	copy(b[1:6], sum[:5])
	return netip.PrefixFrom(netip.AddrFrom16(b), vipBits6)
}

// VIPBlocks are the blocks that the cluster's clusterset IPs come from, at most one for each IP
// family: those of spec.vipCIDRs, and VIPBlock6 if they have none of IPv6. Blocks of a family that
// the cluster's own CIDRs do not have are left out, because no client there could use them. As long
// as the CIDRs are not known, they are those of spec.vipCIDRs.
func VIPBlocks(set *v1alpha1.ClusterSet) []netip.Prefix {
	is6 := func(p netip.Prefix) bool { return p.Addr().Is6() }
	blocks, own := Prefixes(set.Spec.VIPCIDRs), Prefixes(set.Status.CIDRs)
	if len(own) == 0 {
		return blocks
	}
	if !slices.ContainsFunc(blocks, is6) {
		blocks = append(blocks, VIPBlock6(set.Spec.ClusterSetID))
	}
	return slices.DeleteFunc(blocks, func(block netip.Prefix) bool {
		return !slices.ContainsFunc(own, func(p netip.Prefix) bool { return is6(p) == is6(block) })
	})
}
