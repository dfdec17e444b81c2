//go:build integration

package serviceexport_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var (
	requireDual = ptr.To(corev1.IPFamilyPolicyRequireDualStack)
	v4, v6      = corev1.IPv4Protocol, corev1.IPv6Protocol
)

// v6Slice is a local IPv6 slice of web.
func v6Slice(name string, addresses ...string) *discoveryv1.EndpointSlice {
	s := members.Slice("", name, "web", addresses...)
	s.AddressType = discoveryv1.AddressTypeIPv6
	return s
}

// managedBy is the slice as another controller makes it.
func managedBy(s *discoveryv1.EndpointSlice, controller string) *discoveryv1.EndpointSlice {
	s.Labels[discoveryv1.LabelManagedBy] = controller
	return s
}

// kind is a Service, what its cluster says of its endpoints, and what is to be on the hub.
type kind struct {
	name  string
	spec  corev1.ServiceSpec
	local []*discoveryv1.EndpointSlice

	wantType     mcsv1beta1.ServiceImportType
	wantFamilies []corev1.IPFamily
	wantSlices   []string // as describe says
}

func kinds() []kind {
	http := []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("web")}}
	one := func() []*discoveryv1.EndpointSlice {
		return []*discoveryv1.EndpointSlice{members.Slice("", "web-1", "web", "10.1.0.1")}
	}
	both := func() []*discoveryv1.EndpointSlice {
		return append(one(), v6Slice("web-2", "fd00:1::1"))
	}
	oneSlice := []string{"IPv4 http/TCP/8080 10.1.0.1"}
	bothSlices := []string{"IPv4 http/TCP/8080 10.1.0.1", "IPv6 http/TCP/8080 fd00:1::1"}
	selector := map[string]string{"app": "web"}
	manual := managedBy(members.Slice("", "by-hand", "web", "10.1.0.1"), "somebody")
	manual.Ports[0].Port = ptr.To[int32](9999)
	mirrored := managedBy(members.Slice("", "web-mirror", "web", "10.1.0.1"), "endpointslicemirroring-controller.k8s.io")
	many := members.Slice("", "web-1", "web", "10.1.0.1")
	many.Ports = []discoveryv1.EndpointPort{
		{Name: ptr.To("http"), Port: ptr.To[int32](8080), Protocol: ptr.To(corev1.ProtocolTCP), AppProtocol: ptr.To("kubernetes.io/h2c")},
		{Name: ptr.To("dns"), Port: ptr.To[int32](5353), Protocol: ptr.To(corev1.ProtocolUDP)},
		{Name: ptr.To("sig"), Port: ptr.To[int32](3868), Protocol: ptr.To(corev1.ProtocolSCTP)},
	}
	return []kind{
		{"clusterip", corev1.ServiceSpec{Ports: http, Selector: selector}, one(), mcsv1beta1.ClusterSetIP, []corev1.IPFamily{v4}, oneSlice},
		{"nodeport", corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: http, Selector: selector}, one(), mcsv1beta1.ClusterSetIP, []corev1.IPFamily{v4}, oneSlice},
		{"loadbalancer", corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: http, Selector: selector}, one(), mcsv1beta1.ClusterSetIP, []corev1.IPFamily{v4}, oneSlice},
		{"headless", corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: http, Selector: selector}, one(), mcsv1beta1.Headless, []corev1.IPFamily{v4}, oneSlice},
		{
			"headless-no-ports", corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Selector: selector},
			[]*discoveryv1.EndpointSlice{{ObjectMeta: one()[0].ObjectMeta, AddressType: "IPv4", Endpoints: one()[0].Endpoints}},
			mcsv1beta1.Headless, []corev1.IPFamily{v4}, []string{"IPv4 10.1.0.1"},
		},
		{"no-selector", corev1.ServiceSpec{Ports: http}, []*discoveryv1.EndpointSlice{manual}, mcsv1beta1.ClusterSetIP, []corev1.IPFamily{v4}, []string{"IPv4 http/TCP/9999 10.1.0.1"}},
		{"mirrored", corev1.ServiceSpec{Ports: http}, []*discoveryv1.EndpointSlice{mirrored}, mcsv1beta1.ClusterSetIP, []corev1.IPFamily{v4}, oneSlice},
		{
			"ports", corev1.ServiceSpec{Selector: selector, Ports: []corev1.ServicePort{
				{Name: "http", Port: 80, AppProtocol: ptr.To("kubernetes.io/h2c")},
				{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromInt32(5353)},
				{Name: "sig", Port: 3868, Protocol: corev1.ProtocolSCTP},
			}},
			[]*discoveryv1.EndpointSlice{many}, mcsv1beta1.ClusterSetIP, []corev1.IPFamily{v4},
			[]string{"IPv4 dns/UDP/5353 http/TCP/8080(kubernetes.io/h2c) sig/SCTP/3868 10.1.0.1"},
		},
		{
			"v6", corev1.ServiceSpec{Ports: http, Selector: selector, IPFamilies: []corev1.IPFamily{v6}}, []*discoveryv1.EndpointSlice{v6Slice("web-1", "fd00:1::1")},
			mcsv1beta1.ClusterSetIP, []corev1.IPFamily{v6}, []string{"IPv6 http/TCP/8080 fd00:1::1"},
		},
		{
			"v4-v6", corev1.ServiceSpec{Ports: http, Selector: selector, IPFamilyPolicy: requireDual, IPFamilies: []corev1.IPFamily{v4, v6}}, both(),
			mcsv1beta1.ClusterSetIP, []corev1.IPFamily{v4, v6}, bothSlices,
		},
		{
			"v6-v4", corev1.ServiceSpec{Ports: http, Selector: selector, IPFamilyPolicy: requireDual, IPFamilies: []corev1.IPFamily{v6, v4}}, both(),
			mcsv1beta1.ClusterSetIP, []corev1.IPFamily{v6, v4}, bothSlices,
		},
		{
			"headless-dual", corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: http, Selector: selector, IPFamilyPolicy: requireDual, IPFamilies: []corev1.IPFamily{v6, v4}},
			both(), mcsv1beta1.Headless, []corev1.IPFamily{v6, v4}, bothSlices,
		},
	}
}

