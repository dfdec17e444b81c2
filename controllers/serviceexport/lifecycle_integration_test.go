//go:build integration

package serviceexport_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

func remove(t *testing.T, c client.Client, obj client.Object) {
	t.Helper()
	if err := c.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func clusterSet(t *testing.T, e *members.Env, change func(*v1alpha1.ClusterSetSpec)) {
	t.Helper()
	set := &v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName}}
	members.Update(t, e, set, func() { change(&set.Spec) })
}

func TestServiceChangesTypeAndComesBack(t *testing.T) {
	e, r := newEnv(t, "types")
	service := members.Service("types", "web")
	e.Make(t, service)
	e.Make(t, members.Slice("types", "web-1", "web", "10.1.0.1"))
	e.Make(t, members.Export("types", "web"))
	wantType := func(want mcsv1beta1.ServiceImportType) {
		t.Helper()
		e.Step(t, r, "types", "web")
		wantPublished(t, e, 1, 1)
		if services, _ := published(t, e); services[0].Spec.Type != want {
			t.Fatalf("exported as %s, want %s", services[0].Spec.Type, want)
		}
		wantCondition(t, e, "types", "web", "Valid", "True", "Valid")
		wantCondition(t, e, "types", "web", "Ready", "True", "Exported")
	}
	wantType(mcsv1beta1.ClusterSetIP)
	members.Update(t, e, service, func() {
		service.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com", Selector: service.Spec.Selector}
	})
	e.Step(t, r, "types", "web")
	wantCondition(t, e, "types", "web", "Valid", "False", "InvalidServiceType")
	wantCondition(t, e, "types", "web", "Ready", "False", "Pending")
	wantPublished(t, e, 0, 0)
	members.Update(t, e, service, func() {
		service.Spec = corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}, Selector: service.Spec.Selector,
		}
	})
	wantType(mcsv1beta1.Headless)
	remove(t, e, service)
	e.Make(t, members.Service("types", "web"))
	wantType(mcsv1beta1.ClusterSetIP) // without a step between
}

func TestServiceExportIsMadeAgain(t *testing.T) {
	e, r := newEnv(t, "again")
	e.Make(t, members.Service("again", "web"))
	first := members.Export("again", "web")
	first.Labels = map[string]string{"not": "exported"}
	first.Spec.ExportedLabels, first.Spec.ExportedAnnotations = map[string]string{"a": "b"}, map[string]string{"c": "d"}
	e.Make(t, first)
	e.Step(t, r, "again", "web")
	services, _ := published(t, e)
	if spec := services[0].Spec; !spec.ExportedAt.Equal(&first.CreationTimestamp) || len(spec.ExportedLabels) != 1 || spec.ExportedAnnotations["c"] != "d" {
		t.Errorf("published %+v", spec)
	}
	remove(t, e, first)
	members.Eventually(t, func() error { // of an API server, times of creation are whole seconds
		if time.Since(first.CreationTimestamp.Time) < 2*time.Second {
			return errors.New("it is still the same second")
		}
		return nil
	})
	second := members.Export("again", "web")
	e.Make(t, second)
	e.Step(t, r, "again", "web")
	services, _ = published(t, e)
	if spec := services[0].Spec; !spec.ExportedAt.Equal(&second.CreationTimestamp) || len(spec.ExportedLabels) != 0 {
		t.Errorf("published %+v, want exportedAt %s and no labels", spec, second.CreationTimestamp)
	}
}

func TestExportPolicy(t *testing.T) {
	e, r := newEnv(t, "policy")
	e.Make(t, members.Service("policy", "web"))
	e.Make(t, members.Export("policy", "web"))
	e.Step(t, r, "policy", "web")
	wantPublished(t, e, 1, 1)
	clusterSet(t, e, func(s *v1alpha1.ClusterSetSpec) {
		s.ExportNamespaces = &metav1.LabelSelector{MatchLabels: map[string]string{"shared": "yes"}}
	})
	e.Step(t, r, "policy", "web")
	wantPublished(t, e, 0, 0)
	wantCondition(t, e, "policy", "web", "Valid", "True", "Valid")
	message := wantCondition(t, e, "policy", "web", "Ready", "False", "Failed")
	for _, want := range []string{"namespace policy", "shared=yes", "exportNamespaces"} {
		if !strings.Contains(message, want) {
			t.Errorf("the message lacks %q: %s", want, message)
		}
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "policy"}}
	members.Update(t, e, namespace, func() { namespace.Labels["shared"] = "yes" })
	e.Step(t, r, "policy", "web")
	wantPublished(t, e, 1, 1)
	wantCondition(t, e, "policy", "web", "Ready", "True", "Exported")

	// What makes no sense changes nothing.
	clusterSet(t, e, func(s *v1alpha1.ClusterSetSpec) {
		s.ExportNamespaces = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}
	})
	e.Settle(t)
	if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "policy", Name: "web"}}); err == nil {
		t.Error("no error for a selector that makes no sense")
	}
	wantPublished(t, e, 1, 1)
	if message := wantCondition(t, e, "policy", "web", "Ready", "False", "Pending"); !strings.Contains(message, "Like") {
		t.Errorf("the message does not tell the cause: %s", message)
	}
}

