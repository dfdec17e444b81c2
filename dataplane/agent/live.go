package agent

import (
	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// liveGateways returns the gateways that live as far as a node knows: those that renew their Lease.
// A gateway counts itself as live.
func liveGateways(all []*v1alpha1.GatewayNode, node string) clusterset.LiveGateways {
	live := clusterset.LiveGateways{}
	for _, g := range all {
		if clusterset.HasHeartbeat(g) || g.Spec.NodeName == node {
			live[g.Name] = true
		}
	}
	return live
}