// describe lists the slices: family, ports, addresses.
func describe(all []discoveryv1.EndpointSlice) []string {
	var texts []string
	for _, s := range all {
		text := string(s.AddressType)
		for _, p := range s.Ports {
			text += fmt.Sprintf(" %s/%s/%d", *p.Name, *p.Protocol, *p.Port)
			if p.AppProtocol != nil {
				text += "(" + *p.AppProtocol + ")"
			}
		}
		for _, e := range s.Endpoints {
			text += " " + e.Addresses[0]
		}
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return texts
}

func TestExportKinds(t *testing.T) {
	e, r := newEnv(t, "kinds")
	member := &v1alpha1.Member{}
	if err := e.Hub.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: "east"}, member); err != nil {
		t.Fatal(err)
	}
	member.Spec.CIDRs = append(member.Spec.CIDRs, "fd00:1::/64")
	if err := e.Hub.Update(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	for _, test := range kinds() {
		t.Run(test.name, func(t *testing.T) {
			namespace := "kinds-" + test.name
			e.MakeNamespace(t, namespace, nil)
			service := &corev1.Service{ObjectMeta: members.Meta(namespace, "web"), Spec: test.spec}
			e.Make(t, service)
			for _, s := range test.local {
				s.Namespace = namespace
				e.Make(t, s)
			}
			if test.spec.Selector == nil {
				own := pod(t, e.Cluster, namespace, "own", nil, "10.1.0.1")
				defer remove(t, e, own)
			}
			export := members.Export(namespace, "web")
			e.Make(t, export)
			e.Step(t, r, namespace, "web")
			wantCondition(t, e, namespace, "web", "Valid", "True", "Valid")
			wantCondition(t, e, namespace, "web", "Ready", "True", "Exported")
			services, slices := published(t, e)
			if len(services) != 1 {
				t.Fatalf("%d Services are published, want 1", len(services))
			}
			spec := services[0].Spec
			if spec.Type != test.wantType || len(spec.Ports) != len(test.spec.Ports) {
				t.Errorf("published %+v, want type %s", spec, test.wantType)
			}
			if diff := cmp.Diff(test.wantFamilies, spec.IPFamilies); diff != "" {
				t.Errorf("families (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.wantSlices, describe(slices)); diff != "" {
				t.Errorf("slices (-want +got):\n%s", diff)
			}
			if err := e.Delete(t.Context(), export); err != nil {
				t.Fatal(err)
			}
			e.Step(t, r, namespace, "web")
			wantPublished(t, e, 0, 0)
		})
	}
}

// All that a cluster says of an endpoint travels, but for hints, its node and what the endpoint is.
func TestExportEndpointFields(t *testing.T) {
	e, r := newEnv(t, "fields")
	service := members.Service("fields", "web")
	service.Spec.ClusterIP, service.Spec.PublishNotReadyAddresses = corev1.ClusterIPNone, true
	e.Make(t, service)
	local := members.Slice("fields", "web-1", "web", "10.1.0.1", "10.1.0.2")
	terminating := discoveryv1.EndpointConditions{Ready: ptr.To(false), Serving: ptr.To(true), Terminating: ptr.To(true)}
	local.Endpoints[0].Conditions, local.Endpoints[0].Hostname = terminating, ptr.To("web-0")
	local.Endpoints[1].TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: "web-1"}
	local.Endpoints[1].Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "zone-1"}}}
	e.Make(t, local)
	e.Make(t, members.Export("fields", "web"))
	e.Step(t, r, "fields", "web")
	_, slices := published(t, e)
	want := []discoveryv1.Endpoint{
		{Addresses: []string{"10.1.0.1"}, Conditions: terminating, Hostname: ptr.To("web-0"), Zone: ptr.To("zone-1")},
		{Addresses: []string{"10.1.0.2"}, Conditions: local.Endpoints[1].Conditions, Zone: ptr.To("zone-1")},
	}
	if diff := cmp.Diff(want, slices[0].Endpoints); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}
