//go:build integration

// Package gatewayapi tests that implementations of the Gateway API can use what tombolo writes. It
// runs the operator with a real API server, reads back what it wrote, and gives that to Envoy
// Gateway's own translator (hack/tools/envoy).
package gatewayapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
	"github.com/tombolo-net/tombolo/test/harness/running"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

// start runs the operator of the member east, of the clusterset that has west, too, until the test
// ends.
func start(t *testing.T) *members.Env {
	t.Helper()
	c := clusters[members.HubName]
	c.Dump(t)
	e := members.NewEnv(t, c, c, nil)
	e.Hub.Member(t, "west", 2, "10.2.0.0/16")
	running.Operator(t, e.Cluster)
	return e
}

// export exports the Service from east, where it has that ready endpoint.
func export(t *testing.T, e *members.Env, service *corev1.Service, address string) {
	t.Helper()
	e.Make(t, service)
	e.Make(t, members.Slice(service.Namespace, service.Name+"-1", service.Name, address))
	e.Make(t, members.Export(service.Namespace, service.Name))
}

// imported waits until the import is there with a derived Service, and slices of both hold these
// addresses.
func imported(t *testing.T, e *members.Env, namespace, name string, addresses ...string) {
	t.Helper()
	members.Eventually(t, func() error {
		si := &mcsv1beta1.ServiceImport{}
		if err := e.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, si); err != nil {
			return err
		}
		if si.Annotations[v1alpha1.AnnotationDerivedService] == "" {
			return errors.New("no derived Service yet")
		}
		for label, value := range map[string]string{
			v1alpha1.LabelServiceName:    name,
			discoveryv1.LabelServiceName: clusterset.DerivedServiceName(namespace, name),
		} {
			list := &discoveryv1.EndpointSliceList{}
			if err := e.List(t.Context(), list, client.InNamespace(namespace), client.MatchingLabels{label: value}); err != nil {
				return err
			}
			var held []string
			for _, slice := range list.Items {
				for _, endpoint := range slice.Endpoints {
					held = append(held, endpoint.Addresses...)
				}
			}
			slices.Sort(held)
			if !slices.Equal(held, addresses) {
				return fmt.Errorf("the slices with label %s=%s hold %v, want %v", label, value, held, addresses)
			}
		}
		return nil
	})
}

// asServed are all objects of a kind, as the API server serves that version of it.
func asServed(t *testing.T, e *members.Env, apiVersion, kind string) []map[string]any {
	t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(apiVersion)
	list.SetKind(kind + "List")
	if err := e.List(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for _, item := range list.Items {
		all = append(all, item.Object)
	}
	return all
}

// endpoints wants these endpoints of a route, sorted, "address:port", with " draining" behind.
type endpoints []string

func TestEnvoyGateway(t *testing.T) {
	e := start(t)
	for _, namespace := range []string{"shop", "edge", "stranger"} {
		e.MakeNamespace(t, namespace, nil)
	}
	set := &v1alpha1.ClusterSet{ObjectMeta: members.Meta("", v1alpha1.ClusterSetName)}
	members.Update(t, e, set, func() { set.Spec.DerivedServices = &v1alpha1.DerivedServices{} })
	t.Cleanup(func() { clear(e) })
	export(t, e, members.Service("shop", "web"), "10.1.0.1")
	_, published := e.Hub.Publish(t, "west", "shop", "web", []string{"10.2.0.1", "10.2.0.2"})
	published[0].Endpoints[1].Conditions.Ready = ptr.To(false)
	published[0].Ports[0].Port = ptr.To[int32](9090) // each cluster has its own target port
	if err := e.Hub.Update(t.Context(), published[0]); err != nil {
		t.Fatal(err)
	}
	headless := members.Service("shop", "db")
	headless.Spec.ClusterIP = corev1.ClusterIPNone
	export(t, e, headless, "10.1.0.5")
	dbs, _ := e.Hub.Publish(t, "west", "shop", "db", []string{"10.2.0.5"})
	dbs.Spec.Type = mcsv1beta1.Headless
	if err := e.Hub.Update(t.Context(), dbs); err != nil {
		t.Fatal(err)
	}
	imported(t, e, "shop", "web", "10.1.0.1", "10.2.0.1", "10.2.0.2")
	imported(t, e, "shop", "db", "10.1.0.5", "10.2.0.5")
	derived := clusterset.DerivedServiceName("shop", "web")
	members.Eventually(t, func() error { return errors.Join(slicesSay(t, e, "9090", "10.2.0.2"), drained(t, e, derived)) })

	both := endpoints{"10.1.0.1:8080", "10.2.0.1:9090", "10.2.0.2:9090 draining"}
	reached := endpoints{"10.1.0.1:8080", "10.2.0.1:9090 draining", "10.2.0.2:9090 draining"}
	tests := []struct {
		name      string
		namespace string // of the route
		backend   map[string]any
		want      endpoints
		reason    string // of the route's condition ResolvedRefs
	}{
		{"import", "shop", serviceImport("web", 80), both, "ResolvedRefs"},
		{"headless", "shop", serviceImport("db", 80), endpoints{"10.1.0.5:8080", "10.2.0.5:8080"}, "ResolvedRefs"},
		{"derived", "shop", map[string]any{"kind": "Service", "name": derived, "port": 80}, reached, "ResolvedRefs"},
		{"other-port", "shop", serviceImport("web", 81), nil, "PortNotFound"},
		{"no-import", "shop", serviceImport("nobody", 80), nil, "BackendNotFound"},
		{"granted", "edge", in("shop", serviceImport("web", 80)), both, "ResolvedRefs"},
		{"not-granted", "stranger", in("shop", serviceImport("web", 80)), nil, "RefNotPermitted"},
	}
	in := map[string]any{
		"gatewayClass": object("gateway.networking.k8s.io/v1", "GatewayClass", "", "envoy",
			map[string]any{"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"}),
		"gateways": []any{object("gateway.networking.k8s.io/v1", "Gateway", "edge", "front", map[string]any{
			"gatewayClassName": "envoy",
			"listeners": []any{map[string]any{"name": "http", "port": 80, "protocol": "HTTP",
				"allowedRoutes": map[string]any{"namespaces": map[string]any{"from": "All"}}}},
		})},
		"referenceGrants": []any{object("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "shop", "edge", map[string]any{
			"from": []any{map[string]any{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "edge"}},
			"to":   []any{map[string]any{"group": "multicluster.x-k8s.io", "kind": "ServiceImport"}},
		})},
		"serviceImports": asServed(t, e, "multicluster.x-k8s.io/v1alpha1", "ServiceImport"), // what Envoy Gateway reads
		"endpointSlices": asServed(t, e, "discovery.k8s.io/v1", "EndpointSlice"),
		"services":       asServed(t, e, "v1", "Service"),
		"namespaces":     asServed(t, e, "v1", "Namespace"),
	}
	var routes []any
	for _, tt := range tests {
		routes = append(routes, object("gateway.networking.k8s.io/v1", "HTTPRoute", tt.namespace, tt.name, map[string]any{
			"parentRefs": []any{map[string]any{"name": "front", "namespace": "edge"}},
			"rules": []any{map[string]any{
				"matches":     []any{map[string]any{"path": map[string]any{"type": "PathPrefix", "value": "/" + tt.name}}},
				"backendRefs": []any{tt.backend},
			}},
		}))
	}
	in["httpRoutes"] = routes
	got := translate(t, in)
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, got.endpoints[tt.name]); diff != "" {
			t.Errorf("%s: endpoints (-want +got):\n%s", tt.name, diff)
		}
		if got.reasons[tt.name] != tt.reason {
			t.Errorf("%s: ResolvedRefs has the reason %s, want %s", tt.name, got.reasons[tt.name], tt.reason)
		}
	}
}

