// Package exporters owns which clusters' exports of a Service count in this cluster. A
// ServiceImport is merged from them (package serviceimport), and a ServiceExport may conflict with
// them (package serviceexport). It decides that an export is gone. It writes nothing.
package exporters

import (
	"context"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Exports are those of one Service, by all clusters. The zero value is none.
type Exports struct {
	// Present are those that the hub shows. Their ExportedAt is the age by which they are compared
	// (mcs.Sightings), and not what the exporter says.
	Present []v1alpha1.ExportedService
	// Held are clusters that this cluster imports from and that the hub no longer shows. It is not
	// certain that they stopped exporting: the hub may have lost something.
	Held []v1alpha1.ClusterID
	// NoMember are those of the held clusters that have no Member on the hub.
	NoMember []v1alpha1.ClusterID
	// Unconfirmed: some of the held clusters may have stopped, and their next heartbeat will say
	// so.
	Unconfirmed bool
	// Brief: there are held clusters, and all of them give heartbeats now. The next ones will say
	// whether they have stopped.
	Brief bool
	// Malformed are clusters that this cluster imports from and whose exports cannot be used as
	// they are now. What was imported from them stays, but the import is merged without them.
	Malformed []v1alpha1.ClusterID
	// Kept are those of the clusters with an export that is present whose Member does not let them export
	// from the namespace. The export counts because it is imported already, and would not come back.
	Kept []v1alpha1.ClusterID
	// Sightings are what is to be remembered for the ages of exports.
	Sightings mcs.Sightings
}

// None tells whether there is nothing to import.
func (e Exports) None() bool { return len(e.Present) == 0 && len(e.Held) == 0 && len(e.Malformed) == 0 }

// Clusters are all that count, sorted.
func (e Exports) Clusters() []v1alpha1.ClusterID {
	all := slices.Concat(e.Held, e.Malformed)
	for i := range e.Present {
		all = append(all, clusterset.SourceCluster(e.Present[i].Labels))
	}
	slices.Sort(all)
	return all
}

// Merge is what they merge into. have is the ServiceImport, nil if there is none. Without any that
// is present there is nothing to merge. The text is the value of the annotation
// v1alpha1.AnnotationPartialView, empty if none is needed.
func (e Exports) Merge(have *mcsv1beta1.ServiceImport) (mcs.Import, string) {
	if len(e.Held) == 0 || have == nil {
		return mcs.Merge(e.Present), ""
	}
	return mcs.PartialView{Have: have, Present: e.Present, Absent: e.Held, Sightings: e.Sightings, Brief: e.Brief}.Merge()
}

// hold adds a cluster that is held.
func (e *Exports) hold(cluster v1alpha1.ClusterID, why absence) {
	e.Brief = why == unconfirmed && (e.Brief || len(e.Held) == 0)
	e.Held = append(e.Held, cluster)
	e.Unconfirmed = e.Unconfirmed || why == unconfirmed || why == silent
	if why == noMember {
		e.NoMember = append(e.NoMember, cluster)
	}
}

// Of returns the exports of the Service that count. local reads this cluster's RemoteClusters. have
// is its ServiceImport, nil if there is none: what it does not import yet cannot be held. The cost
// depends on how many clusters export the Service, and not on how many members there are.
func Of(ctx context.Context, local client.Reader, view hub.View, service client.ObjectKey, have *mcsv1beta1.ServiceImport) (Exports, error) {
	var found Exports
	if view.Removed {
		return found, nil
	}
	exports, err := view.ExportsOf(ctx, service.Namespace, service.Name)
	if err != nil {
		return found, err
	}
	own, err := view.Member(ctx, view.Cluster)
	if err != nil {
		return found, err
	}
	for _, cluster := range candidates(exports, have) {
		imported := have != nil && mcs.ImportsFrom(have, cluster)
		export, why, err := exportOf(ctx, local, view, candidate{cluster, service, imported}, published(exports, cluster, service))
		switch {
		case err != nil:
			return Exports{}, err
		case export != nil && !forUs(export, cluster, view.Cluster, own): // as if it did not export
		case export != nil && screen.Export(export) == nil:
			found.Present = append(found.Present, *export)
		case export != nil && imported:
			found.Malformed = append(found.Malformed, cluster)
		case imported && why != gone:
			found.hold(cluster, why)
		}
	}
	if found.Kept, err = kept(ctx, view, service, found.Present); err != nil {
		return Exports{}, err
	}
	remembered := mcs.Remembered(have, found.Present)
	found.Sightings = remembered.With(found.Present)
	for i := range found.Present {
		found.Present[i].Spec.ExportedAt = remembered.AgeOf(&found.Present[i])
	}
	return found, nil
}

// kept are those of the exporters that could not export from this namespace now.
func kept(ctx context.Context, view hub.View, service client.ObjectKey, exports []v1alpha1.ExportedService) ([]v1alpha1.ClusterID, error) {
	if !clusterset.SystemNamespace(service.Namespace, "") {
		return nil, nil // so most exports need no Member
	}
	var clusters []v1alpha1.ClusterID
	for i := range exports {
		cluster := clusterset.SourceCluster(exports[i].Labels)
		member, err := view.Member(ctx, cluster)
		if err != nil {
			return nil, err
		}
		if member != nil && screen.Kept(member, service.Namespace) {
			clusters = append(clusters, cluster)
		}
	}
	return clusters, nil
}

// forUs tells whether the export is for this cluster, whose Member is own, nil if there is none. What
// the cluster says of its own export is certain: it need not confirm it.
func forUs(export *v1alpha1.ExportedService, from, us v1alpha1.ClusterID, own *v1alpha1.Member) bool {
	region := ""
	if own != nil {
		region = own.Spec.Region
	}
	return from == us || clusterset.InAudience(export.Spec.Audience, us, region)
}

// candidates are the clusters that may count: those that export, and those that are imported from.
func candidates(exports []v1alpha1.ExportedService, have *mcsv1beta1.ServiceImport) []v1alpha1.ClusterID {
	var ids []v1alpha1.ClusterID
	for i := range exports {
		ids = append(ids, clusterset.SourceCluster(exports[i].Labels))
	}
	if have != nil {
		for _, s := range have.Status.Clusters {
			ids = append(ids, v1alpha1.ClusterID(s.Cluster))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// published is the cluster's export of the Service, under the one name that it may have; nil if
// there is none.
func published(exports []v1alpha1.ExportedService, cluster v1alpha1.ClusterID, service client.ObjectKey) *v1alpha1.ExportedService {
	name := clusterset.HubName(cluster, service.Namespace, service.Name)
	i := slices.IndexFunc(exports, func(e v1alpha1.ExportedService) bool {
		return e.Name == name && clusterset.SourceCluster(e.Labels) == cluster
	})
	if i < 0 {
		return nil
	}
	return &exports[i]
}

// absence is what is known of a cluster whose export is not there, or does not count.
type absence int

const (
	gone        absence = iota // it does not export
	unknown                    // what was imported stays
	noMember                   // the hub has no Member for it, which removes nothing
	unconfirmed                // what was imported stays until the cluster's heartbeat says that it has gone
	silent                     // the same, but the cluster gives no heartbeat now
)

// candidate is a cluster that may export the Service. imported: this cluster imports it from there.
type candidate struct {
	cluster  v1alpha1.ClusterID
	service  client.ObjectKey
	imported bool
}

// exportOf returns the candidate's export if it counts, else why it is absent. What is not imported
// needs no confirmation.
func exportOf(ctx context.Context, local client.Reader, view hub.View, c candidate, export *v1alpha1.ExportedService) (*v1alpha1.ExportedService, absence, error) {
	member, err := view.Member(ctx, c.cluster)
	if err != nil || member == nil {
		return nil, noMember, err
	}
	if member.Spec.Removed || screen.Namespace(member, c.service.Namespace, c.service.Name, c.imported) != nil {
		return nil, gone, nil
	}
	accepted, err := accepted(ctx, local, view, c.cluster)
	if err != nil || !accepted {
		return nil, unknown, err
	}
	if export != nil && !c.imported {
		if within, err := view.WithinBudget(ctx, c.cluster, export.Name); err != nil || !within {
			return nil, gone, err
		}
	}
	if export != nil || !c.imported {
		return export, gone, nil
	}
	why, err := confirmation(ctx, view, c)
	return nil, why, err
}

// confirmation is what the cluster's heartbeat says of an export that the hub did not show.
func confirmation(ctx context.Context, view hub.View, c candidate) (absence, error) {
	if confirmed, err := view.Confirms(ctx, c.cluster, clusterset.HubName(c.cluster, c.service.Namespace, c.service.Name)); err != nil || confirmed {
		return gone, err
	}
	if live, err := view.Live(ctx, c.cluster); err != nil || !live {
		return silent, err
	}
	return unconfirmed, nil
}

// accepted tells whether the cluster's addresses are in use here: its RemoteCluster has some.
func accepted(ctx context.Context, local client.Reader, view hub.View, cluster v1alpha1.ClusterID) (bool, error) {
	if cluster == view.Cluster {
		return true, nil
	}
	remote, err := optional.Get[v1alpha1.RemoteCluster](ctx, local, client.ObjectKey{Name: string(cluster)})
	return remote != nil && len(remote.Spec.CIDRs) > 0, err
}
