package explain

import (
	"fmt"
	"slices"

	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// Of follows the name. Hops after one that failed are not looked at.
func Of(f Facts) Answer {
	w := newWalk(&f)
	for _, step := range []struct {
		name string
		look func(*walk)
	}{
		{"export", (*walk).export}, {"service", (*walk).service}, {"endpoints", (*walk).endpoints}, {"hub", (*walk).hub},
		{"import", (*walk).imports}, {"clusterset-ip", (*walk).clustersetIP}, {"dns", (*walk).dns}, {"node", (*walk).node},
		{"gateway", (*walk).gateway}, {"link", (*walk).link}, {"filter", (*walk).filter}, {"endpoint", (*walk).endpoint},
	} {
		if w.cause != nil {
			w.hops = append(w.hops, Hop{Name: step.name, State: NotLookedAt})
			continue
		}
		w.at = step.name
		step.look(w)
		if i := slices.IndexFunc(w.hops, func(h Hop) bool { return h.State == Failed }); i >= 0 {
			cause := w.hops[i]
			w.cause = &cause
		}
	}
	return Answer{Name: f.Name.String(), Client: f.Client, Hops: w.hops, Cause: w.cause, Decision: w.decision, IfDown: ifDown(w)}
}

// walk is how far the name has been followed.
type walk struct {
	*Facts
	// client is the client's cluster, and picture what the clusters show.
	client  *Cluster
	picture topology.Topology
	// imported is the client's ServiceImport, nil if there is none.
	imported *mcsv1beta1.ServiceImport
	// exporters are the clusters that contribute, as far as was found; asked ones that do not
	// contribute are taken out on the way.
	exporters []v1alpha1.ClusterID
	// decision is where the client's node sends flows; nil: not known.
	decision *plan.Explained

	at    string // the hop that is being looked at
	hops  []Hop
	cause *Hop
}

func newWalk(f *Facts) *walk {
	w := &walk{Facts: f, client: &f.Clusters[0]}
	snapshots := make([]topology.Snapshot, 0, len(f.Clusters))
	for i := range f.Clusters {
		snapshots = append(snapshots, f.Clusters[i].Snapshot)
	}
	w.picture = topology.Of(snapshots)
	w.imported = w.client.imported(f.Name.Key())
	return w
}

// say adds a hop in that cluster.
func (w *walk) say(state State, cluster v1alpha1.ClusterID, looked, format string, args ...any) {
	w.hops = append(w.hops, Hop{Name: w.at, Cluster: cluster, Looked: looked, State: state, Message: fmt.Sprintf(format, args...)})
}

// finding adds a hop for what is not right.
func (w *walk) finding(state State, f topology.Finding) {
	message := f.Message
	if f.Reason != "" {
		message = f.Condition + " (" + f.Reason + "): " + message
	}
	w.say(state, f.Cluster, object(f.Kind, f.Namespace, f.Name), "%s", message)
}

// findings are those of the cluster's objects of that kind. name is empty for all of them, and namespace
// counts with a name only.
func (w *walk) findings(cluster v1alpha1.ClusterID, kind, namespace, name string) (all []topology.Finding) {
	for _, f := range w.picture.Findings {
		if f.Cluster == cluster && f.Kind == kind && (name == "" || f.Name == name && f.Namespace == namespace) {
			all = append(all, f)
		}
	}
	return all
}

// worst is Failed if one of them is an error, else Warning.
func worst(all []topology.Finding) State {
	if slices.ContainsFunc(all, func(f topology.Finding) bool { return f.Severity == topology.SeverityError }) {
		return Failed
	}
	return Warning
}

// object is how messages call an object.
func object(kind, namespace, name string) string {
	switch {
	case name == "":
		return kind
	case namespace == "":
		return kind + " " + name
	}
	return kind + " " + namespace + "/" + name
}

// mine is how messages call the object of the name itself.
func (w *walk) mine(kind string) string {
	return object(kind, w.Name.Namespace, w.Name.Service)
}

// asked is the cluster, if it was asked and answered; else nil.
func (w *walk) asked(id v1alpha1.ClusterID) *Cluster {
	for i := range w.Clusters {
		if c := &w.Clusters[i]; c.ID() == id && c.Unreadable == "" && c.ClusterSet != nil {
			return c
		}
	}
	return nil
}

// ID is the cluster's ID, or what the user calls it if it has none.
func (c *Cluster) ID() v1alpha1.ClusterID {
	if c.ClusterSet != nil {
		return c.ClusterSet.Spec.ClusterID
	}
	return v1alpha1.ClusterID(c.Context)
}

// remote returns the RemoteCluster of that ID, nil if there is none.
func (c *Cluster) remote(id v1alpha1.ClusterID) *v1alpha1.RemoteCluster {
	for i := range c.RemoteClusters {
		if c.RemoteClusters[i].Name == string(id) {
			return &c.RemoteClusters[i]
		}
	}
	return nil
}

// notAsked are the members that the client's cluster knows and that nobody asked.
func (w *walk) notAsked() (ids []v1alpha1.ClusterID) {
	for i := range w.client.RemoteClusters {
		if id := v1alpha1.ClusterID(w.client.RemoteClusters[i].Name); w.asked(id) == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// headless tells whether the name has no clusterset IP.
func (w *walk) headless() bool {
	return w.imported != nil && w.imported.Spec.Type == mcsv1beta1.Headless
}

// importedFrom counts the client's imported endpoints of that cluster.
func (w *walk) importedFrom(id v1alpha1.ClusterID) topology.Exporter {
	for _, s := range w.picture.Services {
		if s.Namespace != w.Name.Namespace || s.Name != w.Name.Service {
			continue
		}
		for _, i := range s.Imports {
			for _, e := range i.From {
				if i.Cluster == w.client.ID() && e.Cluster == id {
					return e
				}
			}
		}
	}
	return topology.Exporter{Cluster: id}
}

// exported tells whether the client's ServiceImport names the cluster.
func (w *walk) exported(id v1alpha1.ClusterID) bool {
	return w.imported != nil && slices.Contains(clusterset.Exporters(w.imported), string(id))
}
