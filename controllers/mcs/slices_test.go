package mcs

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

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
