package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// accepted is a remote cluster whose prefixes can be used, with the gateways that it published.
type accepted struct {
	Cluster
	gateways []v1alpha1.RemoteGateway
}

// acceptRemotes returns the remote clusters whose prefixes can be used, the one first that wins if
// two overlap. The others get a warning. This cluster itself wins against all others.
func acceptRemotes(in Input) ([]accepted, []Warning) {
	inUse := ownBlocks(in)
	var remotes []accepted
	var warnings []Warning
	for _, r := range byClaim(in.Remotes) {
		if len(r.CIDRs) == 0 && len(r.Gateways) == 0 {
			continue // the operator has refused this cluster
		}
		warn := func(format string, args ...any) {
			warnings = append(warnings, Warning{Cluster: r.ClusterID, Message: fmt.Sprintf(format, args...)})
		}
		blocks, err := transitBlocks(in.Transit, in.ClusterSetID, r.Index)
		if err != nil {
			warn("left out: %s", err)
			continue
		}
		prefixes := slices.Clone(blocks)
		for _, c := range r.CIDRs {
			p, ok := clusterset.ParseCIDR(c)
			if !ok {
				warn("CIDR %q is left out: want a CIDR without host bits, such as 10.1.0.0/16", c)
				continue
			}
			prefixes = append(prefixes, p)
		}
		slices.SortFunc(prefixes, netip.Prefix.Compare)
		prefixes = slices.Compact(prefixes)
		if o, overlaps := clusterset.FirstOverlap(prefixes, inUse); overlaps {
			warn("left out: its prefix %s overlaps %s of %s; correct spec.cidrs of one of the Members",
				o.Prefix, o.Block.Prefix, o.Block.Owner)
			continue
		}
		inUse = append(inUse, clusterset.BlocksOf(prefixes, string(r.ClusterID))...)
		remotes = append(remotes, accepted{Cluster{ID: r.ClusterID, Index: r.Index, Blocks: blocks, Prefixes: prefixes}, r.Gateways})
	}
	return remotes, warnings
}

// ownBlocks are this cluster's CIDRs and transit blocks.
func ownBlocks(in Input) []clusterset.Block {
	var own []netip.Prefix
	for _, c := range in.CIDRs {
		if p, ok := clusterset.ParseCIDR(c); ok {
			own = append(own, p)
		}
	}
	blocks, _ := transitBlocks(in.Transit, in.ClusterSetID, in.Index)
	return clusterset.BlocksOf(append(own, blocks...), fmt.Sprintf("this cluster (%s)", in.ClusterID))
}

// byClaim is the remotes with the one first that wins if two overlap.
func byClaim(remotes []Remote) []Remote {
	claimant := func(r Remote) clusterset.Claimant {
		return clusterset.Claimant{Cluster: r.ClusterID, InUse: true, Since: r.Created}
	}
	return slices.SortedFunc(slices.Values(remotes), func(a, b Remote) int { return claimant(a).Compare(claimant(b)) })
}