// From which namespaces this cluster exports is the clusterset's admin's decision.
func TestNamespaceNotApproved(t *testing.T) {
	e, r := newEnv(t, "theirs")
	own := &v1alpha1.Member{}
	list := func(namespaces ...v1alpha1.NamespacePattern) {
		t.Helper()
		if err := e.Hub.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: string(members.Own)}, own); err != nil {
			t.Fatal(err)
		}
		own.Spec.Namespaces = namespaces
		if err := e.Hub.Update(t.Context(), own); err != nil {
			t.Fatal(err)
		}
	}
	e.Make(t, members.Service("theirs", "web"))
	e.Make(t, members.Export("theirs", "web"))
	e.Step(t, r, "theirs", "web")
	wantPublished(t, e, 1, 1)
	list("shop", "team-*")
	e.Step(t, r, "theirs", "web") // nothing to try again
	wantPublished(t, e, 0, 0)
	message := wantCondition(t, e, "theirs", "web", "Ready", "False", "Failed")
	for _, want := range []string{"namespace theirs", "shop, team-*", "Member.spec.namespaces of east", "admin"} {
		if !strings.Contains(message, want) {
			t.Errorf("the message lacks %q: %s", want, message)
		}
	}
	list("their*")
	e.Step(t, r, "theirs", "web")
	wantPublished(t, e, 1, 1)
	wantCondition(t, e, "theirs", "web", "Ready", "True", "Exported")

	list()
	for _, name := range []string{"new", "old"} {
		e.Make(t, members.Service("default", name))
		e.Make(t, members.Export("default", name))
	}
	e.Hub.Publish(t, members.Own, "default", "old") // as a version did that asked nobody
	e.Step(t, r, "default", "new")
	if message := wantCondition(t, e, "default", "new", "Ready", "False", "Failed"); !strings.Contains(message, "system namespace") {
		t.Errorf("the message does not say why: %s", message)
	}
	e.Step(t, r, "default", "old")
	if message := wantCondition(t, e, "default", "old", "Ready", "True", "Exported"); !strings.Contains(message, "only because it was before") {
		t.Errorf("the message does not say what to do: %s", message)
	}
	wantPublished(t, e, 2, 2)
}

func TestSliceSize(t *testing.T) {
	e, r := newEnv(t, "size")
	e.Make(t, members.Service("size", "web"))
	e.Make(t, members.Slice("size", "web-1", "web", "10.1.0.1", "10.1.0.2", "10.1.0.3"))
	e.Make(t, members.Export("size", "web"))
	for _, step := range []struct{ size, slices int }{{100, 1}, {1, 3}, {2, 3}, {3, 1}} {
		clusterSet(t, e, func(s *v1alpha1.ClusterSetSpec) { s.EndpointsPerSlice = int32(step.size) })
		e.Step(t, r, "size", "web")
		wantPublished(t, e, 1, step.slices)
	}
}

func conflictOf(t *testing.T, e *members.Env, namespace string) *metav1.Condition {
	t.Helper()
	got := &mcsv1beta1.ServiceExport{}
	if err := e.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "web"}, got); err != nil {
		t.Fatal(err)
	}
	return meta.FindStatusCondition(got.Status.Conditions, "Conflict")
}

