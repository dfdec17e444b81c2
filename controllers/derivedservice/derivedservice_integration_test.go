//go:build integration

package derivedservice_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/derivedservice"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

// reports are the events that the controller made.
type reports struct{ notes []string }

// Eventf implements events.EventRecorder.
func (r *reports) Eventf(_, _ runtime.Object, _, reason, _, note string, args ...any) {
	r.notes = append(r.notes, reason+": "+fmt.Sprintf(note, args...))
}

// scene is one import, shop/web, of the clusters east (this one) and west.
type scene struct {
	*members.Env
	r       *derivedservice.Reconciler
	reports *reports
	owner   *mcsv1beta1.ServiceImport
	service client.ObjectKey // of the derived Service
}

func newScene(t *testing.T, namespace string, change func(*mcsv1beta1.ServiceImportSpec)) *scene {
	t.Helper()
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, derivedservice.Index)
	e.MakeNamespace(t, namespace, map[string]string{"mesh": "yes"})
	owner := &mcsv1beta1.ServiceImport{
		ObjectMeta: members.Meta(namespace, "web"),
		Spec: mcsv1beta1.ServiceImportSpec{
			Type: mcsv1beta1.ClusterSetIP, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, IPs: []string{"244.0.0.9"},
			Ports: []mcsv1beta1.ServicePort{{Name: "http", Port: 80}},
		},
	}
	owner.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	if change != nil {
		change(&owner.Spec)
	}
	e.Make(t, owner)
	owner.Status.Clusters = []mcsv1beta1.ClusterStatus{{Cluster: "east"}, {Cluster: "west"}}
	if err := e.Status().Update(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	s := &scene{Env: e, owner: owner, reports: &reports{}, service: client.ObjectKey{Namespace: namespace, Name: clusterset.DerivedServiceName(namespace, "web")}}
	s.r = &derivedservice.Reconciler{Client: e.Own.GetClient(), Events: s.reports}
	t.Cleanup(func() {
		// There is no garbage collector.
		_ = e.Hub.Client.DeleteAllOf(context.Background(), &corev1.Service{}, client.InNamespace(namespace))
		_ = e.Hub.Client.DeleteAllOf(context.Background(), &discoveryv1.EndpointSlice{}, client.InNamespace(namespace))
	})
	return s
}

// imported makes an imported slice of the cluster.
func (s *scene) imported(t *testing.T, cluster v1alpha1.ClusterID, addresses ...string) *discoveryv1.EndpointSlice {
	t.Helper()
	slice := members.Slice(s.owner.Namespace, clusterset.HubSliceName(cluster, s.owner.Namespace, "web", 0), "", addresses...)
	slice.Labels = mcs.SliceLabels(cluster, "web", nil)
	s.Make(t, slice)
	return slice
}

// choose writes ClusterSet.spec.derivedServices.
func (s *scene) choose(t *testing.T, options *v1alpha1.DerivedServices) {
	t.Helper()
	set := &v1alpha1.ClusterSet{}
	if err := s.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		t.Fatal(err)
	}
	set.Spec.DerivedServices = options
	if err := s.Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) step(t *testing.T) {
	t.Helper()
	s.Step(t, s.r, s.owner.Namespace, "web")
}

// derived returns the Service, nil if there is none, and what its slices hold: "address" or
// "address not ready", by slice.
func (s *scene) derived(t *testing.T) (*corev1.Service, map[string][]string) {
	t.Helper()
	service, err := optional.Get[corev1.Service](t.Context(), s.Client, s.service)
	if err != nil {
		t.Fatal(err)
	}
	list := &discoveryv1.EndpointSliceList{}
	if err := s.List(t.Context(), list, client.InNamespace(s.owner.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: s.service.Name}); err != nil {
		t.Fatal(err)
	}
	held := map[string][]string{}
	for _, slice := range list.Items {
		name := strings.TrimPrefix(slice.Name, s.service.Name+".")
		name, _, _ = strings.Cut(name, ".")
		for _, e := range slice.Endpoints {
			text := e.Addresses[0]
			if !ptr.Deref(e.Conditions.Ready, true) {
				text += " not ready"
			}
			held[name] = append(held[name], text)
		}
	}
	return service, held
}

// annotation is what the import says of its derived Service.
func (s *scene) annotation(t *testing.T) string {
	t.Helper()
	now := &mcsv1beta1.ServiceImport{}
	if err := s.Get(t.Context(), client.ObjectKeyFromObject(s.owner), now); err != nil {
		t.Fatal(err)
	}
	return now.Annotations["multicluster.kubernetes.io/derived-service"]
}

