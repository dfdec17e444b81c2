package mcs

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// maxCandidates bounds the search in a block that is nearly full.
const maxCandidates = 1 << 20

// VIPRequest asks for the clusterset IPs of one ServiceImport.
type VIPRequest struct {
	Namespace, Name string            // required
	Families        []corev1.IPFamily // required, the import's, in order
	Have            []netip.Addr      // optional, those that it has: they stay where they still fit
	Blocks          []netip.Prefix    // required, at most one for each family

	// Holder returns the other ServiceImport (namespace/name, the lowest) that holds the address.
	Holder func(netip.Addr) (string, bool) // required
}

// AllocateVIPs returns one clusterset IP for each of the request's families that has a block, and those families in the
// same order. An address that the ServiceImport has stays, if it lies in a block and no ServiceImport with a lower
// namespace/name holds it too. No address and no error: there is no block for any of the families. The error says that
// a block is full.
func AllocateVIPs(r VIPRequest) ([]netip.Addr, []corev1.IPFamily, error) {
	var vips []netip.Addr
	var served []corev1.IPFamily
	for _, family := range r.Families {
		i := slices.IndexFunc(r.Blocks, func(p netip.Prefix) bool { return FamilyOf(p.Addr()) == family })
		if i < 0 {
			continue
		}
		vip, err := r.allocate(r.Blocks[i])
		if err != nil {
			return nil, nil, err
		}
		vips, served = append(vips, vip), append(served, family)
	}
	return vips, served, nil
}

func (r VIPRequest) allocate(block netip.Prefix) (netip.Addr, error) {
	own := r.Namespace + "/" + r.Name
	for _, addr := range r.Have {
		if holder, held := r.Holder(addr); block.Contains(addr) && (!held || own < holder) {
			return addr, nil
		}
	}
	for n := range min(v1alpha1.VIPCapacity(block), maxCandidates) {
		addr := v1alpha1.VIPCandidate(block, r.Namespace, r.Name, n)
		if _, held := r.Holder(addr); !held {
			return addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no free clusterset IP in %s for %s: give ClusterSet.spec.vipCIDRs a larger block", block, own)
}

// FamilyOf is the IP family of the address.
func FamilyOf(addr netip.Addr) corev1.IPFamily {
	if addr.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}
