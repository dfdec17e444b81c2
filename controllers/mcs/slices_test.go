package mcs

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func localSlice(name string, family discoveryv1.AddressType, addresses ...string) discoveryv1.EndpointSlice {
	s := discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "shop", Name: name},
		AddressType: family,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}},
	}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	return s
}

func service(families ...corev1.IPFamily) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Spec: corev1.ServiceSpec{IPFamilies: families}}
}

// addressesOf lists, for each slice, its family and addresses.
func addressesOf(slices []discoveryv1.EndpointSlice) []string {
	var all []string
	for _, s := range slices {
		text := string(s.AddressType)
		for _, e := range s.Endpoints {
			text += " " + e.Addresses[0]
		}
		all = append(all, text)
	}
	return all
}

func TestHubSlices(t *testing.T) {
	publisher := Publisher{Cluster: "east", HubNamespace: "hub", CIDRs: prefixes("10.1.0.0/16", "fd00:1::/64")}
	v4, v6 := corev1.IPv4Protocol, corev1.IPv6Protocol
	tests := []struct {
		name    string
		service *corev1.Service
		local   []discoveryv1.EndpointSlice
		want    []string
		outside []string
	}{
		{"no slice, an empty one for the family", service(v4), nil, []string{"IPv4"}, nil},
		{"no slice, dual-stack", service(v6, v4), nil, []string{"IPv4", "IPv6"}, nil},
		{"one", service(v4), []discoveryv1.EndpointSlice{localSlice("a", "IPv4", "10.1.0.1", "10.1.0.2")}, []string{"IPv4 10.1.0.1 10.1.0.2"}, nil},
		{
			"two, in the order of their names", service(v4),
			[]discoveryv1.EndpointSlice{localSlice("b", "IPv4", "10.1.0.2"), localSlice("a", "IPv4", "10.1.0.1")},
			[]string{"IPv4 10.1.0.1", "IPv4 10.1.0.2"}, nil,
		},
		{
			"dual-stack, one family without endpoints", service(v4, v6),
			[]discoveryv1.EndpointSlice{localSlice("a", "IPv6", "fd00:1::1")}, []string{"IPv4", "IPv6 fd00:1::1"}, nil,
		},
		{
			"outside, duplicates once", service(v4),
			[]discoveryv1.EndpointSlice{localSlice("a", "IPv4", "10.9.0.2", "10.1.0.1", "10.9.0.1"), localSlice("b", "IPv4", "10.9.0.1")},
			[]string{"IPv4 10.1.0.1", "IPv4"}, []string{"10.9.0.1", "10.9.0.2"},
		},
		{
			"names are not published", service(v4),
			[]discoveryv1.EndpointSlice{localSlice("a", "FQDN", "example.com")}, []string{"IPv4"}, nil,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, outside := publisher.HubSlices(test.service, test.local)
			if diff := cmp.Diff(test.want, addressesOf(got)); diff != "" {
				t.Errorf("slices (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.outside, outside); diff != "" {
				t.Errorf("outside (-want +got):\n%s", diff)
			}
			names := map[string]bool{}
			for _, s := range got {
				if names[s.Name] || s.Labels[v1alpha1.LabelNamespace] != "shop" || s.Labels[discoveryv1.LabelServiceName] != "" {
					t.Errorf("slice %s is named twice or labelled wrongly: %v", s.Name, s.Labels)
				}
				names[s.Name] = true
			}
		})
	}
}

// A slice keeps its name on the hub whatever happens to others.
func TestHubSliceNamesAreStable(t *testing.T) {
	publisher := Publisher{Cluster: "east", CIDRs: prefixes("10.1.0.0/16")}
	one := localSlice("web-x", "IPv4", "10.1.0.1")
	alone, _ := publisher.HubSlices(service(corev1.IPv4Protocol), []discoveryv1.EndpointSlice{one})
	among, _ := publisher.HubSlices(service(corev1.IPv4Protocol), []discoveryv1.EndpointSlice{
		localSlice("web-a", "IPv4", "10.1.0.2"), one, localSlice("web-z", "IPv4", "10.1.0.3"),
	})
	if alone[0].Name != among[1].Name {
		t.Errorf("%s alone, %s among others", alone[0].Name, among[1].Name)
	}
}

