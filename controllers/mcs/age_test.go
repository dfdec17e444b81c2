package mcs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// shownAt is an export that says exportedAt, in an object that the hub made at shown.
func shownAt(cluster v1alpha1.ClusterID, exportedAt, shown int64) v1alpha1.ExportedService {
	e := exportBy(cluster, int(exportedAt), nil)
	e.CreationTimestamp = metav1.NewTime(time.Unix(shown, 0))
	return e
}

func importOf(sightings *Sightings, clusters ...v1alpha1.ClusterID) *mcsv1beta1.ServiceImport {
	si := &mcsv1beta1.ServiceImport{Status: mcsv1beta1.ServiceImportStatus{Clusters: ClusterStatuses(clusters)}}
	if sightings != nil {
		si.Annotations = map[string]string{v1alpha1.AnnotationFirstShown: sightings.String()}
	}
	return si
}

func TestAgeOf(t *testing.T) {
	memory := func(exportedAt, shown int64) *Sightings { return &Sightings{"east": {exportedAt, shown}} }
	for _, test := range []struct {
		name              string
		have              *mcsv1beta1.ServiceImport
		exportedAt, shown int64
		want              int64
	}{
		{"honest", nil, 100, 101, 101},
		{"says that it is older than all", nil, 0, 101, 101},
		{"the export is younger than its object on the hub", nil, 200, 101, 200},
		{"the hub was wiped", importOf(memory(100, 101), "east"), 100, 500, 101},
		{"the hub was wiped, and it says that it is older", importOf(memory(100, 101), "east"), 5, 500, 500},
		{"it says that it is older", importOf(memory(100, 101), "east"), 5, 101, 101},
		{"exported again", importOf(memory(100, 101), "east"), 300, 301, 301},
		{"exported again while the hub was away", importOf(memory(100, 101), "east"), 300, 101, 300},
		{"it left and came back with the same ServiceExport", importOf(memory(100, 101)), 100, 500, 101},
		{"restored from a backup", importOf(memory(100, 500), "east"), 100, 101, 101},
		{"imported by an older version", importOf(nil, "east"), 100, 500, 100},
		{"not imported by an older version", importOf(nil, "west"), 100, 500, 500},
		{"memory of another", importOf(&Sightings{"west": {100, 101}}, "east"), 100, 500, 500},
	} {
		t.Run(test.name, func(t *testing.T) {
			exports := []v1alpha1.ExportedService{shownAt("east", test.exportedAt, test.shown)}
			if got := Remembered(test.have, exports).AgeOf(&exports[0]); got.Unix() != test.want {
				t.Errorf("got %d, want %d", got.Unix(), test.want)
			}
		})
	}
}

// order is the clusters, oldest first.
func order(remembered Sightings, exports []v1alpha1.ExportedService) []v1alpha1.ClusterID {
	var ids []v1alpha1.ClusterID
	aged := copyOf(exports)
	for i := range aged {
		aged[i].Spec.ExportedAt = remembered.AgeOf(&aged[i])
	}
	for _, e := range slices.SortedFunc(slices.Values(aged), byAge) {
		ids = append(ids, clusterset.SourceCluster(e.Labels))
	}
	return ids
}

// An exporter may say and do what it likes, over and over: its export never becomes older than the
// first object with it on the hub, nor older than one that was there before it.
func TestAgeProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		victim := shownAt("victim", 1000, 1001)
		remembered := Sightings{}.With([]v1alpha1.ExportedService{victim})
		first := int64(1002 + r.IntN(100))
		for now := first; now < first+20; now++ {
			liar := shownAt("a-liar", int64(r.IntN(2000)), now)
			both := []v1alpha1.ExportedService{liar, victim}
			if age := remembered.AgeOf(&liar); age.Unix() < first {
				t.Fatalf("it is of %d, and was first shown at %d; memory %s", age.Unix(), first, remembered)
			}
			if got := order(remembered, both); got[0] != "victim" {
				t.Fatalf("order %v with memory %s and %+v", got, remembered, liar)
			}
			if diff := cmp.Diff(remembered.With(both), remembered.With([]v1alpha1.ExportedService{victim, liar})); diff != "" {
				t.Fatalf("what is remembered depends on the order:\n%s", diff)
			}
			remembered = parseSightings(remembered.With(both).String()) // as the annotation holds it
		}
	}
}

// A hub that is wiped and filled again, in any order, flips no winner, whether an importer saw all
// of it or was away. Who saw different parts of it comes to the same order.
func TestAgeOverWipedHubs(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var exports []v1alpha1.ExportedService
		for i := range 2 + r.IntN(4) {
			at := int64(1000 + r.IntN(50))
			exports = append(exports, shownAt(v1alpha1.ClusterID(fmt.Sprint("c", i)), at, at+int64(r.IntN(3))))
		}
		present := Sightings{}.With(exports)
		away := present
		before := order(present, exports)
		for wipe := range 3 {
			for i := range exports {
				exports[i].CreationTimestamp = metav1.NewTime(time.Unix(int64(2000+1000*wipe+r.IntN(500)), 0))
				present = present.With(exports[i : i+1])
			}
			if got := order(present, exports); !slices.Equal(got, before) {
				t.Fatalf("wiped %d times: order %v, was %v", wipe+1, got, before)
			}
			if got := order(away, exports); !slices.Equal(got, before) {
				t.Fatalf("who was away has %v, was %v", got, before)
			}
		}
	}
}

func FuzzSightings(f *testing.F) {
	f.Add("east=1/2,west=3/4")
	f.Add(",=,/,east=a/b,east=1,=1/2")
	f.Fuzz(func(t *testing.T, text string) {
		s := parseSightings(text)
		if diff := cmp.Diff(s, parseSightings(s.String())); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
