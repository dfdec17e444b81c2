//go:build integration

package serviceexport_test

import (
	"context"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/holders"
	"github.com/tombolo-net/tombolo/controllers/internal/inuse"
	"github.com/tombolo-net/tombolo/controllers/serviceexport"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

func newEnv(t *testing.T, namespace string) (*members.Env, *serviceexport.Reconciler) {
	t.Helper()
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	e.MakeNamespace(t, namespace, nil)
	return e, &serviceexport.Reconciler{Client: e.Own.GetClient(), Hub: e.Conn, Namespace: v1alpha1.DefaultNamespace, Holders: directory(t, e)}
}

// directory knows who has which address, until the test ends.
func directory(t *testing.T, e *members.Env) *holders.Directory {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d, err := holders.New(ctx, holders.Config{
		REST: e.Own.GetConfig(), Local: e.Own.GetCache(), InUse: inuse.Reader{Cached: e.Own.GetClient(), Direct: e.Own.GetAPIReader()},
		Pods: cache.Options{Scheme: e.Own.GetScheme(), Mapper: e.Own.GetRESTMapper(), HTTPClient: e.Own.GetHTTPClient()},
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- d.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("directory: %v", err)
		}
	})
	return d
}

// wantCondition fails unless the ServiceExport has the condition, and returns its message.
func wantCondition(t *testing.T, e *members.Env, namespace, name, kind, status, reason string) string {
	t.Helper()
	got := &mcsv1beta1.ServiceExport{}
	if err := e.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, got); err != nil {
		t.Fatal(err)
	}
	c := meta.FindStatusCondition(got.Status.Conditions, kind)
	if c == nil || string(c.Status) != status || c.Reason != reason {
		t.Fatalf("condition %s is %+v, want %s %s", kind, c, status, reason)
	}
	return c.Message
}

// published returns what the hub holds.
func published(t *testing.T, e *members.Env) ([]v1alpha1.ExportedService, []discoveryv1.EndpointSlice) {
	t.Helper()
	services, slices := &v1alpha1.ExportedServiceList{}, &discoveryv1.EndpointSliceList{}
	in := client.InNamespace(v1alpha1.DefaultHubNamespace)
	if err := e.Hub.List(t.Context(), services, in); err != nil {
		t.Fatal(err)
	}
	if err := e.Hub.List(t.Context(), slices, in); err != nil {
		t.Fatal(err)
	}
	return services.Items, slices.Items
}

func wantPublished(t *testing.T, e *members.Env, services, slices int) {
	t.Helper()
	gotServices, gotSlices := published(t, e)
	if len(gotServices) != services || len(gotSlices) != slices {
		t.Fatalf("the hub holds %d services and %d slices, want %d and %d", len(gotServices), len(gotSlices), services, slices)
	}
}

func TestExportWithoutService(t *testing.T) {
	e, r := newEnv(t, "no-service")
	e.Make(t, members.Export("no-service", "web"))
	e.Step(t, r, "no-service", "web")
	message := wantCondition(t, e, "no-service", "web", "Valid", "False", "NoService")
	if !strings.Contains(message, "no-service/web") || !strings.Contains(message, "create it") {
		t.Errorf("the message names no object or no remedy: %s", message)
	}
	wantCondition(t, e, "no-service", "web", "Ready", "False", "Pending")
	wantPublished(t, e, 0, 0)

	service := members.Service("no-service", "web")
	e.Make(t, service)
	e.Step(t, r, "no-service", "web")
	wantCondition(t, e, "no-service", "web", "Valid", "True", "Valid")
	wantCondition(t, e, "no-service", "web", "Ready", "True", "Exported")
	wantPublished(t, e, 1, 1) // an empty slice for its family

	if err := e.Delete(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "no-service", "web")
	wantCondition(t, e, "no-service", "web", "Valid", "False", "NoService")
	wantPublished(t, e, 0, 0)
}

