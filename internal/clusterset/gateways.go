package clusterset

import (
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
