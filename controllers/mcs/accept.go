package mcs

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Refusal is why something is not accepted: the reason and the message of a condition.
type Refusal struct {
	Reason  string
	Message string
}

// Block is a range of addresses that is in use.
type Block struct {
	Prefix netip.Prefix
	Owner  string // what uses it, as a message names it: "pods of node east-1"
}

// MembersInput is what the members of a clusterset are judged by.
type MembersInput struct {
	Own     v1alpha1.ClusterID // this cluster
	Members []v1alpha1.Member  // all that the hub lists
	// InUse are the RemoteClusters of this cluster that have CIDRs, by cluster ID.
	InUse map[v1alpha1.ClusterID]v1alpha1.RemoteClusterSpec
	// Blocks are what this cluster itself uses: pods, services, nodes, clusterset IPs, transit.
	Blocks []Block
}

// RefuseMembers returns, for each other member that cannot be accepted, why: two members with one index or with
// overlapping CIDRs cannot both be; the one that this cluster already uses stays, then the older, then the one with the
// lower name. This cluster itself comes before all. Members that are removed are left out.
func RefuseMembers(in MembersInput) map[v1alpha1.ClusterID]Refusal {
	refused := map[v1alpha1.ClusterID]Refusal{}
	taken := map[v1alpha1.ClusterID]claim{}
	for id, spec := range in.InUse {
		taken[id] = claim{index: spec.Index, cidrs: Prefixes(spec.CIDRs)}
	}
	var others []v1alpha1.Member
	for _, m := range in.Members {
		switch {
		case v1alpha1.ClusterID(m.Name) == in.Own:
			taken[in.Own] = claim{index: m.Spec.Index, cidrs: Prefixes(m.Spec.CIDRs)}
		case m.Spec.Removed:
			delete(taken, v1alpha1.ClusterID(m.Name))
		default:
			others = append(others, m)
		}
	}
	slices.SortFunc(others, func(a, b v1alpha1.Member) int { return in.byClaim(a, b) })
	for _, m := range others {
		id := v1alpha1.ClusterID(m.Name)
		if refusal := in.judge(&m, taken); refusal != nil {
			refused[id] = *refusal
			continue
		}
		taken[id] = claim{index: m.Spec.Index, cidrs: Prefixes(m.Spec.CIDRs)}
	}
	return refused
}

// claim is what one member holds.
type claim struct {
	index int32
	cidrs []netip.Prefix
}

func (in MembersInput) byClaim(a, b v1alpha1.Member) int {
	_, aUsed := in.InUse[v1alpha1.ClusterID(a.Name)]
	_, bUsed := in.InUse[v1alpha1.ClusterID(b.Name)]
	if aUsed != bUsed {
		if aUsed {
			return -1
		}
		return 1
	}
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

// judge compares the member with what others hold.
func (in MembersInput) judge(m *v1alpha1.Member, taken map[v1alpha1.ClusterID]claim) *Refusal {
	if len(m.Spec.GlobalCIDRs) > 0 {
		return &Refusal{v1alpha1.ReasonNotSupported, fmt.Sprintf(
			"Member %s has globalCIDRs, but this version does not translate addresses: "+
				"remove Member.spec.globalCIDRs, and give the cluster CIDRs that no other member has", m.Name)}
	}
	cidrs, refusal := parseCIDRs("Member "+m.Name+", spec.cidrs", m.Spec.CIDRs)
	if refusal != nil {
		return refusal
	}
	for _, id := range slices.Sorted(maps.Keys(taken)) {
		if string(id) == m.Name {
			continue
		}
		if taken[id].index == m.Spec.Index {
			return &Refusal{v1alpha1.ReasonIndexInUse, fmt.Sprintf(
				"Member %s has index %d, which Member %s holds: delete the one that is wrong and create it again with a free index",
				m.Name, m.Spec.Index, id)}
		}
		if a, b, overlap := Overlap(cidrs, taken[id].cidrs); overlap {
			return &Refusal{v1alpha1.ReasonCIDROverlap, fmt.Sprintf(
				"CIDR %s of Member %s overlaps %s of Member %s, which stays in use: give one of them other CIDRs in Member.spec.cidrs",
				a, m.Name, b, id)}
		}
	}
	for _, block := range in.Blocks {
		if a, b, overlap := Overlap(cidrs, []netip.Prefix{block.Prefix}); overlap {
			return &Refusal{v1alpha1.ReasonCIDROverlap, fmt.Sprintf(
				"CIDR %s of Member %s overlaps %s of %s in this cluster, %s: change Member.spec.cidrs or what uses the other here",
				a, m.Name, b, block.Owner, in.Own)}
		}
	}
	return nil
}

// Overlap returns the first pair of prefixes, one of each list, that overlap.
func Overlap(a, b []netip.Prefix) (netip.Prefix, netip.Prefix, bool) {
	for _, p := range a {
		for _, q := range b {
			if p.Overlaps(q) {
				return p, q, true
			}
		}
	}
	return netip.Prefix{}, netip.Prefix{}, false
}

// Prefixes parses CIDRs and leaves out what is none: what is approved must be understood.
func Prefixes(cidrs []v1alpha1.CIDR) []netip.Prefix {
	prefixes := make([]netip.Prefix, 0, len(cidrs))
	for _, c := range cidrs {
		if p, err := netip.ParsePrefix(string(c)); err == nil {
			prefixes = append(prefixes, p.Masked())
		}
	}
	return prefixes
}

// parseCIDRs parses all of them, or says which one of the field is wrong.
func parseCIDRs(field string, cidrs []v1alpha1.CIDR) ([]netip.Prefix, *Refusal) {
	prefixes := make([]netip.Prefix, 0, len(cidrs))
	for _, c := range cidrs {
		p, err := netip.ParsePrefix(string(c))
		if err != nil || p != p.Masked() {
			return nil, &Refusal{v1alpha1.ReasonInvalidCIDR, fmt.Sprintf(
				"%s: %q is not an IPv4 or IPv6 CIDR without host bits, such as 10.1.0.0/16", field, c)}
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}