func TestConflict(t *testing.T) {
	e, r := newEnv(t, "conflict")
	service := members.Service("conflict", "web")
	e.Make(t, service)
	e.Make(t, members.Export("conflict", "web"))
	e.Step(t, r, "conflict", "web")
	e.Step(t, r, "conflict", "web") // the cache shows our own export
	wantCondition(t, e, "conflict", "web", "Conflict", "False", "NoConflicts")

	other, _ := e.Hub.Publish(t, "west", "conflict", "web")
	members.Update(t, e.Hub, other, func() { other.Spec.SessionAffinity = corev1.ServiceAffinityClientIP })
	e.Step(t, r, "conflict", "web")
	wantCondition(t, e, "conflict", "web", "Conflict", "False", "NoConflicts") // no Member: it does not count
	west := e.Hub.Member(t, "west", 2, "10.2.0.0/16")
	e.Remote(t, "west", 2, "10.2.0.0/16")
	e.Step(t, r, "conflict", "web")
	message := wantCondition(t, e, "conflict", "web", "Conflict", "True", "SessionAffinityConflict")
	if !strings.Contains(message, "1/2 clusters disagree") {
		t.Errorf("the message does not count: %s", message)
	}

	e.Hub.LabelHub(t, "") // the hub is away
	e.WaitStatus(t, v1alpha1.ReasonNotAuthoritative)
	remove(t, e.Hub, other)
	e.Step(t, r, "conflict", "web")
	wantCondition(t, e, "conflict", "web", "Conflict", "True", "SessionAffinityConflict")
	e.Hub.LabelHub(t, members.SetID)
	e.WaitStatus(t, v1alpha1.ReasonConnected)
	e.Step(t, r, "conflict", "web")
	wantCondition(t, e, "conflict", "web", "Conflict", "False", "NoConflicts")

	other, _ = e.Hub.Publish(t, "west", "conflict", "web")
	members.Update(t, e.Hub, other, func() { other.Spec.Type = mcsv1beta1.Headless })
	e.Step(t, r, "conflict", "web")
	wantCondition(t, e, "conflict", "web", "Conflict", "True", "TypeConflict")
	members.Update(t, e.Hub, west, func() { west.Spec.Removed = true })
	e.Step(t, r, "conflict", "web")
	wantCondition(t, e, "conflict", "web", "Conflict", "False", "NoConflicts")

	remove(t, e, service)
	e.Step(t, r, "conflict", "web")
	if c := conflictOf(t, e, "conflict"); c != nil {
		t.Errorf("an export that is not valid has %+v", c)
	}
}

// A part that the hub holds back, because it is not sure that it is gone, ends no conflict.
func TestConflictWithHeldExport(t *testing.T) {
	e, r := newEnv(t, "held")
	e.Make(t, members.Service("held", "web"))
	e.Make(t, members.Export("held", "web"))
	e.Hub.Member(t, "west", 2, "10.2.0.0/16")
	e.Remote(t, "west", 2, "10.2.0.0/16")
	other, _ := e.Hub.Publish(t, "west", "held", "web")
	members.Update(t, e.Hub, other, func() { other.Spec.Type = mcsv1beta1.Headless })
	e.Step(t, r, "held", "web")
	e.Step(t, r, "held", "web")
	wantCondition(t, e, "held", "web", "Conflict", "True", "TypeConflict")
	imported := &mcsv1beta1.ServiceImport{ObjectMeta: members.Meta("held", "web"),
		Spec: mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.Headless, Ports: []mcsv1beta1.ServicePort{}}}
	imported.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	e.Make(t, imported)
	imported.Status.Clusters = []mcsv1beta1.ClusterStatus{{Cluster: "east"}, {Cluster: "west"}}
	if err := e.Status().Update(t.Context(), imported); err != nil {
		t.Fatal(err)
	}
	remove(t, e.Hub, other) // no heartbeat says so
	e.Step(t, r, "held", "web")
	wantCondition(t, e, "held", "web", "Conflict", "True", "TypeConflict")
}

