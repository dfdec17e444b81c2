package clusterset

import (
	"fmt"
	"net/netip"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Examples of blocks, for messages that ask for another one. They are the defaults of the API.
const (
	exampleVIPs    = "244.0.0.0/16"
	exampleTransit = "245.0.0.0/8"
)

// RefuseClusterSet says why the ClusterSet's addresses do not fit beside the blocks that are in
// use, or nil. VIP CIDRs and the transit CIDR must not overlap any of those blocks, nor each other.
func RefuseClusterSet(spec *v1alpha1.ClusterSetSpec, inUse []Block) *Refusal {
	vips, refusal := ReadCIDRs("spec.vipCIDRs", spec.VIPCIDRs)
	if refusal != nil {
		return refusal
	}
	transit, refusal := ReadCIDRs("spec.transitCIDR", []v1alpha1.CIDR{spec.TransitCIDR})
	if refusal != nil {
		return refusal
	}
	for _, b := range inUse {
		if refusal := refuseOverlap("spec.vipCIDRs", vips, b, exampleVIPs); refusal != nil {
			return refusal
		}
		if refusal := refuseOverlap("spec.transitCIDR", transit, b, exampleTransit); refusal != nil {
			return refusal
		}
	}
	return refuseOverlap("spec.vipCIDRs", vips, Block{transit[0], "spec.transitCIDR"}, exampleVIPs)
}

func refuseOverlap(field string, prefixes []netip.Prefix, b Block, example string) *Refusal {
	o, overlaps := FirstOverlap(prefixes, []Block{b})
	if !overlaps {
		return nil
	}
	return &Refusal{v1alpha1.ReasonCIDROverlap, fmt.Sprintf(
		"%s: %s overlaps %s of %s: choose a block that neither pods, services, nodes nor members use, such as %s; "+
			"until then no new clusterset IPs are assigned", field, o.Prefix, b.Prefix, b.Owner, example)}
}

// OwnBlocks are the blocks that the ClusterSet itself uses. Other members' CIDRs must not overlap
// them.
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
