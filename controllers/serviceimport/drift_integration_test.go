//go:build integration

package serviceimport_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// What somebody else writes into a ServiceImport is undone, but for labels, annotations and
// conditions that are his own.
func TestDrift(t *testing.T) {
	e, r, _ := newEnv(t, "drift")
	west(t, e)
	export := publish(t, e, "drift", "web")
	export.Spec.ExportedLabels = map[string]string{"team": "shop"}
	export.Spec.ExportedAnnotations = map[string]string{"docs": "example.com"}
	editExport(t, e, export)
	steps(t, e, r, "drift", "web")
	for _, test := range []struct {
		name   string
		status bool
		edit   func(*mcsv1beta1.ServiceImport)
		stays  func(*mcsv1beta1.ServiceImport) // of the edit
	}{
		{name: "ports", edit: func(i *mcsv1beta1.ServiceImport) { i.Spec.Ports[0].Port = 81 }},
		{name: "IP", edit: func(i *mcsv1beta1.ServiceImport) { i.Spec.IPs = []string{"244.0.99.99"} }},
		{name: "no IP", edit: func(i *mcsv1beta1.ServiceImport) { i.Spec.IPs, i.Spec.IPFamilies = nil, nil }},
		{name: "type", edit: func(i *mcsv1beta1.ServiceImport) { i.Spec.Type = mcsv1beta1.Headless }},
		{name: "a field that we do not set", edit: func(i *mcsv1beta1.ServiceImport) { i.Spec.TrafficDistribution = ptr.To("PreferClose") }},
		{name: "exported label", edit: func(i *mcsv1beta1.ServiceImport) { i.Labels["team"] = "other" }},
		{name: "exported annotation", edit: func(i *mcsv1beta1.ServiceImport) { delete(i.Annotations, "docs") }},
		{name: "all labels", edit: func(i *mcsv1beta1.ServiceImport) { i.Labels = nil }},
		{name: "his own", edit: func(i *mcsv1beta1.ServiceImport) { i.Labels["his"], i.Annotations["his"] = "own", "own" },
			stays: func(i *mcsv1beta1.ServiceImport) { i.Labels["his"], i.Annotations["his"] = "own", "own" }},
		{name: "no clusters", status: true, edit: func(i *mcsv1beta1.ServiceImport) { i.Status.Clusters = nil }},
		{name: "a cluster that there is not", status: true, edit: func(i *mcsv1beta1.ServiceImport) {
			i.Status.Clusters = append(i.Status.Clusters, mcsv1beta1.ClusterStatus{Cluster: "nowhere"})
		}},
		{name: "slices", status: true, edit: func(i *mcsv1beta1.ServiceImport) {
			i.Status.EndpointSliceObjects = mcsv1beta1.EndpointSliceObjectsAbsent
		}},
		{name: "condition", status: true, edit: func(i *mcsv1beta1.ServiceImport) { i.Status.Conditions[0].Status = metav1.ConditionFalse }},
		{name: "no conditions", status: true, edit: func(i *mcsv1beta1.ServiceImport) { i.Status.Conditions = nil }},
		{name: "a condition of his own", status: true, edit: addCondition, stays: addCondition},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := get(t, e, "drift", "web")
			edited := want.DeepCopy()
			test.edit(edited)
			write := e.Update
			if test.status {
				write = func(ctx context.Context, obj client.Object, _ ...client.UpdateOption) error {
					return e.Status().Update(ctx, obj)
				}
			}
			if err := write(t.Context(), edited); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				e.Step(t, r, "drift", "web")
			}
			if test.stays != nil {
				test.stays(want)
			}
			got := get(t, e, "drift", "web")
			if diff := cmp.Diff(comparable(want), comparable(got)); diff != "" {
				t.Errorf("not repaired (-want +got):\n%s", diff)
			}
			e.Step(t, r, "drift", "web")
			if again := get(t, e, "drift", "web"); again.ResourceVersion != got.ResourceVersion {
				t.Error("written though nothing changed")
			}
		})
	}

	export.Spec.ExportedLabels = nil
	export.Spec.ExportedAnnotations = nil
	editExport(t, e, export)
	steps(t, e, r, "drift", "web")
	got := get(t, e, "drift", "web")
	if diff := cmp.Diff(map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, "his": "own"}, got.Labels); diff != "" {
		t.Errorf("labels when no longer exported (-want +got):\n%s", diff)
	}
	delete(got.Annotations, v1alpha1.AnnotationFirstShown) // how old exports are stays
	if diff := cmp.Diff(map[string]string{"his": "own"}, got.Annotations); diff != "" {
		t.Errorf("annotations when no longer exported (-want +got):\n%s", diff)
	}
}

