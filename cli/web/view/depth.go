package view

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/explain"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// mostEndpoints is how many endpoints of a port the page lists.
const mostEndpoints = 200

// Depth is one Service in depth.
type Depth struct {
	topology.Service
	Findings []topology.Finding `json:"findings,omitempty"`
	// Flows from each cluster that was asked and imports the Service.
	Flows []Flow `json:"flows,omitempty"`
	// IfDown is the cluster without which Without is planned; empty: none.
	IfDown  v1alpha1.ClusterID `json:"ifDown,omitempty"`
	Without []Flow             `json:"without,omitempty"`
	// CanGo are the clusters that could go.
	CanGo []v1alpha1.ClusterID `json:"canGo,omitempty"`
}

// Flow is where a node of a cluster sends new flows.
type Flow struct {
	From v1alpha1.ClusterID `json:"from"`
	// Node that stands for all of the cluster, and its zone.
	Node string `json:"node,omitempty"`
	Zone string `json:"zone,omitempty"`
	// Policy in effect; nil: none.
	Policy *v1alpha1.TrafficPolicySpec `json:"policy,omitempty"`
	// Headless: clients choose among the endpoints themselves.
	Headless bool   `json:"headless,omitempty"`
	Ports    []Port `json:"ports,omitempty"`
	// Skipped is what of the ServiceImport cannot be served, and why.
	Skipped []string `json:"skipped,omitempty"`
}

// Port is one port of one clusterset IP.
type Port struct {
	explain.Port
	// Shares of new flows by cluster, the greatest first.
	Shares []Share `json:"shares"`
	// MoreEndpoints are not listed.
	MoreEndpoints int `json:"moreEndpoints,omitempty"`
}

// Share is the part of new flows that a cluster's endpoints get.
type Share struct {
	Cluster v1alpha1.ClusterID `json:"cluster"`
	Percent float64            `json:"percent"`
}

// DepthOf shows a Service. down is a cluster without which flows are planned, too; empty: none. It is
// nil if no cluster has the Service.
func DepthOf(snapshots []topology.Snapshot, t topology.Topology, name types.NamespacedName, down v1alpha1.ClusterID, now time.Time) *Depth {
	i := slices.IndexFunc(t.Services, func(s topology.Service) bool { return s.Namespace == name.Namespace && s.Name == name.Name })
	if i < 0 {
		return nil
	}
	d := &Depth{Service: t.Services[i], IfDown: down}
	for _, f := range t.Findings {
		if f.Namespace == name.Namespace && f.Name == name.Name {
			d.Findings = append(d.Findings, f)
		}
	}
	for _, c := range t.Clusters {
		d.CanGo = append(d.CanGo, c.ID)
	}
	for i := range snapshots {
		c := explain.Cluster{Snapshot: snapshots[i]}
		if f, ok := flowOf(&c, name, "", now); ok {
			d.Flows = append(d.Flows, f)
		}
		if down == "" || c.ID() == down {
			continue
		}
		if f, ok := flowOf(&c, name, down, now); ok {
			d.Without = append(d.Without, f)
		}
	}
	byFrom := func(a, b Flow) int { return cmp.Compare(a.From, b.From) }
	slices.SortFunc(d.Flows, byFrom)
	slices.SortFunc(d.Without, byFrom)
	return d
}

// flowOf is false if the cluster does not import the Service.
func flowOf(c *explain.Cluster, name types.NamespacedName, down v1alpha1.ClusterID, now time.Time) (Flow, bool) {
	i := slices.IndexFunc(c.Imports, func(si mcsv1beta1.ServiceImport) bool { return si.Namespace == name.Namespace && si.Name == name.Name })
	if i < 0 {
		return Flow{}, false
	}
	f := Flow{From: c.ID(), Node: c.AnyNode(), Headless: c.Imports[i].Spec.Type == mcsv1beta1.Headless}
	for j := range c.Nodes {
		if c.Nodes[j].Name == f.Node {
			f.Zone = c.Nodes[j].Labels[corev1.LabelTopologyZone]
		}
	}
	var policies []*v1alpha1.TrafficPolicy
	for j := range c.TrafficPolicies {
		policies = append(policies, &c.TrafficPolicies[j])
	}
	if p := clusterset.PolicyFor(&c.Imports[i], policies); p != nil {
		f.Policy = &p.Spec
	}
	decision := c.Planned(name, f.Node, down, now)
	if decision == nil || f.Headless {
		return f, true
	}
	for _, p := range decision.Ports {
		f.Ports = append(f.Ports, portOf(p))
	}
	for _, s := range decision.Skipped {
		f.Skipped = append(f.Skipped, fmt.Sprintf("%s: %s", s.What, s.Why))
	}
	return f, true
}

func portOf(p explain.Port) Port {
	weights, sum := map[v1alpha1.ClusterID]uint64{}, uint64(0)
	for _, e := range p.Endpoints {
		weights[e.Cluster] += uint64(e.Weight)
		sum += uint64(e.Weight)
	}
	port := Port{Port: p, Shares: []Share{}}
	for _, id := range slices.Sorted(maps.Keys(weights)) {
		if sum > 0 && weights[id] > 0 {
			port.Shares = append(port.Shares, Share{id, math.Round(1000*float64(weights[id])/float64(sum)) / 10})
		}
	}
	slices.SortStableFunc(port.Shares, func(a, b Share) int { return cmp.Compare(b.Percent, a.Percent) })
	if more := len(p.Endpoints) - mostEndpoints; more > 0 {
		all := slices.Clone(p.Endpoints)[:0]
		for _, getsFlows := range []bool{true, false} { // those that do are shown first
			for _, e := range p.Endpoints {
				if getsFlows == (e.Weight > 0) {
					all = append(all, e)
				}
			}
		}
		port.Endpoints, port.MoreEndpoints = all[:mostEndpoints], more
	}
	return port
}
