//go:build integration

package serviceimport_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/serviceimport"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

// events collects what is reported.
type events struct{ of, reasons, notes []string }

func (e *events) Eventf(regarding, _ runtime.Object, _, reason, _, note string, args ...any) {
	e.of = append(e.of, client.ObjectKeyFromObject(regarding.(client.Object)).String())
	e.reasons = append(e.reasons, reason)
	for _, a := range args {
		if s, ok := a.(interface{ String() string }); ok {
			note += " " + s.String()
		}
	}
	e.notes = append(e.notes, note)
}

func newEnv(t *testing.T, namespaces ...string) (*members.Env, *serviceimport.Reconciler, *events) {
	t.Helper()
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, serviceimport.Index)
	for _, n := range namespaces {
		e.MakeNamespace(t, n, nil)
	}
	accept(t, e, metav1.ConditionTrue, v1alpha1.ReasonAccepted)
	reported := &events{}
	return e, &serviceimport.Reconciler{Client: e.Own.GetClient(), Hub: e.Conn, Events: reported, Skipped: notes{}, Namespace: v1alpha1.DefaultNamespace}, reported
}

// accept sets the ClusterSet's condition, as package clusterset does.
func accept(t *testing.T, e *members.Env, status metav1.ConditionStatus, reason string) {
	t.Helper()
	set := &v1alpha1.ClusterSet{}
	if err := e.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		t.Fatal(err)
	}
	meta.SetStatusCondition(&set.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: status, Reason: reason, ObservedGeneration: set.Generation})
	if err := e.Status().Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
}

// west makes the member west, with its CIDRs in use.
func west(t *testing.T, e *members.Env) *v1alpha1.Member {
	t.Helper()
	e.Remote(t, "west", 2, "10.2.0.0/16")
	return e.Hub.Member(t, "west", 2, "10.2.0.0/16")
}

// get returns the ServiceImport, nil if there is none; it is deleted when the test ends.
func get(t *testing.T, e *members.Env, namespace, name string) *mcsv1beta1.ServiceImport {
	t.Helper()
	found := &mcsv1beta1.ServiceImport{}
	if err := e.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, found); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		t.Fatal(err)
	}
	return found
}

// steps reconciles often enough for all of what is to be written: the ServiceImport, then its
// status.
func steps(t *testing.T, e *members.Env, r *serviceimport.Reconciler, namespace, name string) {
	t.Helper()
	for range 2 {
		e.Step(t, r, namespace, name)
	}
}

func TestImportWithoutNamespace(t *testing.T) {
	e, r, reported := newEnv(t)
	west(t, e)
	e.Hub.Publish(t, "west", "later", "web")
	e.Step(t, r, "later", "web")
	e.Step(t, r, "later", "web")
	if len(reported.reasons) != 1 || reported.reasons[0] != "NamespaceMissing" || !strings.Contains(reported.notes[0], "later/web") {
		t.Fatalf("reported %v %v, want one NamespaceMissing that names later/web", reported.reasons, reported.notes)
	}
	e.MakeNamespace(t, "later", nil)
	e.Step(t, r, "later", "web")
	if get(t, e, "later", "web") == nil {
		t.Fatal("nothing was imported after the namespace was made")
	}
}

