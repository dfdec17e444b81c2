package mcs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

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
