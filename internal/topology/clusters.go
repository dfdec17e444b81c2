package topology

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Of returns the picture of the clusterset that the snapshots show. A cluster that is in none of
// them, but that others know, is in the picture with what they say of it.
func Of(snapshots []Snapshot) Topology {
	all := make([]counted, 0, len(snapshots))
	for i := range snapshots {
		all = append(all, counted{&snapshots[i], endpointsOf(snapshots[i].ImportedSlices)})
	}
	t := Topology{Clusters: clustersOf(snapshots), Hubs: hubsOf(snapshots), Services: servicesOf(all), Findings: findingsOf(all)}
	for i := range snapshots {
		if set := snapshots[i].ClusterSet; set != nil && t.ClusterSet == "" {
			t.ClusterSet = set.Spec.ClusterSetID
		}
	}
	if t.ClusterSet == "" && len(t.Hubs) > 0 {
		t.ClusterSet = t.Hubs[0].ClusterSet
	}
	return t
}

// idOf is the cluster's ID, or what the user calls it if it has none.
func idOf(s *Snapshot) v1alpha1.ClusterID {
	if s.ClusterSet != nil {
		return s.ClusterSet.Spec.ClusterID
	}
	return v1alpha1.ClusterID(s.Context)
}

func clustersOf(snapshots []Snapshot) []Cluster {
	known := map[v1alpha1.ClusterID]Cluster{}
	for i := range snapshots {
		s := &snapshots[i]
		for j := range s.RemoteClusters {
			rc := &s.RemoteClusters[j]
			id := v1alpha1.ClusterID(rc.Name)
			known[id] = Cluster{ID: id, Index: rc.Spec.Index, Region: rc.Spec.Region, CIDRs: rc.Spec.CIDRs}
		}
	}
	for i := range snapshots {
		if snapshots[i].isHubOnly() {
			continue
		}
		c := clusterOf(&snapshots[i])
		known[c.ID] = c
	}
	return slices.SortedFunc(maps.Values(known), func(a, b Cluster) int { return cmp.Compare(a.ID, b.ID) })
}

// isHubOnly tells whether the cluster is a hub, and no member.
func (s *Snapshot) isHubOnly() bool { return s.ClusterSet == nil && len(s.Hubs) > 0 }

// clusterOf is a cluster as it sees itself.
func clusterOf(s *Snapshot) Cluster {
	c := Cluster{ID: idOf(s), Context: s.Context, Nodes: len(s.Nodes), Exports: len(s.Exports), Imports: len(s.Imports)}
	if set := s.ClusterSet; set != nil {
		c.Index, c.Region, c.CIDRs = set.Status.Index, set.Status.Region, set.Status.CIDRs
		c.Hub, c.DNS = reasonOf(set, v1alpha1.ConditionHubConnected), reasonOf(set, v1alpha1.ConditionDNSReady)
	}
	for i := range s.Nodes {
		if dataplane := dataplaneOf(&s.Nodes[i]); dataplane != nil && dataplane.Status == corev1.ConditionTrue {
			c.NodesServing++
		}
	}
	for i := range s.GatewayNodes {
		c.Gateways = append(c.Gateways, gatewayOf(&s.GatewayNodes[i]))
	}
	slices.SortFunc(c.Gateways, func(a, b Gateway) int { return cmp.Compare(a.Name, b.Name) })
	live := liveGateways(s.GatewayNodes)
	for i := range s.RemoteClusters {
		c.Remotes = append(c.Remotes, remoteOf(&s.RemoteClusters[i], live))
	}
	slices.SortFunc(c.Remotes, func(a, b Remote) int { return cmp.Compare(a.ID, b.ID) })
	return c
}

func reasonOf(set *v1alpha1.ClusterSet, condition string) string {
	if c := meta.FindStatusCondition(set.Status.Conditions, condition); c != nil {
		return c.Reason
	}
	return v1alpha1.ReasonPending
}

// dataplaneOf is what the node's dataplane says; nil: nothing.
func dataplaneOf(node *corev1.Node) *corev1.NodeCondition {
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == v1alpha1.NodeConditionDataplane {
			return &node.Status.Conditions[i]
		}
	}
	return nil
}

func gatewayOf(g *v1alpha1.GatewayNode) Gateway {
	gateway := Gateway{Name: g.Name, Lane: g.Status.Lane, State: stateOf(g)}
	if len(g.Spec.Endpoints) > 0 {
		gateway.Endpoint = string(g.Spec.Endpoints[0].Address)
	}
	return gateway
}

func stateOf(g *v1alpha1.GatewayNode) GatewayState {
	draining := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionDraining)
	switch {
	case !clusterset.HasHeartbeat(g):
		return GatewayDead
	case draining != nil && draining.Reason == v1alpha1.ReasonAgentStarting:
		return GatewayStarting
	case clusterset.IsDraining(g):
		return GatewayDraining
	case meta.IsStatusConditionTrue(g.Status.Conditions, v1alpha1.ConditionReady):
		return GatewayReady
	}
	return GatewayNotReady
}

func liveGateways(all []v1alpha1.GatewayNode) clusterset.LiveGateways {
	live := clusterset.LiveGateways{}
	for i := range all {
		if clusterset.HasHeartbeat(&all[i]) {
			live[all[i].Name] = true
		}
	}
	return live
}

func remoteOf(rc *v1alpha1.RemoteCluster, live clusterset.LiveGateways) Remote {
	links := clusterset.LinksOf(rc, live)
	r := Remote{ID: v1alpha1.ClusterID(rc.Name), Reachable: clusterset.Reachable(rc, live), LinksUp: links.Up, LinksTotal: links.Total,
		RTTMilliseconds: rc.Status.RTTMilliseconds, LossPercent: rc.Status.LossPercent}
	for _, entry := range rc.Status.Links {
		if !live[entry.Gateway] {
			continue // what it said last is old
		}
		for _, l := range entry.Links {
			r.Links = append(r.Links, Link{Gateway: entry.Gateway, Link: l})
		}
	}
	slices.SortFunc(r.Links, func(a, b Link) int {
		return cmp.Or(cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.RemoteGateway, b.RemoteGateway))
	})
	return r
}