// A cluster whose Member is absent is not compared with, but what is imported from it may be in the
// way of what this cluster exports. That is said, with the remedy, and nothing else is in conflict.
func TestConflictBesideAnAbsentMember(t *testing.T) {
	e, r := newEnv(t, "absent")
	e.Make(t, members.Service("absent", "web"))
	e.Make(t, members.Export("absent", "web"))
	e.Remote(t, "west", 2, "10.2.0.0/16")
	imported := &mcsv1beta1.ServiceImport{ObjectMeta: members.Meta("absent", "web"), Spec: mcsv1beta1.ServiceImportSpec{
		Type: mcsv1beta1.ClusterSetIP, SessionAffinity: corev1.ServiceAffinityClientIP,
		Ports: []mcsv1beta1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}}}}
	imported.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	e.Make(t, imported)
	imported.Status.Clusters = []mcsv1beta1.ClusterStatus{{Cluster: "east"}, {Cluster: "west"}}
	if err := e.Status().Update(t.Context(), imported); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "absent", "web")
	e.Step(t, r, "absent", "web")
	message := wantCondition(t, e, "absent", "web", "Conflict", "True", "SessionAffinityConflict")
	for _, part := range []string{"west", "spec.removed", "ClientIP"} {
		if !strings.Contains(message, part) {
			t.Errorf("the message lacks %q: %s", part, message)
		}
	}
	members.Update(t, e, imported, func() { imported.Spec.SessionAffinity = corev1.ServiceAffinityNone })
	e.Step(t, r, "absent", "web")
	wantCondition(t, e, "absent", "web", "Conflict", "False", "NoConflicts")
}

// Somebody edits what is ours on the hub; it is put right, without a second object.
func TestRepairOnHub(t *testing.T) {
	e, r := newEnv(t, "repair")
	e.Make(t, members.Service("repair", "web"))
	e.Make(t, members.Slice("repair", "web-1", "web", "10.1.0.1"))
	e.Make(t, members.Export("repair", "web"))
	e.Step(t, r, "repair", "web")
	services, slices := published(t, e)
	edits := map[string]func(){
		"endpoint":        func() { slices[0].Endpoints[0].Conditions.Ready = ptr.To(false) },
		"service's label": func() { delete(slices[0].Labels, v1alpha1.LabelServiceName) },
		"another service": func() { slices[0].Labels[v1alpha1.LabelServiceName] = "api" },
		"export's name":   func() { services[0].Spec.Name = "api" },
		"export's type":   func() { services[0].Spec.Type = mcsv1beta1.Headless },
		"export's labels": func() { services[0].Labels["more"] = "of-them" },
	}
	wantServices, wantSlices := services[0].DeepCopy(), slices[0].DeepCopy()
	for name, edit := range edits {
		t.Run(name, func(t *testing.T) {
			services, slices = published(t, e)
			edit()
			for _, obj := range []client.Object{&services[0], &slices[0]} {
				if err := e.Hub.Update(t.Context(), obj); err != nil {
					t.Fatal(err)
				}
			}
			e.Step(t, r, "repair", "web")
			wantPublished(t, e, 1, 1)
			gotServices, gotSlices := published(t, e)
			if s := gotServices[0]; s.Spec.Name != wantServices.Spec.Name || s.Spec.Type != wantServices.Spec.Type || len(s.Labels) != len(wantServices.Labels) {
				t.Errorf("the export is %+v", s)
			}
			if s := gotSlices[0]; s.UID != wantSlices.UID || len(s.Labels) != len(wantSlices.Labels) || s.Labels[v1alpha1.LabelServiceName] != "web" ||
				!*s.Endpoints[0].Conditions.Ready {
				t.Errorf("the slice is %+v", s)
			}
		})
	}
}

// refuseNamed refuses writes of one object's content, as admission does.
func refuseNamed(resource, name string) members.Rule {
	refuse := members.Refuse(http.StatusUnprocessableEntity, resource)
	return func(r members.Request, next http.Handler) http.Handler {
		if !r.Write() || r.Verb == "delete" || (name != "" && r.Name != name) {
			return nil
		}
		return refuse(r, next)
	}
}

// through makes the member reach the hub through a gate.
func through(t *testing.T, e *members.Env) *members.Gate {
	t.Helper()
	gate := members.NewGate(t, e.Hub)
	gate.Cut()
	secret := &corev1.Secret{ObjectMeta: members.Meta(v1alpha1.DefaultNamespace, "tombolo-hub")}
	members.Update(t, e, secret, func() { secret.Data = gate.Access(secret.Data) })
	clusterSet(t, e, func(s *v1alpha1.ClusterSetSpec) { s.Hub.Server = gate.URL() })
	e.WaitStatus(t, v1alpha1.ReasonUnreachable)
	gate.Heal()
	e.WaitStatus(t, v1alpha1.ReasonConnected)
	return gate
}

