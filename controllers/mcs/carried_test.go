package mcs

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Labels and annotations that steer programs stay in their cluster, and do not count as conflicts.
func TestReservedDomains(t *testing.T) {
	exported := map[string]string{
		"a": "1", "example.com/a": "2", "notkubernetes.io/a": "3", "kubernetes.io": "4",
		"kubernetes.io/a": "x", "app.kubernetes.io/managed-by": "x", "multicluster.kubernetes.io/source-cluster": "x", "x.k8s.io/a": "x",
		"clusterset.tombolo.dev/managed-by": "x", "argocd.argoproj.io/instance": "x", "kustomize.toolkit.fluxcd.io/name": "x",
	}
	before := maps.Clone(exported)
	want := map[string]string{"a": "1", "example.com/a": "2", "notkubernetes.io/a": "3", "kubernetes.io": "4"}
	export := v1alpha1.ExportedService{Spec: v1alpha1.ExportedServiceSpec{ExportedLabels: exported, ExportedAnnotations: exported}}
	got := Merge([]v1alpha1.ExportedService{export})
	for _, m := range []map[string]string{got.Labels, got.Annotations} {
		if diff := cmp.Diff(want, m); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	if !maps.Equal(before, exported) {
		t.Error("the export was changed")
	}
	plain := v1alpha1.ExportedService{Spec: v1alpha1.ExportedServiceSpec{ExportedLabels: want, ExportedAnnotations: want}}
	for _, field := range conflictFields[4:6] {
		if text := field.compare([]v1alpha1.ExportedService{plain, export}); text != "" {
			t.Errorf("a conflict: %s", text)
		}
	}
}