func TestSliceNumberOfEqualHashes(t *testing.T) {
	used := map[int]bool{}
	first := sliceNumber("a", used)
	if second := sliceNumber("a", used); second != first+1 {
		t.Errorf("got %d after %d", second, first)
	}
}

func TestImportedSlice(t *testing.T) {
	hub := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "hub", Name: "west.abc.1", Labels: map[string]string{
			v1alpha1.LabelNamespace: "shop", v1alpha1.LabelServiceName: "web", v1alpha1.LabelSourceCluster: "west",
		}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{
			{
				Addresses: []string{"10.2.0.1"}, Hostname: ptr.To("db-0"), NodeName: ptr.To("node"), Zone: ptr.To("a"),
				Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(false), Serving: ptr.To(true), Terminating: ptr.To(true)},
				TargetRef:  &corev1.ObjectReference{Name: "pod"},
				Hints:      &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "a"}}},
			},
			{Addresses: []string{"10.3.0.1"}},
		},
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}},
	}
	owner := &mcsv1beta1.ServiceImport{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u"}}
	want := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "west.abc.1",
			Labels: map[string]string{
				v1alpha1.LabelServiceName: "web", v1alpha1.LabelSourceCluster: "west",
				discoveryv1.LabelManagedBy: v1alpha1.ManagedBy, "service.kubernetes.io/headless": "",
			},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "multicluster.x-k8s.io/v1beta1", Kind: "ServiceImport", Name: "web", UID: "u", Controller: ptr.To(true),
			}},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{"10.2.0.1"}, Hostname: ptr.To("db-0"), Zone: ptr.To("a"),
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(false), Serving: ptr.To(true), Terminating: ptr.To(true)},
		}},
		Ports: hub.Ports,
	}
	before := hub.DeepCopy()
	got := ImportedSlice(hub, owner, prefixes("10.2.0.0/16"), false)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if own := ImportedSlice(hub, owner, prefixes("10.2.0.0/16"), true); ptr.Deref(own.Endpoints[0].NodeName, "") != "node" {
		t.Error("the node of the cluster's own endpoint is lost")
	}
	if diff := cmp.Diff(before, hub); diff != "" {
		t.Errorf("the input was changed (-want +got):\n%s", diff)
	}
	if got := ImportedSlice(hub, owner, nil, false); len(got.Endpoints) != 0 {
		t.Errorf("without approved CIDRs, %d endpoints", len(got.Endpoints))
	}
}

func TestSameSlice(t *testing.T) {
	base := func() *discoveryv1.EndpointSlice {
		s := localSlice("a", "IPv4", "10.1.0.1")
		s.Labels = map[string]string{"a": "b"}
		return &s
	}
	same := base()
	same.ResourceVersion, same.UID = "5", "u"
	if !SameSlice(same, base()) {
		t.Error("what the API server adds counts as a difference")
	}
	for name, edit := range map[string]func(*discoveryv1.EndpointSlice){
		"readiness":    func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Conditions.Ready = ptr.To(false) },
		"address":      func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Addresses[0] = "10.1.0.2" },
		"hostname":     func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Hostname = ptr.To("x") },
		"zone":         func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Zone = ptr.To("x") },
		"port":         func(s *discoveryv1.EndpointSlice) { s.Ports[0].Port = ptr.To[int32](1) },
		"label":        func(s *discoveryv1.EndpointSlice) { s.Labels["c"] = "d" },
		"owner":        func(s *discoveryv1.EndpointSlice) { s.OwnerReferences = []metav1.OwnerReference{{Name: "x"}} },
		"address type": func(s *discoveryv1.EndpointSlice) { s.AddressType = discoveryv1.AddressTypeIPv6 },
	} {
		changed := base()
		edit(changed)
		if SameSlice(base(), changed) {
			t.Errorf("a changed %s does not show", name)
		}
	}
}
