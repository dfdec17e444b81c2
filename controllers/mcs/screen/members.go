package screen

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// MembersInput is what the members of a clusterset are judged by.
type MembersInput struct {
	Own     v1alpha1.ClusterID // this cluster
	Members []v1alpha1.Member  // all that the hub lists
	// InUse are the RemoteClusters of this cluster that have CIDRs, by cluster ID.
	InUse map[v1alpha1.ClusterID]v1alpha1.RemoteClusterSpec
	// Blocks are what this cluster itself uses: pods, services, nodes, API server, the hub, clusterset
	// IPs, transit.
	Blocks []clusterset.Block
	// Accept is ClusterSet.spec.acceptCIDRs; empty: any.
	Accept []netip.Prefix
}

// Members returns, for each other member that cannot be accepted, why. Two members cannot both be
// accepted if they have one index, or CIDRs that overlap: the one that wins by
// clusterset.Claimant.Compare stays. This cluster itself wins against all others. Members that are removed
// claim nothing and are not judged.
func Members(in MembersInput) map[v1alpha1.ClusterID]clusterset.Refusal {
	refused := map[v1alpha1.ClusterID]clusterset.Refusal{}
	accepted := map[v1alpha1.ClusterID]claim{}
	for id, spec := range in.InUse {
		accepted[id] = claim{spec.Index, clusterset.Prefixes(spec.CIDRs)}
	}
	var others []v1alpha1.Member
	for _, m := range in.Members {
		switch {
		case v1alpha1.ClusterID(m.Name) == in.Own:
			accepted[in.Own] = claim{m.Spec.Index, clusterset.Prefixes(m.Spec.CIDRs)}
		case m.Spec.Removed:
			delete(accepted, v1alpha1.ClusterID(m.Name))
		default:
			others = append(others, m)
		}
	}
	slices.SortFunc(others, func(a, b v1alpha1.Member) int { return in.claimant(&a).Compare(in.claimant(&b)) })
	for _, m := range others {
		id := v1alpha1.ClusterID(m.Name)
		if refusal := in.refuse(&m, accepted); refusal != nil {
			refused[id] = *refusal
			continue
		}
		accepted[id] = claim{m.Spec.Index, clusterset.Prefixes(m.Spec.CIDRs)}
	}
	return refused
}

// claim is what one member holds.
type claim struct {
	index int32
	cidrs []netip.Prefix
}

func (in MembersInput) claimant(m *v1alpha1.Member) clusterset.Claimant {
	id := v1alpha1.ClusterID(m.Name)
	_, inUse := in.InUse[id]
	return clusterset.Claimant{Cluster: id, InUse: inUse, Since: m.CreationTimestamp.Time}
}

// refuse compares the member with what others hold; nil: it fits.
func (in MembersInput) refuse(m *v1alpha1.Member, accepted map[v1alpha1.ClusterID]claim) *clusterset.Refusal {
	if len(m.Spec.GlobalCIDRs) > 0 {
		return clusterset.Refuse(v1alpha1.ReasonNotSupported,
			"Member %s has globalCIDRs, but this version does not translate addresses: "+
				"remove Member.spec.globalCIDRs, and give the cluster CIDRs that no other member has", m.Name)
	}
	cidrs, refusal := clusterset.ReadCIDRs("Member "+m.Name+", spec.cidrs", m.Spec.CIDRs)
	if refusal != nil {
		return refusal
	}
	if o, overlaps := clusterset.FirstOverlap(cidrs, clusterset.ReservedBlocks()); overlaps {
		return clusterset.Refuse(v1alpha1.ReasonReservedCIDR,
			"CIDR %s of Member %s holds addresses of %s (%s), which no pod has: give it the CIDRs of its pods in Member.spec.cidrs",
			o.Prefix, m.Name, o.Block.Prefix, o.Block.Owner)
	}
	if refusal := in.refuseOutside(m, cidrs); refusal != nil {
		return refusal
	}
	for _, id := range slices.Sorted(maps.Keys(accepted)) {
		if string(id) == m.Name {
			continue
		}
		if accepted[id].index == m.Spec.Index {
			return clusterset.Refuse(v1alpha1.ReasonIndexInUse,
				"Member %s has index %d, which Member %s holds: delete the one that is wrong and create it again with a free index",
				m.Name, m.Spec.Index, id)
		}
		if o, overlaps := clusterset.FirstOverlap(cidrs, clusterset.BlocksOf(accepted[id].cidrs, "Member "+string(id))); overlaps {
			return clusterset.Refuse(v1alpha1.ReasonCIDROverlap,
				"CIDR %s of Member %s overlaps %s of %s, which stays in use: give one of them other CIDRs in Member.spec.cidrs",
				o.Prefix, m.Name, o.Block.Prefix, o.Block.Owner)
		}
	}
	for _, block := range in.Blocks {
		if o, overlaps := clusterset.FirstOverlap(cidrs, []clusterset.Block{block}); overlaps {
			return clusterset.Refuse(v1alpha1.ReasonCIDROverlap,
				"CIDR %s of Member %s overlaps %s of %s in this cluster, %s: change Member.spec.cidrs or what uses the other here",
				o.Prefix, m.Name, block.Prefix, block.Owner, in.Own)
		}
	}
	return nil
}

// refuseOutside compares the CIDRs with those that this cluster's admin accepts; nil: they fit.
func (in MembersInput) refuseOutside(m *v1alpha1.Member, cidrs []netip.Prefix) *clusterset.Refusal {
	for _, p := range cidrs {
		inside := func(accept netip.Prefix) bool { return accept.Bits() <= p.Bits() && accept.Contains(p.Addr()) }
		if len(in.Accept) > 0 && !slices.ContainsFunc(in.Accept, inside) {
			return clusterset.Refuse(v1alpha1.ReasonCIDRNotAccepted,
				"CIDR %s of Member %s lies outside ClusterSet.spec.acceptCIDRs (%s): nothing is sent to this cluster or taken from it; "+
					"add the CIDR there, or change Member.spec.cidrs", p, m.Name, clusterset.JoinPrefixes(in.Accept))
		}
	}
	return nil
}