func TestDerivedService(t *testing.T) {
	s := newScene(t, "derived", nil)
	s.imported(t, "east", "10.1.0.1")
	west := s.imported(t, "west", "10.2.0.1", "10.2.0.2")
	s.step(t)
	if service, _ := s.derived(t); service != nil || s.annotation(t) != "" {
		t.Fatalf("there is a derived Service that nobody asked for: %+v", service)
	}
	s.choose(t, &v1alpha1.DerivedServices{})
	s.step(t)
	service, held := s.derived(t)
	if service == nil || service.Spec.ClusterIP == "" || service.Spec.ClusterIP == "None" || len(service.Spec.Selector) > 0 {
		t.Fatalf("the derived Service is %+v", service)
	}
	if owner := metav1.GetControllerOf(service); owner == nil || owner.UID != s.owner.UID {
		t.Errorf("it belongs to %+v", owner)
	}
	if got := s.annotation(t); got != s.service.Name {
		t.Errorf("the import names %q, want %q", got, s.service.Name)
	}
	if diff := cmp.Diff(map[string][]string{"east": {"10.1.0.1"}, "west": {"10.2.0.1", "10.2.0.2"}}, held); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}

	before := s.versions(t)
	s.step(t)
	if diff := cmp.Diff(before, s.versions(t)); diff != "" {
		t.Errorf("written though nothing changed:\n%s", diff)
	}

	// Endpoints come and go, a slice goes.
	west.Endpoints = west.Endpoints[1:]
	if err := s.Update(t.Context(), west); err != nil {
		t.Fatal(err)
	}
	s.step(t)
	if _, held := s.derived(t); !cmp.Equal(held["west"], []string{"10.2.0.2"}) {
		t.Errorf("endpoints %v", held)
	}
	if err := s.Delete(t.Context(), west); err != nil {
		t.Fatal(err)
	}
	s.step(t)
	if _, held := s.derived(t); !cmp.Equal(held, map[string][]string{"east": {"10.1.0.1"}}) {
		t.Errorf("endpoints %v", held)
	}

	// What somebody changed is repaired.
	service.Spec.Selector = map[string]string{"app": "mine"}
	if err := s.Update(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	s.step(t)
	if service, _ := s.derived(t); len(service.Spec.Selector) > 0 {
		t.Errorf("drift was not repaired: %+v", service.Spec)
	}

	s.choose(t, nil)
	s.step(t)
	if service, _ := s.derived(t); service != nil || s.annotation(t) != "" {
		t.Errorf("it is still there, though nothing selects it: %+v", service)
	}
}

// versions are the resource versions of what the controller writes.
func (s *scene) versions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, list := range []client.ObjectList{&corev1.ServiceList{}, &discoveryv1.EndpointSliceList{}, &mcsv1beta1.ServiceImportList{}} {
		if err := s.List(t.Context(), list, client.InNamespace(s.owner.Namespace)); err != nil {
			t.Fatal(err)
		}
		_ = meta.EachListItem(list, func(item runtime.Object) error {
			o := item.(client.Object)
			all[fmt.Sprintf("%T %s", o, o.GetName())] = o.GetResourceVersion()
			return nil
		})
	}
	return all
}

func TestSelectors(t *testing.T) {
	s := newScene(t, "selectors", nil)
	is := func(key, value string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
	}
	for _, tt := range []struct {
		name    string
		options *v1alpha1.DerivedServices
		want    bool
	}{
		{"all", &v1alpha1.DerivedServices{}, true},
		{"another namespace", &v1alpha1.DerivedServices{NamespaceSelector: is("mesh", "no")}, false},
		{"the namespace", &v1alpha1.DerivedServices{NamespaceSelector: is("mesh", "yes")}, true},
		{"the namespace, another import", &v1alpha1.DerivedServices{NamespaceSelector: is("mesh", "yes"), ImportSelector: is("team", "a")}, false},
		{"the import", &v1alpha1.DerivedServices{ImportSelector: is(v1alpha1.LabelManagedBy, v1alpha1.ManagedBy)}, true},
		{"what cannot be read changes nothing", &v1alpha1.DerivedServices{ImportSelector: &metav1.LabelSelector{
			MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}}, true},
		{"none", nil, false},
	} {
		s.choose(t, tt.options)
		s.step(t)
		if service, _ := s.derived(t); (service != nil) != tt.want {
			t.Errorf("%s: there is a derived Service: %v, want %v", tt.name, service != nil, tt.want)
		}
	}
	if len(s.reports.notes) != 1 || !strings.Contains(s.reports.notes[0], "InvalidSelector: ClusterSet.spec.derivedServices.importSelector") {
		t.Errorf("events %q", s.reports.notes)
	}
}

