package clusterset

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

const (
	// GatewayLeaseDuration is how long a gateway counts as live after the operator saw it renew its
	// Lease.
	GatewayLeaseDuration = 10 * time.Second
	// GatewayLeaseRenewal is how often a gateway renews its Lease.
	GatewayLeaseRenewal = 3 * time.Second
)

// LiveGateways are the names of this cluster's gateways that forward packets, as far as the caller
// knows: nodes know it from their probes, the operator from the gateways' heartbeats. None: no
// gateway lives.
type LiveGateways map[string]bool

// HasHeartbeat reports whether the gateway renews its Lease. It does as long as the operator has
// not said otherwise.
func HasHeartbeat(g *v1alpha1.GatewayNode) bool {
	return !meta.IsStatusConditionFalse(g.Status.Conditions, v1alpha1.ConditionAlive)
}

// IsDraining reports whether flows should leave the gateway.
func IsDraining(g *v1alpha1.GatewayNode) bool {
	return meta.IsStatusConditionTrue(g.Status.Conditions, v1alpha1.ConditionDraining)
}

// GatewaysToUse are the gateways that flows should be spread over, by lane and name. Only gateways
// with a lane can be used. First choice are the live ones that are not draining, renew their Lease
// and are not unready; then the live ones that have not just started, whose tunnels carry something;
// then all live ones; then all, because a probe may be lost where packets are not.
func GatewaysToUse(all []*v1alpha1.GatewayNode, live LiveGateways) []*v1alpha1.GatewayNode {
	usable := make([]*v1alpha1.GatewayNode, 0, len(all))
	for _, g := range all {
		if g.Status.Lane != nil && g.DeletionTimestamp == nil {
			usable = append(usable, g)
		}
	}
	slices.SortFunc(usable, func(a, b *v1alpha1.GatewayNode) int {
		return cmp.Or(cmp.Compare(*a.Status.Lane, *b.Status.Lane), cmp.Compare(a.Name, b.Name))
	})
	for _, fits := range [...]func(*v1alpha1.GatewayNode) bool{
		func(g *v1alpha1.GatewayNode) bool { return live[g.Name] && isWell(g) },
		func(g *v1alpha1.GatewayNode) bool { return live[g.Name] && !isStarting(g) },
		func(g *v1alpha1.GatewayNode) bool { return live[g.Name] },
	} {
		chosen := slices.DeleteFunc(slices.Clone(usable), func(g *v1alpha1.GatewayNode) bool { return !fits(g) })
		if len(chosen) > 0 {
			return chosen
		}
	}
	return usable
}

// isStarting reports whether the gateway's links are not up yet.
func isStarting(g *v1alpha1.GatewayNode) bool {
	c := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionDraining)
	return c != nil && c.Reason == v1alpha1.ReasonAgentStarting
}

// isWell reports whether nothing speaks against sending flows to the gateway.
func isWell(g *v1alpha1.GatewayNode) bool {
	return !IsDraining(g) && HasHeartbeat(g) && !meta.IsStatusConditionFalse(g.Status.Conditions, v1alpha1.ConditionReady)
}
