package explain

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Planned is where a node would send the flows to the name by the cluster's objects alone, without a
// memory of failures. down is a cluster that nothing leads to; empty: none. It is nil if the cluster
// has no clusterset IP for the name.
func (c *Cluster) Planned(name types.NamespacedName, node string, down v1alpha1.ClusterID, now time.Time) *Decision {
	imported, set := c.imported(name), c.ClusterSet
	if imported == nil || set == nil || !clusterset.Served(imported) {
		return nil
	}
	in := plan.NetworkInput{Node: node, ClusterSet: set, Live: clusterset.LiveGateways{}}
	for i := range c.Nodes {
		in.Nodes = append(in.Nodes, &c.Nodes[i])
	}
	for i := range c.RemoteClusters {
		in.Remotes = append(in.Remotes, &c.RemoteClusters[i])
	}
	for i := range c.GatewayNodes {
		if g := &c.GatewayNodes[i]; clusterset.HasHeartbeat(g) {
			in.Live[g.Name] = true
		}
	}
	place := plan.NewPlace(in, clusterset.VIPBlocks(set))
	if remote, ok := place.Remotes[down]; ok {
		remote.Unreachable = true
		place.Remotes[down] = remote
	}
	return c.explained(plan.Input{Import: imported, Place: place, Now: now})
}

// explained plans with the imported slices and the policy in effect.
func (c *Cluster) explained(in plan.Input) *Decision {
	for i := range c.ImportedSlices {
		s := &c.ImportedSlices[i]
		if s.Namespace == in.Import.Namespace && s.Labels[v1alpha1.LabelServiceName] == in.Import.Name {
			in.Slices = append(in.Slices, s)
		}
	}
	var policies []*v1alpha1.TrafficPolicy
	for i := range c.TrafficPolicies {
		policies = append(policies, &c.TrafficPolicies[i])
	}
	in.Policy = clusterset.PolicyFor(in.Import, policies)
	return &Decision{Ports: plan.Explain(in), Skipped: plan.Services(in).Skipped}
}

// imported is the ServiceImport of that name, nil if there is none.
func (c *Cluster) imported(name types.NamespacedName) *mcsv1beta1.ServiceImport {
	for i := range c.Imports {
		if si := &c.Imports[i]; si.Namespace == name.Namespace && si.Name == name.Name {
			return si
		}
	}
	return nil
}

// AnyNode is the node that stands for all: one from which packets pass a gateway, if there is one.
// It is empty if the cluster has no nodes.
func (c *Cluster) AnyNode() string {
	if len(c.Nodes) == 0 {
		return ""
	}
	gateway := func(n corev1.Node) int {
		if n.Labels[v1alpha1.LabelGateway] == "true" {
			return 1
		}
		return 0
	}
	first := slices.MinFunc(c.Nodes, func(a, b corev1.Node) int {
		return cmp.Or(cmp.Compare(gateway(a), gateway(b)), cmp.Compare(a.Name, b.Name))
	})
	return first.Name
}
