package screen

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	utilvalidation "k8s.io/apimachinery/pkg/util/validation"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Places are where another cluster's gateways may be.
type Places struct {
	// Allowed are Member.spec.endpointCIDRs; empty: anywhere.
	Allowed []netip.Prefix
	// Taken are the addresses of this cluster's pods, Services and clusterset IPs. A handshake that
	// goes there would reach whatever listens there.
	Taken []clusterset.Block
}

// fault says why no gateway may be there; empty if one may.
func (p Places) fault(addr netip.Addr) string {
	if len(p.Allowed) > 0 && !clusterset.Contains(p.Allowed, addr) {
		return fmt.Sprintf("is outside its Member's endpointCIDRs (%s)", clusterset.Clip(clusterset.JoinPrefixes(p.Allowed), listShown))
	}
	for _, b := range p.Taken {
		if b.Prefix.Contains(addr) {
			return fmt.Sprintf("is in %s of %s in this cluster", b.Prefix, b.Owner)
		}
	}
	return ""
}

// Gateway returns the GatewayNode, or a copy without those endpoints at which it cannot be reached,
// and what was left out. It returns nil if the gateway cannot be used at all.
// RemoteGateways checks whether its tunnel addresses belong to its cluster.
func Gateway(node *v1alpha1.GatewayNode, places Places) (*v1alpha1.GatewayNode, []Skipped) {
	why := func(format string, values ...any) Skipped {
		return Skipped{SkippedGateway, fmt.Sprintf("GatewayNode %s: ", node.Name) + fmt.Sprintf(format, values...), 1}
	}
	if fault := gatewayFault(node); fault != "" {
		return nil, []Skipped{why("%s: restart the gateway, or delete the object; until then this gateway is not used", fault)}
	}
	var skipped []Skipped
	var endpoints []v1alpha1.Endpoint
	for _, e := range node.Spec.Endpoints {
		if fault := endpointFault(e, places); fault != "" {
			skipped = append(skipped, why("endpoint %s port %d %s: give the gateway one at which other clusters reach it",
				quote(string(e.Address)), e.Port, fault))
			continue
		}
		endpoints = append(endpoints, e)
	}
	switch {
	case len(endpoints) == 0:
		return nil, append(skipped, why("it has no endpoint that can be used"))
	case len(skipped) == 0:
		return node, nil
	}
	usable := node.DeepCopy()
	usable.Spec.Endpoints = endpoints
	return usable, skipped
}

// KeyInUse is that a gateway has published the public key of another one, which owner names. If two
// peers of a device had one key, one of them would lose its tunnels.
func KeyInUse(node *v1alpha1.GatewayNode, owner string) Skipped {
	return Skipped{SkippedGateway, fmt.Sprintf("GatewayNode %s: spec.publicKey %s is that of %s: give each gateway a key of its own; until then this one is not used",
		node.Name, node.Spec.PublicKey, owner), 1}
}

func gatewayFault(node *v1alpha1.GatewayNode) string {
	fault := clusterset.KeyFault(node.Spec.PublicKey)
	switch {
	case fault != "":
		return "spec.publicKey " + fault
	case len(utilvalidation.IsDNS1123Subdomain(node.Spec.NodeName)) > 0:
		return fmt.Sprintf("spec.nodeName %s is not a node's name", quote(node.Spec.NodeName))
	case node.Status.Lane != nil && (*node.Status.Lane < 0 || *node.Status.Lane >= v1alpha1.MaxLanes):
		return fmt.Sprintf("status.lane %d is not from 0 to %d", *node.Status.Lane, v1alpha1.MaxLanes-1)
	}
	return ""
}

// endpointFault says why a gateway cannot be reached there. Above the base port there must be a
// port for each lane.
func endpointFault(e v1alpha1.Endpoint, places Places) string {
	const last = 65535 - v1alpha1.MaxLanes + 1
	if e.Port < 1 || e.Port > last {
		return fmt.Sprintf("has no base port from 1 to %d", last)
	}
	addr, err := netip.ParseAddr(string(e.Address))
	if err != nil {
		return "is not an IP address"
	}
	if fault := clusterset.FaultOf(addr); fault != "" {
		return string(fault)
	}
	return places.fault(addr)
}

// RemoteGateways are the gateways that a cluster published and that have a lane, by lane. A gateway
// whose tunnel addresses lie outside blocks, its Member's, is left out, and the refusal names it.
// If two claim one lane, the one whose name sorts first stays. If two have one name, the one with
// the lower lane stays.
func RemoteGateways(nodes []v1alpha1.GatewayNode, blocks []netip.Prefix) ([]v1alpha1.RemoteGateway, *clusterset.Refusal) {
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
	return gateways, clusterset.Refuse(v1alpha1.ReasonInvalidTunnelAddress,
		"tunnel addresses of gateways %s lie outside the cluster's block %s: set the same ClusterSet.spec.transitCIDR "+
			"and clusterSetID in every member; until then these gateways are not used", clusterset.NameSome(wrong), clusterset.JoinPrefixes(blocks))
}

func outsideOf(blocks []netip.Prefix, addresses []v1alpha1.IPAddress) (v1alpha1.IPAddress, bool) {
	for _, a := range addresses {
		addr, err := netip.ParseAddr(string(a))
		if err != nil || !clusterset.Contains(blocks, addr) {
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
