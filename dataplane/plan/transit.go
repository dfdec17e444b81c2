package plan

import (
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// transit adds the transit addresses. Those of other members' nodes are routed like their pods.
// This node's own is local, so that answers to it arrive.
func (b *routing) transit() {
	b.remote = slices.Clone(b.n.Remote)
	for _, r := range b.in.Remotes {
		if r.DeletionTimestamp == nil {
			b.remote = append(b.remote, ofFamiliesOf(clusterset.TransitBlocks(&b.in.ClusterSet.Spec, r.Spec.Index), prefixes(r.Spec.CIDRs))...)
		}
	}
	slices.SortFunc(b.remote, netip.Prefix.Compare)
	b.remote = slices.Compact(b.remote)
	b.n.TransitCIDRs = ofFamiliesOf(clusterset.TransitCIDRs(&b.in.ClusterSet.Spec), b.n.Remote)
	b.transits = b.assignedAddresses()
	for _, a := range b.transits[b.in.Node] {
		if !b.self.address(a.Is4()).IsValid() {
			continue // a node without addresses of that family has no clients of it either
		}
		b.n.Transit = append(b.n.Transit, a)
		b.route(route.TableLocal, netip.PrefixFrom(a, a.BitLen()), route.Route{Key: route.Key{Metric: route.MetricTransit}, Type: route.Local})
	}
}

// assignedAddresses are the nodes' transit addresses that can be used: inside this cluster's
// blocks, one of each family. If two nodes claim an address, the older one keeps it until the
// operator corrects the annotation.
func (b *routing) assignedAddresses() map[string][]netip.Addr {
	blocks := b.blocks()
	taken := map[netip.Addr]bool{}
	assigned := map[string][]netip.Addr{}
	for _, node := range bySeniority(b.in.Nodes) {
		claimed := clusterset.ParseTransitAddresses(node.Annotations[v1alpha1.AnnotationTransitAddress])
		for _, block := range blocks {
			i := slices.IndexFunc(claimed, block.Contains)
			if i < 0 || taken[claimed[i]] {
				continue
			}
			taken[claimed[i]] = true
			assigned[node.Name] = append(assigned[node.Name], claimed[i])
		}
	}
	return assigned
}

// blocks are this cluster's transit blocks, of the families in which both it and others have
// addresses. Other clusters have routes back to these families only.
func (b *routing) blocks() []netip.Prefix {
	own := clusterset.TransitBlocks(&b.in.ClusterSet.Spec, b.in.ClusterSet.Status.Index)
	return ofFamiliesOf(ofFamiliesOf(own, b.n.Own), b.n.Remote)
}

// ownBlocks refuses, on a gateway, what other clusters send to a transit address that no node has.
// Otherwise it would leave by the default route.
func (b *routing) ownBlocks() {
	for _, block := range b.blocks() {
		b.route(route.TableNodes, block, route.Route{Type: route.Unreachable})
	}
}

// ofFamiliesOf are those of the prefixes whose family the others have, too.
func ofFamiliesOf(all, others []netip.Prefix) []netip.Prefix {
	var kept []netip.Prefix
	for _, p := range all {
		if hasFamily(others, p.Addr().Is4()) {
			kept = append(kept, p)
		}
	}
	return kept
}

func hasFamily(all []netip.Prefix, is4 bool) bool {
	return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Addr().Is4() == is4 })
}
