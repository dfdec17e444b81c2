package view

import (
	"cmp"
	"maps"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// PicturePrefix begins the keys of what Picture returns.
const PicturePrefix = "now/"

// lossy is from how much loss on an impaired pair is told, in percent: as the alert TomboloLinkLossy.
const lossy = 2

// Set is the clusterset as a whole.
type Set struct {
	ID       string `json:"id"`
	Asked    int    `json:"asked"`
	Clusters int    `json:"clusters"`
	Services int    `json:"services"`
	Errors   int    `json:"errors"`
	Warnings int    `json:"warnings"`
}

// Cluster is one member. Its remotes are in the Pairs.
type Cluster struct {
	topology.Cluster
	Trouble topology.Severity `json:"trouble,omitempty"`
}

// PairState sums up the links between two clusters.
type PairState string

// The states of pairs, the best first.
const (
	PairUp PairState = "Up"
	// PairImpaired carries traffic, but a link is not up, or packets are lost.
	PairImpaired PairState = "Impaired"
	// PairUnlinked has no link yet.
	PairUnlinked PairState = "Unlinked"
	PairDown     PairState = "Down"
)

// Pair is two clusters, and the links between them as each of them sees them.
type Pair struct {
	A               v1alpha1.ClusterID `json:"a"` // its ID sorts first
	B               v1alpha1.ClusterID `json:"b"`
	State           PairState          `json:"state"`
	RTTMilliseconds int32              `json:"rtt,omitempty"`
	LossPercent     int32              `json:"loss,omitempty"`
	LinksUp         int                `json:"linksUp"`
	LinksTotal      int                `json:"linksTotal"`
	Sides           []Side             `json:"sides"`
}

// Side is how the cluster From sees the other one.
type Side struct {
	From v1alpha1.ClusterID `json:"from"`
	topology.Remote
}

// Service is a Service in a list of many.
type Service struct {
	Namespace string               `json:"namespace"`
	Name      string               `json:"name"`
	Headless  bool                 `json:"headless,omitempty"`
	IPs       []string             `json:"ips,omitempty"`
	Ports     []string             `json:"ports,omitempty"`
	Exports   []topology.Export    `json:"exports,omitempty"`
	Imports   []v1alpha1.ClusterID `json:"imports,omitempty"`
	From      []topology.Exporter  `json:"from,omitempty"`
	Policy    string               `json:"policy,omitempty"`
	Conflict  bool                 `json:"conflict,omitempty"`
	Trouble   topology.Severity    `json:"trouble,omitempty"`
}

// Picture is all that the page shows of the topology at once.
func Picture(t topology.Topology) State {
	s := State{}
	troubles := troublesOf(t.Findings)
	set := Set{ID: t.ClusterSet, Clusters: len(t.Clusters), Services: len(t.Services)}
	for i := range t.Clusters {
		c := Cluster{Cluster: t.Clusters[i], Trouble: troubles["cluster "+string(t.Clusters[i].ID)]}
		if c.Context != "" {
			set.Asked++
		}
		c.Remotes = nil
		s.Put(c, "now/cluster", string(c.ID))
	}
	for _, p := range pairsOf(t.Clusters) {
		s.Put(p, "now/pair", string(p.A), string(p.B))
	}
	for i := range t.Services {
		of := serviceOf(&t.Services[i])
		of.Trouble = troubles[of.Namespace+"/"+of.Name]
		s.Put(of, "now/service", of.Namespace, of.Name)
	}
	for _, f := range t.Findings {
		if f.Severity == topology.SeverityError {
			set.Errors++
		} else {
			set.Warnings++
		}
		s.Put(f, "now/finding", string(f.Cluster), f.Kind, f.Namespace, f.Name, f.Condition)
	}
	s.Put(set, "now/set")
	return s
}

// troublesOf is the worst finding of each cluster, as "cluster east", and of each Service, as
// "namespace/name". What is wrong with a Service is no trouble of its cluster.
func troublesOf(findings []topology.Finding) map[string]topology.Severity {
	all := map[string]topology.Severity{}
	for _, f := range findings {
		key := "cluster " + string(f.Cluster)
		if f.Kind == "ServiceExport" || f.Kind == "ServiceImport" {
			key = f.Namespace + "/" + f.Name
		}
		if all[key] != topology.SeverityError {
			all[key] = f.Severity
		}
	}
	return all
}

// pairsOf are the pairs of clusters of which at least one knows the other, sorted.
func pairsOf(clusters []topology.Cluster) []Pair {
	type key struct{ a, b v1alpha1.ClusterID }
	pairs := map[key]*Pair{}
	for i := range clusters {
		for _, r := range clusters[i].Remotes {
			k := key{min(clusters[i].ID, r.ID), max(clusters[i].ID, r.ID)}
			if pairs[k] == nil {
				pairs[k] = &Pair{A: k.a, B: k.b}
			}
			pairs[k].Sides = append(pairs[k].Sides, Side{From: clusters[i].ID, Remote: r})
		}
	}
	all := make([]Pair, 0, len(pairs))
	for p := range maps.Values(pairs) {
		p.sum()
		all = append(all, *p)
	}
	slices.SortFunc(all, func(x, y Pair) int { return cmp.Or(cmp.Compare(x.A, y.A), cmp.Compare(x.B, y.B)) })
	return all
}

// sum fills in what the sides say together: the shortest round trip, the greatest loss, and the
// links of the side that has fewer of them up.
func (p *Pair) sum() {
	p.State = PairUp
	for i, s := range p.Sides {
		if s.RTTMilliseconds > 0 && (p.RTTMilliseconds == 0 || s.RTTMilliseconds < p.RTTMilliseconds) {
			p.RTTMilliseconds = s.RTTMilliseconds
		}
		if s.LossPercent != nil {
			p.LossPercent = max(p.LossPercent, *s.LossPercent)
		}
		if i == 0 || s.LinksTotal-s.LinksUp > p.LinksTotal-p.LinksUp {
			p.LinksUp, p.LinksTotal = s.LinksUp, s.LinksTotal
		}
		state := PairUp
		switch {
		case s.LinksTotal == 0:
			state = PairUnlinked
		case !s.Reachable:
			state = PairDown
		case s.LinksUp < s.LinksTotal || s.LossPercent != nil && *s.LossPercent >= lossy:
			state = PairImpaired
		}
		p.State = worse(p.State, state)
	}
}

func worse(a, b PairState) PairState {
	order := []PairState{PairUp, PairImpaired, PairUnlinked, PairDown}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}

// serviceOf sums up what the clusters say. Importers have the same picture as a rule; where they
// differ, the one with more endpoints counts.
func serviceOf(t *topology.Service) Service {
	s := Service{Namespace: t.Namespace, Name: t.Name, Exports: t.Exports}
	from := map[v1alpha1.ClusterID]topology.Exporter{}
	for _, e := range t.Exports {
		from[e.Cluster] = topology.Exporter{Cluster: e.Cluster}
		s.Conflict = s.Conflict || e.Conflict
	}
	for _, i := range t.Imports {
		s.Imports = append(s.Imports, i.Cluster)
		s.Headless = s.Headless || i.Type == "Headless"
		s.IPs, s.Ports = append(s.IPs, i.IPs...), append(s.Ports, i.Ports...)
		s.Policy = cmp.Or(s.Policy, i.Policy)
		for _, e := range i.From {
			if e.Endpoints >= from[e.Cluster].Endpoints {
				from[e.Cluster] = e
			}
		}
	}
	s.IPs, s.Ports = set(s.IPs), set(s.Ports)
	s.From = slices.SortedFunc(maps.Values(from), func(a, b topology.Exporter) int { return cmp.Compare(a.Cluster, b.Cluster) })
	return s
}

// set is each of the words once.
func set(words []string) []string {
	slices.Sort(words)
	return slices.Compact(words)
}