func TestImport(t *testing.T) {
	e, r, _ := newEnv(t, "shop")
	west(t, e)
	e.Hub.Publish(t, "west", "shop", "web")
	e.Hub.Publish(t, members.Own, "shop", "web")
	steps(t, e, r, "shop", "web")
	got := get(t, e, "shop", "web")
	if got == nil {
		t.Fatal("nothing was imported")
	}
	vip := netip.MustParseAddr(got.Spec.IPs[0])
	if !netip.MustParsePrefix("244.0.0.0/16").Contains(vip) || got.Spec.IPFamilies[0] != corev1.IPv4Protocol || len(got.Spec.Ports) != 1 {
		t.Errorf("spec is %+v", got.Spec)
	}
	if len(got.Status.Clusters) != 2 || got.Status.EndpointSliceObjects != mcsv1beta1.EndpointSliceObjectsPresent ||
		!meta.IsStatusConditionTrue(got.Status.Conditions, "Ready") {
		t.Errorf("status is %+v", got.Status)
	}

	steps(t, e, r, "shop", "web")
	if again := get(t, e, "shop", "web"); again.ResourceVersion != got.ResourceVersion {
		t.Error("the ServiceImport was written though nothing changed")
	}

	got.Spec.Ports[0].Port = 81 // drift
	if err := e.Update(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	steps(t, e, r, "shop", "web")
	repaired := get(t, e, "shop", "web")
	if repaired.Spec.Ports[0].Port != 80 || repaired.Spec.IPs[0] != vip.String() {
		t.Errorf("drift was not repaired, or the IP was lost: %+v", repaired.Spec)
	}
}

func TestImportHeadless(t *testing.T) {
	e, r, _ := newEnv(t, "headless")
	west(t, e)
	export, _ := e.Hub.Publish(t, "west", "headless", "db")
	export.Spec.Type = mcsv1beta1.Headless
	if err := e.Hub.Update(t.Context(), export); err != nil {
		t.Fatal(err)
	}
	steps(t, e, r, "headless", "db")
	got := get(t, e, "headless", "db")
	if got == nil || len(got.Spec.IPs) != 0 || len(got.Spec.IPFamilies) != 1 || got.Spec.Type != mcsv1beta1.Headless {
		t.Errorf("imported %+v", got)
	}
}

func TestUnexportNeedsConfirmation(t *testing.T) {
	e, r, _ := newEnv(t, "unexport")
	west(t, e)
	export, _ := e.Hub.Publish(t, "west", "unexport", "web")
	e.Hub.Heartbeat(t, "west", export.Name)
	steps(t, e, r, "unexport", "web")
	if err := e.Hub.Delete(t.Context(), export); err != nil {
		t.Fatal(err)
	}
	steps(t, e, r, "unexport", "web")
	got := get(t, e, "unexport", "web")
	if got == nil || len(got.Status.Clusters) != 1 || len(got.Spec.IPs) != 1 {
		t.Fatalf("what the hub lost was removed: %+v", got)
	}
	if c := meta.FindStatusCondition(got.Status.Conditions, "Ready"); !strings.Contains(c.Message, "west") {
		t.Errorf("the condition does not say so: %s", c.Message)
	}
	// What confirms it may be the end of another export, which is no event of this import's.
	if result := e.Step(t, r, "unexport", "web"); result != retry.Again() {
		t.Errorf("an import that waits for confirmation is not tried again: %+v", result)
	}
	e.Hub.Heartbeat(t, "west")
	steps(t, e, r, "unexport", "web")
	if got := get(t, e, "unexport", "web"); got != nil {
		t.Errorf("what the member withdrew is still there: %+v", got)
	}
}

func TestMemberAbsentAndRemoved(t *testing.T) {
	e, r, _ := newEnv(t, "leaving")
	member := west(t, e)
	export, _ := e.Hub.Publish(t, "west", "leaving", "web")
	steps(t, e, r, "leaving", "web")
	for _, gone := range []client.Object{member, export} { // a hub that was wiped
		if err := e.Hub.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
	}
	steps(t, e, r, "leaving", "web")
	if get(t, e, "leaving", "web") == nil {
		t.Fatal("an absent Member removed what was imported from it")
	}
	member.ResourceVersion = ""
	member.Spec.Removed = true
	e.Hub.Make(t, member)
	steps(t, e, r, "leaving", "web")
	if got := get(t, e, "leaving", "web"); got != nil {
		t.Errorf("a removed member's import is still there: %+v", got)
	}
}

func TestImportOfRefusedMember(t *testing.T) {
	e, r, _ := newEnv(t, "refused")
	e.Hub.Member(t, "west", 2, "10.2.0.0/16") // no RemoteCluster with CIDRs
	e.Hub.Publish(t, "west", "refused", "web")
	e.Step(t, r, "refused", "web")
	if got := get(t, e, "refused", "web"); got != nil {
		t.Errorf("imported from a member that is not accepted: %+v", got)
	}
}

func TestNoNewVIPsWhileRefused(t *testing.T) {
	e, r, _ := newEnv(t, "vips")
	west(t, e)
	e.Hub.Publish(t, "west", "vips", "old")
	e.Hub.Publish(t, "west", "vips", "new")
	steps(t, e, r, "vips", "old")
	before := get(t, e, "vips", "old").Spec.IPs
	accept(t, e, metav1.ConditionFalse, v1alpha1.ReasonCIDROverlap)
	steps(t, e, r, "vips", "old")
	steps(t, e, r, "vips", "new")
	if after := get(t, e, "vips", "old").Spec.IPs; len(after) != 1 || after[0] != before[0] {
		t.Errorf("the IPs that were in use changed from %v to %v", before, after)
	}
	got := get(t, e, "vips", "new")
	c := meta.FindStatusCondition(got.Status.Conditions, "Ready")
	if len(got.Spec.IPs) != 0 || c.Status != metav1.ConditionFalse || c.Reason != "Pending" || !strings.Contains(c.Message, "ClusterSet") {
		t.Errorf("IPs %v, condition %+v", got.Spec.IPs, c)
	}
	accept(t, e, metav1.ConditionTrue, v1alpha1.ReasonAccepted)
	steps(t, e, r, "vips", "new")
	if got := get(t, e, "vips", "new"); len(got.Spec.IPs) != 1 || !meta.IsStatusConditionTrue(got.Status.Conditions, "Ready") {
		t.Errorf("it did not heal: %+v", got)
	}
}
