package clusterset

import (
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Links counts the links to a remote cluster.
type Links struct {
	Up    int // carry traffic
	Down  int // do not
	Total int // all, with those that no probe has been answered on yet
}

// LinksOf counts the links to the remote cluster that this cluster's gateways report. gateways are
// the names of the GatewayNodes that exist: what a gateway that is gone left in the status says
// nothing.
func LinksOf(rc *v1alpha1.RemoteCluster, gateways map[string]bool) Links {
	var links Links
	for _, entry := range rc.Status.Links {
		if !gateways[entry.Gateway] {
			continue
		}
		for _, link := range entry.Links {
			links.Total++
			switch link.State {
			case v1alpha1.LinkUp:
				links.Up++
			case v1alpha1.LinkDown:
				links.Down++
			}
		}
	}
	return links
}

// Reachable is the one rule for whether flows can get to the remote cluster. One link that is up
// suffices. If none is up and one is down, nothing leads there. Otherwise the links say nothing:
// there are none, or no probe has been answered on them yet, as when one gateway replaces another.
// Then the operator's condition Reachable decides. Without it the cluster counts as reachable.
func Reachable(rc *v1alpha1.RemoteCluster, links Links) bool {
	switch {
	case links.Up > 0:
		return true
	case links.Down > 0:
		return false
	}
	return !meta.IsStatusConditionFalse(rc.Status.Conditions, v1alpha1.ConditionReachable)
}
