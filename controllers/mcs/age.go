package mcs

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Sighting is when the hub first showed a cluster's export, as far as one importer knows. Times are
// seconds since 1970.
type Sighting struct {
	// ExportedAt is the creationTimestamp of the ServiceExport, in its cluster's own words. An
	// export with another one is another export.
	ExportedAt int64
	// Shown is the creationTimestamp of the first ExportedService with it, which the hub's API
	// server sets.
	Shown int64
}

// Sightings are what an importer remembers of the exports of one Service, one for each cluster. It
// keeps them in an annotation of the ServiceImport for as long as that exists, also of clusters that
// export no more: a cluster that comes back with the same ServiceExport is as old as before, for
// those who saw it leave and for those who did not.
//
// Without this memory a hub that was wiped, and filled again by its members, would make exports
// compete anew for being the oldest.
type Sightings map[v1alpha1.ClusterID]Sighting

// AgeOf is the one rule for the age of an export, by which conflicts are decided (KEP-1645:
// the oldest ServiceExport wins). An export is as old as its ServiceExport says, but no older than
// the hub has shown it. The first is the exporter's own word, and alone would let it be older than
// any other. The second is the hub's clock, the same for all importers. An importer that has seen
// the export on the hub before, under the same ServiceExport, counts from there.
func (s Sightings) AgeOf(export *v1alpha1.ExportedService) metav1.Time {
	seen := s.see(export)
	return metav1.NewTime(time.Unix(max(seen.ExportedAt, seen.Shown), 0))
}

// With returns the sightings after these exports have been seen. It does not change s.
func (s Sightings) With(exports []v1alpha1.ExportedService) Sightings {
	after := maps.Clone(s)
	if after == nil {
		after = Sightings{}
	}
	for i := range exports {
		after[clusterset.SourceCluster(exports[i].Labels)] = s.see(&exports[i])
	}
	return after
}

// see is the sighting of the export as the hub shows it now.
func (s Sightings) see(export *v1alpha1.ExportedService) Sighting {
	now := Sighting{ExportedAt: export.Spec.ExportedAt.Unix(), Shown: export.CreationTimestamp.Unix()}
	before, known := s[clusterset.SourceCluster(export.Labels)]
	if known && before.ExportedAt == now.ExportedAt {
		now.Shown = min(now.Shown, before.Shown)
	}
	return now
}

// Remembered are the sightings in the ServiceImport, nil if there is none. An older version did not
// write them, and believed what exporters said: what the ServiceImport is made of stays as old as
// that version took it for, so that an upgrade turns no Service into another one. It ignores what it
// cannot read.
func Remembered(have *mcsv1beta1.ServiceImport, exports []v1alpha1.ExportedService) Sightings {
	remembered := Sightings{}
	if have == nil {
		return remembered
	}
	if text, written := have.Annotations[v1alpha1.AnnotationFirstShown]; written {
		return parseSightings(text)
	}
	for i := range exports {
		if cluster := clusterset.SourceCluster(exports[i].Labels); ImportsFrom(have, cluster) {
			at := exports[i].Spec.ExportedAt.Unix()
			remembered[cluster] = Sighting{ExportedAt: at, Shown: at}
		}
	}
	return remembered
}

// OldestOf is the cluster with the oldest export of those that the ServiceImport imports from, as far
// as it remembers. One whose status does not say yet from where it imports has all that it remembers.
// It is empty if there is none.
func OldestOf(have *mcsv1beta1.ServiceImport) v1alpha1.ClusterID {
	ages := parseSightings(have.Annotations[v1alpha1.AnnotationFirstShown])
	clusters := slices.Sorted(maps.Keys(ages))
	if len(have.Status.Clusters) > 0 {
		clusters = nil
	}
	for _, status := range have.Status.Clusters {
		clusters = append(clusters, v1alpha1.ClusterID(status.Cluster))
	}
	var oldest v1alpha1.ClusterID
	for _, cluster := range clusters {
		if a, b := ages[cluster], ages[oldest]; oldest == "" || max(a.ExportedAt, a.Shown) < max(b.ExportedAt, b.Shown) {
			oldest = cluster
		}
	}
	return oldest
}

// String is the annotation's value: east=1767225600/1767225601,west=... by cluster.
func (s Sightings) String() string {
	var texts []string
	for _, cluster := range slices.Sorted(maps.Keys(s)) {
		texts = append(texts, string(cluster)+"="+strconv.FormatInt(s[cluster].ExportedAt, 10)+"/"+strconv.FormatInt(s[cluster].Shown, 10))
	}
	return strings.Join(texts, ",")
}

func parseSightings(text string) Sightings {
	s := Sightings{}
	for _, item := range strings.Split(text, ",") {
		cluster, times, _ := strings.Cut(item, "=")
		exported, shown, _ := strings.Cut(times, "/")
		exportedAt, err1 := strconv.ParseInt(exported, 10, 64)
		shownAt, err2 := strconv.ParseInt(shown, 10, 64)
		if cluster != "" && err1 == nil && err2 == nil {
			s[v1alpha1.ClusterID(cluster)] = Sighting{exportedAt, shownAt}
		}
	}
	return s
}