func serviceImport(name string, port int) map[string]any {
	return map[string]any{"group": "multicluster.x-k8s.io", "kind": "ServiceImport", "name": name, "port": port}
}

func in(namespace string, backend map[string]any) map[string]any {
	backend["namespace"] = namespace
	return backend
}

func object(apiVersion, kind, namespace, name string, spec map[string]any) map[string]any {
	metadata := map[string]any{"name": name}
	if namespace != "" {
		metadata["namespace"] = namespace
	}
	return map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": metadata, "spec": spec}
}

// slicesSay returns an error unless all copies of west's slice of web have these texts.
func slicesSay(t *testing.T, e *members.Env, texts ...string) error {
	for _, slice := range asServed(t, e, "discovery.k8s.io/v1", "EndpointSlice") {
		raw, err := json.Marshal(slice)
		if err != nil {
			return err
		}
		if !strings.Contains(string(raw), "10.2.0.1") {
			continue
		}
		for _, text := range texts {
			if !strings.Contains(string(raw), text) {
				return fmt.Errorf("no %s in %s", text, raw)
			}
		}
	}
	return nil
}

// drained returns an error unless the derived Service's endpoints in west are not ready: there is no
// gateway here, and no link to west.
func drained(t *testing.T, e *members.Env, service string) error {
	t.Helper()
	list := &discoveryv1.EndpointSliceList{}
	if err := e.List(t.Context(), list, client.MatchingLabels{discoveryv1.LabelServiceName: service}); err != nil {
		return err
	}
	for _, slice := range list.Items {
		for _, endpoint := range slice.Endpoints {
			if strings.HasPrefix(endpoint.Addresses[0], "10.2.") && ptr.Deref(endpoint.Conditions.Ready, true) {
				return fmt.Errorf("%s is ready in %s", endpoint.Addresses[0], slice.Name)
			}
		}
	}
	return nil
}

// clear removes what the operator made: this API server has no garbage collector.
func clear(e *members.Env) {
	ctx := context.Background()
	for _, kind := range []client.Object{&mcsv1beta1.ServiceImport{}, &corev1.Service{}, &discoveryv1.EndpointSlice{}} {
		_ = e.Hub.DeleteAllOf(ctx, kind, client.InNamespace("shop"))
	}
}

// sorted is the endpoints in the order of the tests.
func (e endpoints) sorted() endpoints {
	slices.Sort(e)
	return e
}
