package remotecluster

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// localGateways are this cluster's gateways.
type localGateways struct {
	live clusterset.LiveGateways
	// dead are the names of those that do not renew their Leases, sorted.
	dead []string
	// endpoints are all that they publish.
	endpoints []v1alpha1.Endpoint
}

// exists tells whether there is a GatewayNode of that name.
func (g localGateways) exists(name string) bool { return g.live[name] || slices.Contains(g.dead, name) }

// gateways are this cluster's GatewayNodes, by their heartbeats.
func (r *Reconciler) gateways(ctx context.Context) (localGateways, error) {
	list := &v1alpha1.GatewayNodeList{}
	if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return localGateways{}, fmt.Errorf("listing GatewayNodes: %w", err)
	}
	gateways := localGateways{live: make(clusterset.LiveGateways, len(list.Items))}
	for i := range list.Items {
		g := &list.Items[i]
		gateways.endpoints = append(gateways.endpoints, g.Spec.Endpoints...)
		if clusterset.HasHeartbeat(g) {
			gateways.live[g.Name] = true
		} else {
			gateways.dead = append(gateways.dead, g.Name)
		}
	}
	slices.Sort(gateways.dead)
	return gateways, nil
}

// summarize writes into status what the links of the live gateways say together. It leaves out what
// gateways that do not exist any more have said of their links. If one does exist, and the cache is
// behind, it says so again.
func summarize(status *v1alpha1.RemoteClusterStatus, rc *v1alpha1.RemoteCluster, gateways localGateways) {
	links := clusterset.LinksOf(rc, gateways.live)
	status.LinksUp = fmt.Sprintf("%d/%d", links.Up, links.Total)
	status.RTTMilliseconds, status.LossPercent = bestAndWorst(rc, gateways.live)
	status.Links = slices.DeleteFunc(status.Links, func(l v1alpha1.GatewayLinks) bool { return !gateways.exists(l.Gateway) })
}

// bestAndWorst are the shortest round trip that was measured, 0 if none was, and the greatest loss,
// nil if no link is up.
func bestAndWorst(rc *v1alpha1.RemoteCluster, live clusterset.LiveGateways) (rtt int32, loss *int32) {
	for _, entry := range rc.Status.Links {
		if !live[entry.Gateway] {
			continue
		}
		for _, link := range entry.Links {
			if link.State != v1alpha1.LinkUp {
				continue
			}
			if link.RTTMilliseconds > 0 && (rtt == 0 || link.RTTMilliseconds < rtt) {
				rtt = link.RTTMilliseconds
			}
			if loss == nil || link.LossPercent > *loss {
				loss = new(link.LossPercent)
			}
		}
	}
	return rtt, loss
}
