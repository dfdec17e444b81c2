package mcs

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// asWritten is the import as an API server has it, with its record of what tombolo wrote.
func asWritten(t *testing.T, merged Import, partialView string) *mcsv1beta1.ServiceImport {
	t.Helper()
	have := ServiceImportFor("shop", "web", merged, nil)
	if partialView != "" {
		metav1.SetMetaDataAnnotation(&have.ObjectMeta, v1alpha1.AnnotationPartialView, partialView)
	}
	owned := func(all map[string]string) map[string]any {
		fields := map[string]any{}
		for key := range all {
			fields["f:"+key] = map[string]any{}
		}
		return fields
	}
	text, err := json.Marshal(map[string]any{"f:metadata": map[string]any{"f:labels": owned(have.Labels), "f:annotations": owned(have.Annotations)}})
	if err != nil {
		t.Fatal(err)
	}
	have.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: FieldOwner, FieldsV1: metav1.NewFieldsV1(string(text))}}
	return have
}

// A hub that shows only a part of what it showed changes no import, whichever part, and however often
// the part changes: it may be one that is filled again.
func TestPartialViewChangesNothing(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		exports := randomExports(r)
		sightings := Sightings{}.With(exports)
		for i := range exports {
			exports[i].Spec.ExportedAt = sightings.AgeOf(&exports[i])
		}
		whole := Merge(exports)
		have := asWritten(t, whole, "")
		for range 3 {
			view := PartialView{Have: have, Sightings: sightings, Brief: r.IntN(4) == 0}
			for i := range exports {
				if r.IntN(2) == 0 {
					view.Present = append(view.Present, exports[i])
				} else {
					view.Absent = append(view.Absent, clusterset.SourceCluster(exports[i].Labels))
				}
			}
			if len(view.Present) == 0 || len(view.Absent) == 0 {
				continue
			}
			got, memory := view.Merge()
			if diff := cmp.Diff(whole, got, cmpopts.IgnoreFields(Import{}, "Clusters"), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("seed %d: without %v the import changes (-whole +partial):\n%s\n%+v", seed, view.Absent, diff, exports)
			}
			have = asWritten(t, got, memory)
		}
	}
}

// What the present clusters say anew counts, all of it: only ports and families that collide with
// nothing stay for the absent ones.
func TestPartialViewFollowsWhatIsNew(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 2))
		exports := randomExports(r)
		if len(exports) < 2 {
			continue
		}
		sightings := Sightings{}.With(exports)
		for i := range exports {
			exports[i].Spec.ExportedAt = sightings.AgeOf(&exports[i])
		}
		view := PartialView{
			Have: asWritten(t, Merge(exports), ""), Sightings: sightings,
			Present: exports[:1], Absent: []v1alpha1.ClusterID{clusterset.SourceCluster(exports[1].Labels)},
		}
		before, memory := view.Merge()
		view.Have = asWritten(t, before, memory)
		was := Merge(view.Present)
		at := view.Present[0].Spec.ExportedAt
		randomSpec(r, &view.Present[0].Spec)
		view.Present[0].Spec.ExportedAt = at
		now := Merge(view.Present)
		got, _ := view.Merge()
		if n := len(now.Spec.Ports); !cmp.Equal(was.Spec.Ports, now.Spec.Ports) && (len(got.Spec.Ports) < n || !cmp.Equal(now.Spec.Ports, got.Spec.Ports[:n])) {
			t.Fatalf("seed %d: ports are %+v, but the present cluster says %+v now", seed, got.Spec.Ports, now.Spec.Ports)
		}
		if was.Spec.Type != now.Spec.Type && got.Spec.Type != now.Spec.Type {
			t.Fatalf("seed %d: the type is %s", seed, got.Spec.Type)
		}
		if !maps.Equal(was.Labels, now.Labels) && !maps.Equal(got.Labels, now.Labels) {
			t.Fatalf("seed %d: labels are %v, but the present cluster says %v now", seed, got.Labels, now.Labels)
		}
	}
}
