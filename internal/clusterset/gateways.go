package clusterset

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// FreeLane is the smallest lane that none of the GatewayNodes holds; false if all are held.
func FreeLane(nodes []v1alpha1.GatewayNode) (v1alpha1.Lane, bool) {
	held := map[v1alpha1.Lane]bool{}
	for _, n := range nodes {
		if n.Status.Lane != nil {
			held[*n.Status.Lane] = true
		}
	}
	for lane := range v1alpha1.Lane(v1alpha1.MaxLanes) {
		if !held[lane] {
			return lane, true
		}
	}
	return 0, false
}

// MayPublish reports whether other clusters may learn of the gateway, if they do not know it yet: it
// has a lane, and its agent has said that it is not just starting, or without its port. Others would
// send to a port that it does not have.
func MayPublish(g *v1alpha1.GatewayNode) bool {
	ready := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionReady)
	return g.Status.Lane != nil && ready != nil && ready.Reason != v1alpha1.ReasonPending && ready.Reason != v1alpha1.ReasonPortInUse
}

// RemoteGateways are the gateways that a cluster published and that have a lane, by lane. A gateway
// whose tunnel addresses lie outside blocks, its Member's, is left out, and the refusal names it.
// If two claim one lane, the one whose name sorts first stays. If two have one name, the one with
// the lower lane stays.
func RemoteGateways(nodes []v1alpha1.GatewayNode, blocks []netip.Prefix) ([]v1alpha1.RemoteGateway, *Refusal) {
	var gateways []v1alpha1.RemoteGateway
	var wrong []string
	for _, n := range nodes {
		if n.Status.Lane == nil {
			continue
		}
		if addr, outside := outsideOf(blocks, n.Spec.TunnelAddresses); outside {
			wrong = append(wrong, fmt.Sprintf("%s (%s)", n.Spec.NodeName, addr))
			continue
		}
		gateways = append(gateways, v1alpha1.RemoteGateway{
			Name:            n.Spec.NodeName,
			Lane:            *n.Status.Lane,
			PublicKey:       n.Spec.PublicKey,
			Endpoints:       n.Spec.Endpoints,
			TunnelAddresses: n.Spec.TunnelAddresses,
		})
	}
	slices.SortFunc(gateways, func(a, b v1alpha1.RemoteGateway) int {
		return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Name, b.Name))
	})
	gateways = slices.CompactFunc(gateways, func(a, b v1alpha1.RemoteGateway) bool { return a.Lane == b.Lane })
	names := map[string]bool{}
	gateways = slices.DeleteFunc(gateways, func(g v1alpha1.RemoteGateway) bool {
		twice := names[g.Name]
		names[g.Name] = true
		return twice
	})
	if len(wrong) == 0 {
		return gateways, nil
	}
	slices.Sort(wrong)
	return gateways, &Refusal{v1alpha1.ReasonInvalidTunnelAddress, fmt.Sprintf(
		"tunnel addresses of gateways %s lie outside the cluster's block %s: set the same ClusterSet.spec.transitCIDR "+
			"and clusterSetID in every member; until then these gateways are not used", NameSome(wrong), JoinPrefixes(blocks))}
}

func outsideOf(blocks []netip.Prefix, addresses []v1alpha1.IPAddress) (v1alpha1.IPAddress, bool) {
	for _, a := range addresses {
		addr, err := netip.ParseAddr(string(a))
		if err != nil || !Contains(blocks, addr) {
			return a, true
		}
	}
	return "", false
}

// KeepGateways returns, by lane, the gateways that a cluster published, and those of before that it
// may not have withdrawn. A gateway of before is left out if a published one has its name or lane.
func KeepGateways(published, before []v1alpha1.RemoteGateway) []v1alpha1.RemoteGateway {
	kept := slices.Clone(published)
	for _, old := range before {
		if !slices.ContainsFunc(published, func(g v1alpha1.RemoteGateway) bool { return g.Name == old.Name || g.Lane == old.Lane }) {
			kept = append(kept, old)
		}
	}
	slices.SortFunc(kept, func(a, b v1alpha1.RemoteGateway) int { return int(a.Lane - b.Lane) })
	return kept
}
