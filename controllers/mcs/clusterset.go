package mcs

import (
	"fmt"
	"net/netip"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// RefuseClusterSet says why the ClusterSet's addresses do not fit beside the blocks that are in use, or nil: VIP CIDRs
// and the transit CIDR must not overlap any of them, nor each other.
func RefuseClusterSet(spec *v1alpha1.ClusterSetSpec, inUse []Block) *Refusal {
	vips, refusal := parseCIDRs("spec.vipCIDRs", spec.VIPCIDRs)
	if refusal != nil {
		return refusal
	}
	transit, refusal := parseCIDRs("spec.transitCIDR", []v1alpha1.CIDR{spec.TransitCIDR})
	if refusal != nil {
		return refusal
	}
	for _, b := range inUse {
		if refusal := refuseOverlap("spec.vipCIDRs", vips, b, "244.0.0.0/16"); refusal != nil {
			return refusal
		}
		if refusal := refuseOverlap("spec.transitCIDR", transit, b, "245.0.0.0/8"); refusal != nil {
			return refusal
		}
	}
	return refuseOverlap("spec.vipCIDRs", vips, Block{transit[0], "spec.transitCIDR"}, "244.0.0.0/16")
}

func refuseOverlap(field string, prefixes []netip.Prefix, b Block, example string) *Refusal {
	p, q, overlap := Overlap(prefixes, []netip.Prefix{b.Prefix})
	if !overlap {
		return nil
	}
	return &Refusal{v1alpha1.ReasonCIDROverlap, fmt.Sprintf(
		"%s: %s overlaps %s of %s: choose a block that neither pods, services, nodes nor members use, such as %s; "+
			"until then no new clusterset IPs are given out", field, p, q, b.Owner, example)}
}

// OwnBlocks are what the ClusterSet itself takes, as other members' CIDRs are judged against it.
func OwnBlocks(spec *v1alpha1.ClusterSetSpec) []Block {
	var blocks []Block
	for _, p := range Prefixes(spec.VIPCIDRs) {
		blocks = append(blocks, Block{p, "ClusterSet.spec.vipCIDRs"})
	}
	for _, p := range Prefixes([]v1alpha1.CIDR{spec.TransitCIDR}) {
		blocks = append(blocks, Block{p, "ClusterSet.spec.transitCIDR"})
	}
	return blocks
}
