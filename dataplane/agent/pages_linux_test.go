package agent

import (
	"encoding/json"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// explainer is an agent with one import of two endpoints, one of them ready, whose loop only
// answers.
func explainer(t *testing.T) *Agent {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, mcsv1beta1.Install} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	web := &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "web", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		Spec: mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, IPs: []string{"244.0.0.7"},
			Ports: []mcsv1beta1.ServicePort{{Name: "http", Port: 80}}},
	}
	endpoints := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "east.web", Labels: map[string]string{
			v1alpha1.LabelServiceName: "web", v1alpha1.LabelSourceCluster: "east", discoveryv1.LabelManagedBy: v1alpha1.ManagedBy},
			OwnerReferences: []metav1.OwnerReference{{UID: "web"}}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"127.0.0.1"}},
			{Addresses: []string{"10.1.0.5"}},
			{Addresses: []string{"10.1.0.6"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(false)}},
		},
	}
	a := New(Config{NodeName: "worker", Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(web, endpoints).
		WithIndex(&discoveryv1.EndpointSlice{}, byService, serviceOf).WithIndex(&v1alpha1.TrafficPolicy{}, byTarget, targetOf).Build()})
	a.planner.place = plan.Place{Cluster: "west", Node: "worker", VIPs: []netip.Prefix{netip.MustParsePrefix("244.0.0.0/16")}}
	go a.loop.Run(t.Context())
	return a
}

func TestExplain(t *testing.T) {
	a := explainer(t)
	get := func(path string, status int) string {
		t.Helper()
		recorder := httptest.NewRecorder()
		a.DebugHandler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
		if recorder.Code != status {
			t.Fatalf("%s: %d %s, want %d", path, recorder.Code, recorder.Body, status)
		}
		return recorder.Body.String()
	}
	if text := get("/explain/shop/web", 503); !strings.Contains(text, "/readyz") {
		t.Errorf("without a plan: %s", text)
	}
	if err := a.loop.Ask(t.Context(), func() { a.planner.known = true }); err != nil {
		t.Fatal(err)
	}
	if text := get("/nothing", 404); !strings.Contains(text, "GET /explain ") {
		t.Errorf("at a path of nothing: %s", text)
	}
	if err := a.loop.Ask(t.Context(), func() {
		for _, name := range []string{"web", "db"} {
			a.planner.table.Put(types.NamespacedName{Namespace: "shop", Name: name},
				[]plan.VirtualService{{Key: plan.Key{Address: netip.MustParseAddr("244.0.0.7"), Protocol: serviceport.TCP, Port: 80}}})
		}
	}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/explain", "/explain/"} {
		if text := get(path, 200); text != "/explain/shop/db\n/explain/shop/web\n" {
			t.Errorf("%s: %q", path, text)
		}
	}
	if text := get("/explain/shop/nothing", 404); !strings.Contains(text, "shop/nothing") {
		t.Errorf("without an import: %s", text)
	}
	var all plan.Explained
	if err := json.Unmarshal([]byte(get("/explain/shop/web", 200)), &all); err != nil {
		t.Fatal(err)
	}
	got := all.Ports
	if len(all.Skipped) != 1 || !strings.Contains(all.Skipped[0].What, "127.0.0.1") || !strings.Contains(all.Skipped[0].Why, "loopback") {
		t.Errorf("skipped %+v", all.Skipped)
	}
	if len(got) != 1 || got[0].Address.String() != "244.0.0.7" || got[0].Port != 80 || len(got[0].Endpoints) != 2 {
		t.Fatalf("got %+v", got)
	}
	if got[0].Scheduler != v1alpha1.SchedulerRandom {
		t.Errorf("where nftables may serve it is %s, want Random", got[0].Scheduler)
	}
	if err := a.loop.Ask(t.Context(), func() { a.services.backend.Serve(v1alpha1.BackendIPVS, false) }); err != nil {
		t.Fatal(err)
	}
	all = plan.Explained{}
	if err := json.Unmarshal([]byte(get("/explain/shop/web", 200)), &all); err != nil || all.Ports[0].Scheduler != v1alpha1.SchedulerRoundRobin {
		t.Errorf("where IPVS serves it is %+v, want RoundRobin: %v", all.Ports, err)
	}
	in, out := got[0].Endpoints[0], got[0].Endpoints[1]
	if !in.Programmed || in.Weight != 1 || in.Why == "" || out.Programmed || out.Why == "" || in.Why == out.Why {
		t.Errorf("endpoints %+v", got[0].Endpoints)
	}
}
