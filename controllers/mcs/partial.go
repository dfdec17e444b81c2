package mcs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// PartialView is what an importer knows while the hub does not show all exports that it imports.
type PartialView struct {
	Have    *mcsv1beta1.ServiceImport  // required: what is imported
	Present []v1alpha1.ExportedService // at least one, with their ages (Sightings.AgeOf)
	// Absent are the other clusters that are imported from. Whether they still export is not known.
	Absent    []v1alpha1.ClusterID // at least one
	Sightings Sightings            // of all of them
	// Brief: the absent clusters live, and will say in a moment whether they still export.
	Brief bool
}

// Merge unites the exports that are present with what the import is, which stands for those that are
// absent. That stand-in is as old as the oldest of them. So the import stays as it is while present
// clusters say what they said before: the hub may just be filled again, Member by Member.
//
// What they say anew counts more than what an absent cluster said, even if its export is older: it
// may be dead, and its Member deleted. But nothing that the absent cluster may need is taken away:
// ports and families that do not collide stay.
//
// It returns the value of the annotation AnnotationPartialView, too; empty: none.
func (v PartialView) Merge() (Import, string) {
	standIn := v.standIn()
	now := Merge(v.Present)
	memory, known := v.remembered()
	if !known {
		memory = newMemory(v.Have, &now)
	}
	memory.hear(&now)
	standIn.Spec.Ports = memory.Ports
	united := v.with(standIn)
	united.Spec.IPFamilies = joined(v.Have.Spec.IPFamilies, united.Spec.IPFamilies)
	standIn.Spec.ExportedAt = metav1.NewTime(time.Unix(youngest, 0))
	yielding := v.with(standIn)
	yielding.Spec.IPFamilies = joined(yielding.Spec.IPFamilies, v.Have.Spec.IPFamilies)
	for _, f := range importFields {
		if memory.Said[f.name] == anew {
			f.take(&united, &yielding)
		}
	}
	if !known && v.Brief {
		return united, ""
	}
	return united, memory.String()
}

// with merges what is present with one more export.
func (v PartialView) with(standIn v1alpha1.ExportedService) Import {
	return Merge(append(slices.Clone(v.Present), standIn))
}

// joined are the families of the first, then those that only the second has.
func joined(first, second []corev1.IPFamily) []corev1.IPFamily {
	all := slices.Clone(first)
	for _, f := range second {
		if !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	return all
}

// youngest is later than any export, in seconds since 1970.
const youngest = 1 << 40

// standIn is an export that says what the import is, as old as the oldest of the absent ones. One
// that was never seen counts as the oldest.
func (v PartialView) standIn() v1alpha1.ExportedService {
	cluster, since := v.Absent[0], int64(youngest)
	for _, id := range v.Absent {
		seen := v.Sightings[id]
		if at := max(seen.ExportedAt, seen.Shown); at < since || at == since && id < cluster {
			cluster, since = id, at
		}
	}
	own := parseOwnFields(v.Have.ManagedFields)
	standIn := exportOf(Import{
		Spec: v.Have.Spec, Labels: pick(v.Have.Labels, own.labels), Annotations: pick(v.Have.Annotations, own.annotations),
	}, cluster)
	standIn.Spec.ExportedAt = metav1.NewTime(time.Unix(since, 0))
	return standIn
}

func pick(all map[string]string, keys []string) map[string]string {
	picked := maps.Clone(all)
	maps.DeleteFunc(picked, func(key, _ string) bool { return !slices.Contains(keys, key) })
	return picked
}

// anew, in place of a digest, says that the present clusters have changed the field.
const anew = "anew"

// memory is the annotation AnnotationPartialView.
type memory struct {
	Present []v1alpha1.ClusterID `json:"present"` // sorted
	// Ports of the import when the present clusters were these for the first time.
	Ports []mcsv1beta1.ServicePort `json:"ports"`
	// Said is, for each field, a digest of what the present clusters merged into then; or anew.
	Said map[string]string `json:"said"`
}

// remembered reads the annotation. It speaks of the time since the present clusters are these.
func (v PartialView) remembered() (memory, bool) {
	var m memory
	if json.Unmarshal([]byte(v.Have.Annotations[v1alpha1.AnnotationPartialView]), &m) != nil {
		return memory{}, false
	}
	var present []v1alpha1.ClusterID
	for i := range v.Present {
		present = append(present, clusterset.SourceCluster(v.Present[i].Labels))
	}
	slices.Sort(present)
	return m, slices.Equal(m.Present, present) && m.Said != nil
}

func newMemory(have *mcsv1beta1.ServiceImport, now *Import) memory {
	m := memory{Present: now.Clusters, Ports: have.Spec.Ports, Said: map[string]string{}}
	for _, f := range importFields {
		m.Said[f.name] = digest(f.value(now))
	}
	return m
}

// hear notes which fields the present clusters have changed.
func (m memory) hear(now *Import) {
	for _, f := range importFields {
		if m.Said[f.name] != digest(f.value(now)) {
			m.Said[f.name] = anew
		}
	}
}

func (m memory) String() string {
	text, err := json.Marshal(m)
	if err != nil { // never: it holds strings and numbers
		return ""
	}
	return string(text)
}

func digest(value any) string {
	text, err := json.Marshal(value)
	if err != nil { // never
		return err.Error()
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:4])
}

// importField is a field of an import that is decided as a whole.
type importField struct {
	name  string
	value func(*Import) any
	take  func(into, from *Import)
}

var importFields = []importField{
	{"type", func(i *Import) any { return i.Spec.Type }, func(into, from *Import) { into.Spec.Type = from.Spec.Type }},
	{"ports", func(i *Import) any { return i.Spec.Ports }, func(into, from *Import) { into.Spec.Ports = from.Spec.Ports }},
	{"ipFamilies", func(i *Import) any { return i.Spec.IPFamilies }, func(into, from *Import) { into.Spec.IPFamilies = from.Spec.IPFamilies }},
	{"sessionAffinity", func(i *Import) any { return []any{i.Spec.SessionAffinity, i.Spec.SessionAffinityConfig} }, func(into, from *Import) {
		into.Spec.SessionAffinity, into.Spec.SessionAffinityConfig = from.Spec.SessionAffinity, from.Spec.SessionAffinityConfig
	}},
	{"internalTrafficPolicy", func(i *Import) any { return i.Spec.InternalTrafficPolicy }, func(into, from *Import) {
		into.Spec.InternalTrafficPolicy = from.Spec.InternalTrafficPolicy
	}},
	{"trafficDistribution", func(i *Import) any { return i.Spec.TrafficDistribution }, func(into, from *Import) {
		into.Spec.TrafficDistribution = from.Spec.TrafficDistribution
	}},
	{"labels", func(i *Import) any { return i.Labels }, func(into, from *Import) { into.Labels = from.Labels }},
	{"annotations", func(i *Import) any { return i.Annotations }, func(into, from *Import) { into.Annotations = from.Annotations }},
}
