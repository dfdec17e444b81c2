package clusterset

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Links counts the links to a remote cluster.
type Links struct {
	Up    int // carry traffic
	Down  int // do not
	Total int // all, with those that no probe has been answered on yet
}

// LinksOf counts the links to the remote cluster that this cluster's live gateways report. What a
// gateway that is gone, or dead, left in the status says nothing.
func LinksOf(rc *v1alpha1.RemoteCluster, live LiveGateways) Links {
	var links Links
	for _, entry := range rc.Status.Links {
		if !live[entry.Gateway] {
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

// Flapping names a link that is up and does not stay up, and says what to look at. Only links of live
// gateways count. Without such a link it is empty.
func Flapping(rc *v1alpha1.RemoteCluster, live LiveGateways) string {
	for _, entry := range rc.Status.Links {
		for _, link := range entry.Links {
			if live[entry.Gateway] && link.Flapping && link.State == v1alpha1.LinkUp {
				return fmt.Sprintf("link %s to %s does not stay up: %s", entry.Gateway, link.RemoteGateway, link.Message)
			}
		}
	}
	return ""
}

// Reachable is the one rule for whether flows can get to the remote cluster. Without a live gateway
// here nothing leads there, whatever its links said last. One link that is up suffices. If no link
// is up and one is down, nothing leads there. Otherwise the links say nothing: there are none, or
// no probe has been answered on them yet, as when one gateway replaces another. Then the operator's
// condition Reachable decides. Without it the cluster counts as reachable.
func Reachable(rc *v1alpha1.RemoteCluster, live LiveGateways) bool {
	links := LinksOf(rc, live)
	switch {
	case len(live) == 0:
		return false
	case links.Up > 0:
		return true
	case links.Down > 0:
		return false
	}
	return !meta.IsStatusConditionFalse(rc.Status.Conditions, v1alpha1.ConditionReachable)
}
