//go:build integration

package serviceimport_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// A member that says that its export is the oldest of all turns nobody's Service into another one.
func TestExportThatLiesAboutItsAge(t *testing.T) {
	e, r, _ := newEnv(t, "lies")
	west(t, e)
	e.Hub.Publish(t, members.Own, "lies", "web")
	steps(t, e, r, "lies", "web")
	liar := mcs.ExportedServiceFor("west", v1alpha1.DefaultHubNamespace, members.Service("lies", "web"), members.Export("lies", "web"))
	liar.Spec.ExportedAt, liar.Spec.Type = metav1.Unix(1, 0), mcsv1beta1.Headless
	waitForNextSecond(t, e)
	e.Hub.Make(t, liar)
	for range 3 {
		e.Step(t, r, "lies", "web")
	}
	got := get(t, e, "lies", "web")
	if got.Spec.Type != mcsv1beta1.ClusterSetIP || len(got.Spec.IPs) == 0 || len(got.Status.Clusters) != 2 {
		t.Errorf("with an export of 1970 it is %+v, %+v", got.Spec, got.Status.Clusters)
	}
}

// waitForNextSecond returns when what the hub makes is younger than what it has made.
func waitForNextSecond(t *testing.T, e *members.Env) {
	t.Helper()
	made := func() metav1.Time {
		probe := mcs.ExportedServiceFor("probe", v1alpha1.DefaultHubNamespace, members.Service("probe", "probe"), members.Export("probe", "probe"))
		probe.Spec.ExportedAt = metav1.Unix(1, 0)
		if err := e.Hub.Create(t.Context(), probe); err != nil {
			t.Fatal(err)
		}
		if err := e.Hub.Delete(t.Context(), probe); err != nil {
			t.Fatal(err)
		}
		return probe.CreationTimestamp
	}
	first := made()
	for {
		if now := made(); first.Before(&now) {
			return
		}
	}
}

// A hub that is wiped and filled again flips no winner.
func TestAgeOverWipedHub(t *testing.T) {
	e, r, _ := newEnv(t, "wiped")
	west(t, e)
	oldest, _ := e.Hub.Publish(t, members.Own, "wiped", "web")
	waitForNextSecond(t, e)
	younger, _ := e.Hub.Publish(t, "west", "wiped", "web")
	younger.Spec.Type = mcsv1beta1.Headless
	editExport(t, e, younger)
	for range 3 {
		e.Step(t, r, "wiped", "web")
	}
	before := get(t, e, "wiped", "web")
	if before.Spec.Type != mcsv1beta1.ClusterSetIP || len(before.Status.Clusters) != 2 {
		t.Fatalf("before the wipe it is %+v of %+v", before.Spec, before.Status.Clusters)
	}
	for _, export := range []*v1alpha1.ExportedService{younger, oldest} { // the younger comes back first
		if err := e.Hub.Delete(t.Context(), export); err != nil {
			t.Fatal(err)
		}
		export.ResourceVersion, export.UID = "", ""
	}
	e.Step(t, r, "wiped", "web")
	for _, export := range []*v1alpha1.ExportedService{younger, oldest} {
		waitForNextSecond(t, e)
		e.Hub.Make(t, export)
		for range 3 {
			e.Step(t, r, "wiped", "web")
		}
		got := get(t, e, "wiped", "web")
		if got == nil || got.UID != before.UID || got.Spec.Type != mcsv1beta1.ClusterSetIP || got.Spec.IPs[0] != before.Spec.IPs[0] {
			t.Fatalf("after the wipe it is %+v, was %+v", got, before.Spec)
		}
	}
}