func addCondition(i *mcsv1beta1.ServiceImport) {
	meta.SetStatusCondition(&i.Status.Conditions, metav1.Condition{Type: "Accepted", Status: metav1.ConditionTrue, Reason: "Gateway", LastTransitionTime: metav1.Unix(1, 0)})
}

// comparable is what must be equal: all but versions, and when conditions changed.
func comparable(i *mcsv1beta1.ServiceImport) *mcsv1beta1.ServiceImport {
	c := i.DeepCopy()
	c.ResourceVersion, c.Generation, c.ManagedFields = "", 0, nil
	for n := range c.Status.Conditions {
		c.Status.Conditions[n].LastTransitionTime, c.Status.Conditions[n].ObservedGeneration = metav1.Time{}, 0
	}
	slices.SortFunc(c.Status.Conditions, func(a, b metav1.Condition) int { return len(a.Type) - len(b.Type) })
	return c
}

// A ServiceImport that somebody deletes comes back, with its address.
func TestDeletedImportComesBack(t *testing.T) {
	e, r, _ := newEnv(t, "deleted")
	west(t, e)
	vipBlocks(t, e, "244.9.5.0/24")
	names := colliding("244.9.5.0/24", "deleted", 2)
	for _, name := range names {
		publish(t, e, "deleted", name)
		steps(t, e, r, "deleted", name)
	}
	before := get(t, e, "deleted", names[1]) // not at its first choice
	for _, name := range names {
		if err := e.Delete(t.Context(), get(t, e, "deleted", name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{names[1], names[0]} {
		steps(t, e, r, "deleted", name)
	}
	got := get(t, e, "deleted", names[1])
	if got == nil || got.UID == before.UID || !slices.Equal(got.Spec.IPs, before.Spec.IPs) || len(got.Status.Clusters) != 1 {
		t.Errorf("it came back as %+v, want IPs %v", got, before.Spec.IPs)
	}
}

// Clients of the older version, such as CoreDNS, see the same.
func TestOlderVersionIsServed(t *testing.T) {
	e, r, _ := newEnv(t, "versions")
	west(t, e)
	publish(t, e, "versions", "web")
	steps(t, e, r, "versions", "web")
	want := get(t, e, "versions", "web")
	old := &unstructured.Unstructured{}
	old.SetGroupVersionKind(schema.GroupVersionKind{Group: mcsv1beta1.GroupName, Version: "v1alpha1", Kind: mcsv1beta1.ServiceImportKindName})
	if err := e.Get(t.Context(), client.ObjectKeyFromObject(want), old); err != nil {
		t.Fatal(err)
	}
	ips, _, _ := unstructured.NestedStringSlice(old.Object, "spec", "ips")
	families, _, _ := unstructured.NestedStringSlice(old.Object, "spec", "ipFamilies")
	clusters, _, _ := unstructured.NestedSlice(old.Object, "status", "clusters")
	present, _, _ := unstructured.NestedString(old.Object, "status", "endpointSliceObjects")
	if !slices.Equal(ips, want.Spec.IPs) || len(families) != 1 || len(clusters) != 1 || present != "Present" {
		t.Errorf("v1alpha1 shows %v", old.Object)
	}
}

// Somebody else's ServiceImport stays as it is, and its owner is told once that it is in the way of
// an import.
func TestForeignImportIsReported(t *testing.T) {
	e, r, reported := newEnv(t, "foreign")
	west(t, e)
	foreign := &mcsv1beta1.ServiceImport{
		ObjectMeta: members.Meta("foreign", "web"),
		Spec:       mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.Headless, Ports: []mcsv1beta1.ServicePort{}},
	}
	e.Make(t, foreign)
	e.Step(t, r, "foreign", "web")
	if len(reported.reasons) != 0 {
		t.Errorf("it is reported though nothing is exported: %v", reported.notes)
	}
	export := publish(t, e, "foreign", "web")
	for range 2 {
		e.Step(t, r, "foreign", "web")
	}
	if got := get(t, e, "foreign", "web"); got.ResourceVersion != foreign.ResourceVersion {
		t.Errorf("it was changed: %+v", got)
	}
	if len(reported.reasons) != 1 || reported.reasons[0] != v1alpha1.ReasonNotOurs || reported.of[0] != "foreign/web" {
		t.Errorf("reported %v of %v, want one %s of foreign/web", reported.reasons, reported.of, v1alpha1.ReasonNotOurs)
	}
	if err := e.Hub.Delete(t.Context(), export); err != nil {
		t.Fatal(err)
	}
	e.Hub.Heartbeat(t, "west")
	e.Step(t, r, "foreign", "web")
	if get(t, e, "foreign", "web") == nil {
		t.Error("it was deleted with the export")
	}
}