// kube-proxy does not know that a cluster is out of reach.
func TestUnreachableCluster(t *testing.T) {
	s := newScene(t, "unreachable", nil)
	west := s.Remote(t, "west", 2, "10.2.0.0/16")
	s.imported(t, "east", "10.1.0.1")
	s.imported(t, "west", "10.2.0.1")
	s.choose(t, &v1alpha1.DerivedServices{})
	for status, want := range map[metav1.ConditionStatus]string{metav1.ConditionFalse: "10.2.0.1 not ready", metav1.ConditionTrue: "10.2.0.1"} {
		meta.SetStatusCondition(&west.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReachable, Status: status, Reason: "Test"})
		if err := s.Status().Update(t.Context(), west); err != nil {
			t.Fatal(err)
		}
		s.step(t)
		if _, held := s.derived(t); !cmp.Equal(held, map[string][]string{"east": {"10.1.0.1"}, "west": {want}}) {
			t.Errorf("with Reachable %s the endpoints are %v", status, held)
		}
	}
}

func TestHeadless(t *testing.T) {
	s := newScene(t, "headless-derived", nil)
	s.imported(t, "west", "10.2.0.1")
	s.choose(t, &v1alpha1.DerivedServices{})
	s.step(t)
	if err := s.Get(t.Context(), client.ObjectKeyFromObject(s.owner), s.owner); err != nil {
		t.Fatal(err)
	}
	s.owner.Spec.Type, s.owner.Spec.IPs = mcsv1beta1.Headless, nil
	if err := s.Update(t.Context(), s.owner); err != nil {
		t.Fatal(err)
	}
	s.step(t) // it cannot become headless: the old one goes
	if service, _ := s.derived(t); service != nil {
		t.Fatalf("it is still %+v", service.Spec)
	}
	s.step(t)
	service, held := s.derived(t)
	if service == nil || service.Spec.ClusterIP != "None" || !cmp.Equal(held, map[string][]string{"west": {"10.2.0.1"}}) {
		t.Errorf("it is %+v with %v", service, held)
	}
}

// Somebody else's Service is never touched, and what the API server refuses is reported.
func TestInTheWay(t *testing.T) {
	s := newScene(t, "in-the-way", nil)
	s.choose(t, &v1alpha1.DerivedServices{})
	theirs := members.Service(s.service.Namespace, s.service.Name)
	theirs.Spec.Selector = map[string]string{"app": "mine"}
	s.Make(t, theirs)
	s.step(t)
	if service, held := s.derived(t); service.ResourceVersion != theirs.ResourceVersion || len(held) > 0 || s.annotation(t) != "" {
		t.Errorf("somebody else's Service was used: %+v, %v", service, held)
	}
	if len(s.reports.notes) != 1 || !strings.Contains(s.reports.notes[0], "NotOurs: ") || !strings.Contains(s.reports.notes[0], s.service.Name) {
		t.Errorf("events %q", s.reports.notes)
	}
	s.choose(t, nil)
	s.step(t)
	if service, _ := s.derived(t); service == nil {
		t.Error("somebody else's Service was deleted")
	}
	if err := s.Delete(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}

	if err := s.Get(t.Context(), client.ObjectKeyFromObject(s.owner), s.owner); err != nil {
		t.Fatal(err)
	}
	s.owner.Spec.Ports[0].Name = "NO_LABEL"
	if err := s.Update(t.Context(), s.owner); err != nil {
		t.Fatal(err)
	}
	s.choose(t, &v1alpha1.DerivedServices{})
	s.reports.notes = nil
	s.step(t)
	if service, _ := s.derived(t); service != nil || s.annotation(t) != "" {
		t.Errorf("the derived Service is %+v", service)
	}
	if len(s.reports.notes) == 0 || !strings.Contains(s.reports.notes[0], "Refused: the API server refuses the derived Service: ") {
		t.Errorf("events %q", s.reports.notes)
	}
}

// A ServiceImport that tombolo did not make gets none.
func TestForeignImport(t *testing.T) {
	s := newScene(t, "foreign-import", nil)
	s.choose(t, &v1alpha1.DerivedServices{})
	s.step(t)
	if err := s.Get(t.Context(), client.ObjectKeyFromObject(s.owner), s.owner); err != nil {
		t.Fatal(err)
	}
	s.owner.Labels = nil
	if err := s.Update(t.Context(), s.owner); err != nil {
		t.Fatal(err)
	}
	s.step(t)
	if service, _ := s.derived(t); service != nil {
		t.Errorf("there is %+v", service)
	}
}