func TestExportExternalName(t *testing.T) {
	e, r := newEnv(t, "external")
	e.Make(t, &corev1.Service{
		ObjectMeta: members.Meta("external", "web"),
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"},
	})
	e.Make(t, members.Export("external", "web"))
	e.Step(t, r, "external", "web")
	wantCondition(t, e, "external", "web", "Valid", "False", "InvalidServiceType")
	wantPublished(t, e, 0, 0)
}

func TestExportSlices(t *testing.T) {
	e, r := newEnv(t, "slices")
	ctx := t.Context()
	e.Make(t, members.Service("slices", "web"))
	first := members.Slice("slices", "web-1", "web", "10.1.0.1", "10.1.0.2")
	e.Make(t, first)
	e.Make(t, members.Slice("slices", "web-2", "web", "10.1.0.3"))
	e.Make(t, members.Slice("slices", "other-1", "other", "10.1.0.4"))
	object := members.Export("slices", "web")
	e.Make(t, object)
	e.Step(t, r, "slices", "web")
	wantPublished(t, e, 1, 1)

	_, before := published(t, e)
	e.Step(t, r, "slices", "web")
	if _, after := published(t, e); before[0].ResourceVersion != after[0].ResourceVersion {
		t.Error("the slice was written though nothing changed")
	}
	first.Endpoints = first.Endpoints[:1]
	if err := e.Update(ctx, first); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "slices", "web")
	if _, after := published(t, e); len(after) != 1 || len(after[0].Endpoints) != 2 {
		t.Errorf("the hub holds %+v, want 2 endpoints", after)
	}

	if err := e.Delete(ctx, object); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "slices", "web")
	wantPublished(t, e, 0, 0)
}

func TestExportOutsideOfCIDRs(t *testing.T) {
	e, r := newEnv(t, "outside")
	e.Make(t, members.Service("outside", "web"))
	local := members.Slice("outside", "web-1", "web", "10.1.0.1", "10.9.0.1")
	e.Make(t, local)
	e.Make(t, members.Export("outside", "web"))
	e.Step(t, r, "outside", "web")
	message := wantCondition(t, e, "outside", "web", "Ready", "True", "Exported")
	for _, want := range []string{"10.9.0.1", "10.1.0.0/16", "Member.spec.cidrs"} {
		if !strings.Contains(message, want) {
			t.Errorf("the message lacks %s: %s", want, message)
		}
	}
	_, slices := published(t, e)
	if len(slices) != 1 || len(slices[0].Endpoints) != 1 {
		t.Errorf("published %+v, want one endpoint", slices)
	}

	local.Endpoints = local.Endpoints[1:]
	if err := e.Update(t.Context(), local); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "outside", "web")
	wantCondition(t, e, "outside", "web", "Ready", "False", "Pending")
}

func TestExportWithoutHub(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewUnconnected(t, c, nil)
	e.MakeNamespace(t, "no-hub", nil)
	e.Make(t, members.Service("no-hub", "web"))
	e.Make(t, members.Export("no-hub", "web"))
	r := &serviceexport.Reconciler{Client: e.Own.GetClient(), Hub: e.Conn, Namespace: v1alpha1.DefaultNamespace}
	e.Step(t, r, "no-hub", "web")
	wantCondition(t, e, "no-hub", "web", "Valid", "True", "Valid")
	message := wantCondition(t, e, "no-hub", "web", "Ready", "Unknown", "Pending")
	if !strings.Contains(message, "ClusterSet") {
		t.Errorf("the message does not lead on: %s", message)
	}
}

func TestExportOfRemovedMember(t *testing.T) {
	e, r := newEnv(t, "removed")
	e.Make(t, members.Service("removed", "web"))
	e.Make(t, members.Export("removed", "web"))
	e.Step(t, r, "removed", "web")
	wantPublished(t, e, 1, 1)
	member := &v1alpha1.Member{}
	if err := e.Hub.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: "east"}, member); err != nil {
		t.Fatal(err)
	}
	member.Spec.Removed = true
	if err := e.Hub.Update(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	e.WaitStatus(t, v1alpha1.ReasonRemoved)
	e.Step(t, r, "removed", "web")
	wantCondition(t, e, "removed", "web", "Ready", "False", "Failed")
	wantPublished(t, e, 0, 0)
}
