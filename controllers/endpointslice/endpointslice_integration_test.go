//go:build integration

package endpointslice_test

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/endpointslice"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

// newEnv has the member west, whose Service namespace/web is imported here.
func newEnv(t *testing.T, namespace string) (*members.Env, *endpointslice.Reconciler, *mcsv1beta1.ServiceImport) {
	t.Helper()
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, endpointslice.Index)
	e.MakeNamespace(t, namespace, nil)
	e.Hub.Member(t, "west", 2, "10.2.0.0/16")
	e.Remote(t, "west", 2, "10.2.0.0/16")
	owner := &mcsv1beta1.ServiceImport{
		ObjectMeta: members.Meta(namespace, "web"),
		Spec:       mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, Ports: []mcsv1beta1.ServicePort{{Name: "http", Port: 80}}},
	}
	owner.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	e.Make(t, owner)
	importFrom(t, e, owner, "west")
	return e, &endpointslice.Reconciler{Client: e.Own.GetClient(), Hub: e.Conn, Skipped: notes{}}, owner
}

func importFrom(t *testing.T, e *members.Env, owner *mcsv1beta1.ServiceImport, clusters ...string) {
	t.Helper()
	owner.Status.Clusters = nil
	for _, c := range clusters {
		owner.Status.Clusters = append(owner.Status.Clusters, mcsv1beta1.ClusterStatus{Cluster: c})
	}
	if err := e.Status().Update(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, e *members.Env, namespace, name string) *discoveryv1.EndpointSlice {
	t.Helper()
	found := &discoveryv1.EndpointSlice{}
	if err := e.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, found); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		t.Fatal(err)
	}
	return found
}

func addresses(s *discoveryv1.EndpointSlice) []string {
	var all []string
	for _, e := range s.Endpoints {
		all = append(all, e.Addresses...)
	}
	return all
}

func TestImportSlice(t *testing.T) {
	e, r, owner := newEnv(t, "slices")
	_, published := e.Hub.Publish(t, "west", "slices", "web", []string{"10.2.0.1", "10.1.0.1", "10.2.0.2"})
	name := published[0].Name
	e.Step(t, r, "slices", name)
	got := get(t, e, "slices", name)
	if got == nil {
		t.Fatal("nothing was imported")
	}
	want := map[string]string{
		v1alpha1.LabelServiceName:   "web",
		v1alpha1.LabelSourceCluster: "west",
		discoveryv1.LabelManagedBy:  v1alpha1.ManagedBy,
		corev1.IsHeadlessService:    "",
	}
	if diff := cmp.Diff(want, got.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"10.2.0.1", "10.2.0.2"}, addresses(got)); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if len(got.OwnerReferences) != 1 || got.OwnerReferences[0].UID != owner.UID {
		t.Errorf("owners %+v", got.OwnerReferences)
	}
	if first := got.Endpoints[0]; first.NodeName != nil || ptr.Deref(first.Zone, "") != "zone-1" {
		t.Errorf("endpoint %+v, want a zone and no node", first)
	}

	e.Step(t, r, "slices", name)
	if again := get(t, e, "slices", name); again.ResourceVersion != got.ResourceVersion {
		t.Error("written though nothing changed")
	}
	published[0].Endpoints[0].Conditions.Ready = ptr.To(false)
	changed := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	mcs.SetTrigger(published[0], changed)
	if err := e.Hub.Update(t.Context(), published[0]); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "slices", name)
	if again := get(t, e, "slices", name); *again.Endpoints[0].Conditions.Ready || !mcs.TriggerOf(again.Annotations).Equal(changed) {
		t.Errorf("still ready, or not told when it changed: %+v", again)
	}
	if err := e.Delete(t.Context(), got); err != nil { // drift
		t.Fatal(err)
	}
	e.Step(t, r, "slices", name)
	if get(t, e, "slices", name) == nil {
		t.Error("a deleted slice was not made again")
	}
}

// A port that the cluster exports with another number than the ServiceImport has is not served by
// its pods.
func TestPortsThatTheImportHas(t *testing.T) {
	e, r, _ := newEnv(t, "ports")
	export, published := e.Hub.Publish(t, "west", "ports", "web", []string{"10.2.0.1"})
	name := published[0].Name
	served := func(want int) {
		t.Helper()
		e.Step(t, r, "ports", name)
		if got := get(t, e, "ports", name); len(got.Ports) != want || len(got.Endpoints) != 1 {
			t.Fatalf("ports %v, endpoints %v, want %d and 1", got.Ports, got.Endpoints, want)
		}
	}
	served(1)
	export.Spec.Ports[0].Port = 8000
	if err := e.Hub.Update(t.Context(), export); err != nil {
		t.Fatal(err)
	}
	served(0)
	if err := e.Hub.Delete(t.Context(), export); err != nil { // a loss: what is known of it stays
		t.Fatal(err)
	}
	served(0)
}

func TestHubLosesSlices(t *testing.T) {
	e, r, owner := newEnv(t, "lost")
	export, published := e.Hub.Publish(t, "west", "lost", "web", []string{"10.2.0.1"}, []string{"10.2.0.2"})
	for _, s := range published {
		e.Step(t, r, "lost", s.Name)
	}
	kept := func(when string, want ...bool) {
		t.Helper()
		for i, s := range published {
			e.Step(t, r, "lost", s.Name)
			if got := get(t, e, "lost", s.Name) != nil; got != want[i] {
				t.Errorf("%s: slice %d of 2 is there: %t", when, i+1, got)
			}
		}
	}
	if err := e.Hub.Delete(t.Context(), published[0]); err != nil {
		t.Fatal(err)
	}
	kept("lost", true, true)
	e.Hub.Heartbeat(t, "west", export.Name)
	kept("lost, with a heartbeat", true, true)
	export.Spec.SliceSet = clusterset.SliceSet([]discoveryv1.EndpointSlice{*published[1]})
	if err := e.Hub.Update(t.Context(), export); err != nil {
		t.Fatal(err)
	}
	kept("withdrawn", false, true)
	if err := e.Hub.Delete(t.Context(), export); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "lost", published[1].Name)
	if get(t, e, "lost", published[1].Name) == nil {
		t.Error("removed though the ServiceImport still counts the cluster")
	}
	importFrom(t, e, owner)
	e.Step(t, r, "lost", published[1].Name)
	if get(t, e, "lost", published[1].Name) != nil {
		t.Error("kept though the ServiceImport no longer counts the cluster")
	}
}

// The hub's namespace may be in a member's own API server, as here: what is published there is not
// ours to remove.
func TestPublishedSlicesStay(t *testing.T) {
	e, r, _ := newEnv(t, "stay")
	_, published := e.Hub.Publish(t, "west", "stay", "web", []string{"10.2.0.1"})
	e.Step(t, r, v1alpha1.DefaultHubNamespace, published[0].Name)
	if get(t, e, v1alpha1.DefaultHubNamespace, published[0].Name) == nil {
		t.Error("a slice on the hub was deleted")
	}
}

func TestSliceWithoutImport(t *testing.T) {
	e, r, owner := newEnv(t, "unwanted")
	_, published := e.Hub.Publish(t, "west", "unwanted", "web", []string{"10.2.0.1"})
	importFrom(t, e, owner, "north")
	e.Step(t, r, "unwanted", published[0].Name)
	if get(t, e, "unwanted", published[0].Name) != nil {
		t.Error("imported from a cluster that the ServiceImport does not count")
	}
}