func TestHubRefuses(t *testing.T) {
	e, r := newEnv(t, "refused")
	gate := through(t, e)
	clusterSet(t, e, func(s *v1alpha1.ClusterSetSpec) { s.EndpointsPerSlice = 1 })
	e.Make(t, members.Service("refused", "web"))
	local := members.Slice("refused", "web-1", "web", "10.1.0.1", "10.1.0.2", "10.1.0.3")
	e.Make(t, local)
	e.Make(t, members.Export("refused", "web"))
	fails := func(reason string) {
		t.Helper()
		e.Settle(t)
		if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(members.Export("refused", "web"))}); err == nil {
			t.Error("no error, so that it would not be tried again")
		}
		if message := wantCondition(t, e, "refused", "web", "Ready", "False", reason); !strings.Contains(message, "refused by the test") {
			t.Errorf("the message does not have the hub's words: %s", message)
		}
	}
	gate.Rule("refuse", refuseNamed("exportedservices", ""))
	fails("Failed")
	wantPublished(t, e, 0, 0)
	gate.Rule("refuse", nil)
	e.Step(t, r, "refused", "web")
	wantCondition(t, e, "refused", "web", "Ready", "True", "Exported")
	wantPublished(t, e, 1, 3)

	_, slices := published(t, e)
	gate.Rule("refuse", refuseNamed("endpointslices", slices[1].Name))
	members.Update(t, e, local, func() {
		for i := range local.Endpoints {
			local.Endpoints[i].Conditions.Ready = ptr.To(false)
		}
	})
	fails("Pending")
	if n := readyOn(t, e); n != 1 {
		t.Errorf("%d slices are as they were, want the refused one only", n)
	}
	version := exportVersion(t, e)
	fails("Pending")
	if exportVersion(t, e) != version {
		t.Error("the status was written though nothing changed")
	}
	gate.Rule("refuse", nil)
	e.Step(t, r, "refused", "web")
	wantCondition(t, e, "refused", "web", "Ready", "True", "Exported")
	if n := readyOn(t, e); n != 0 {
		t.Errorf("%d slices are as they were", n)
	}
}

// readyOn counts the slices on the hub with a ready endpoint.
func readyOn(t *testing.T, e *members.Env) int {
	t.Helper()
	_, slices := published(t, e)
	n := 0
	for _, s := range slices {
		if len(s.Endpoints) > 0 && *s.Endpoints[0].Conditions.Ready {
			n++
		}
	}
	return n
}

func exportVersion(t *testing.T, e *members.Env) string {
	t.Helper()
	export := members.Export("refused", "web")
	if err := e.Get(t.Context(), client.ObjectKeyFromObject(export), export); err != nil {
		t.Fatal(err)
	}
	return export.ResourceVersion
}

// One pod that changes readiness is one write on the hub, of whatever kind, in however many slices
// the others are.
func TestWritesForOneChange(t *testing.T) {
	e, r := newEnv(t, "writes")
	gate := through(t, e)
	clusterSet(t, e, func(s *v1alpha1.ClusterSetSpec) { s.EndpointsPerSlice = 2 })
	e.Make(t, members.Service("writes", "web"))
	local := members.Slice("writes", "web-1", "web", "10.1.0.1", "10.1.0.2", "10.1.0.3")
	e.Make(t, local)
	e.Make(t, members.Slice("writes", "web-2", "web", "10.1.0.4", "10.1.0.5"))
	e.Make(t, members.Export("writes", "web"))
	e.Step(t, r, "writes", "web")
	wantPublished(t, e, 1, 3)
	for _, tt := range []struct {
		name   string
		change func()
	}{
		{"readiness", func() { local.Endpoints[2].Conditions.Ready = ptr.To(false) }},
		{"replacement", func() { local.Endpoints[1].Addresses[0] = "10.1.0.9" }},
		{"nothing", func() {
			local.Annotations = map[string]string{"endpoints.kubernetes.io/last-change-trigger-time": "now"}
		}},
		{"another hint", func() {
			local.Endpoints[0].Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "zone-1"}}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := 1
			if tt.name == "nothing" || tt.name == "another hint" {
				want = 0
			}
			e.Step(t, r, "writes", "web")
			gate.Reset()
			members.Update(t, e, local, tt.change)
			e.Step(t, r, "writes", "web")
			e.Step(t, r, "writes", "web")
			if writes := gate.Writes(); len(writes) != want {
				t.Errorf("writes: %v, want %d", writes, want)
			}
		})
	}
}
