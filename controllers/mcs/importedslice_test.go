package mcs

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
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
	got, _ := ImportedSlice(hub, owner, Source{Cluster: "west", CIDRs: prefixes("10.2.0.0/16")})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	hub.Labels[v1alpha1.LabelEndpoints] = v1alpha1.EndpointsExternal
	before := hub.DeepCopy()
	for _, own := range []bool{true, false} { // whatever the hub says, as versions before v0.1.0 let it
		got, _ := ImportedSlice(hub, owner, Source{Cluster: "west", CIDRs: prefixes("10.2.0.0/16"), Own: own, Nodes: map[string]string{"10.2.0.1": "local"}})
		if node := ptr.Deref(got.Endpoints[0].NodeName, ""); (node == "local") != own || !own && node != "" {
			t.Errorf("own %t: the endpoint's node is %q", own, node)
		}
		if clusterset.External(got.Labels) != own {
			t.Errorf("own %t: labels %v", own, got.Labels)
		}
	}
	if got, _ := ImportedSlice(hub, owner, Source{Cluster: "west", CIDRs: prefixes("10.2.0.0/16"), Own: true}); got.Endpoints[0].NodeName != nil {
		t.Error("the hub's word for the node counts")
	}
	if diff := cmp.Diff(before, hub); diff != "" {
		t.Errorf("the input was changed (-want +got):\n%s", diff)
	}
	if got, skipped := ImportedSlice(hub, owner, Source{Cluster: "west"}); len(got.Endpoints) != 0 || len(skipped) != 1 || skipped[0].Count != 2 {
		t.Errorf("without approved CIDRs, %d endpoints, skipped %+v", len(got.Endpoints), skipped)
	}
}

func TestServedPorts(t *testing.T) {
	port := func(name string, number int32, protocol corev1.Protocol) mcsv1beta1.ServicePort {
		return mcsv1beta1.ServicePort{Name: name, Port: number, Protocol: protocol}
	}
	all := []string{"http", "dns"}
	imported := []mcsv1beta1.ServicePort{port("http", 80, corev1.ProtocolTCP), port("dns", 53, corev1.ProtocolUDP)}
	for _, test := range []struct {
		name     string
		kind     mcsv1beta1.ServiceImportType
		exported []mcsv1beta1.ServicePort
		want     []string
	}{
		{"as imported", mcsv1beta1.ClusterSetIP, imported, all},
		{"no protocol is TCP", mcsv1beta1.ClusterSetIP, []mcsv1beta1.ServicePort{port("http", 80, ""), imported[1]}, all},
		{"another number", mcsv1beta1.ClusterSetIP, []mcsv1beta1.ServicePort{port("http", 8000, corev1.ProtocolTCP), imported[1]}, []string{"dns"}},
		{"another protocol", mcsv1beta1.ClusterSetIP, []mcsv1beta1.ServicePort{imported[0], port("dns", 53, corev1.ProtocolTCP)}, []string{"http"}},
		{"a name that the import lacks", mcsv1beta1.ClusterSetIP, []mcsv1beta1.ServicePort{port("www", 80, corev1.ProtocolTCP), imported[1]}, []string{"dns"}},
		{"nothing as imported", mcsv1beta1.ClusterSetIP, []mcsv1beta1.ServicePort{}, nil},
		{"not known", mcsv1beta1.ClusterSetIP, nil, all},
		{"another number, headless", mcsv1beta1.Headless, []mcsv1beta1.ServicePort{port("http", 8000, corev1.ProtocolTCP)}, all},
	} {
		t.Run(test.name, func(t *testing.T) {
			hub := localSlice("a", "IPv4", "10.2.0.1")
			hub.Ports = nil
			for _, name := range all {
				hub.Ports = append(hub.Ports, discoveryv1.EndpointPort{Name: &name, Port: ptr.To[int32](8080)})
			}
			owner := &mcsv1beta1.ServiceImport{Spec: mcsv1beta1.ServiceImportSpec{Type: test.kind, Ports: imported}}
			var got []string
			slice, _ := ImportedSlice(&hub, owner, Source{Cluster: "west", CIDRs: prefixes("10.2.0.0/16"), Ports: test.exported})
			for _, p := range slice.Ports {
				got = append(got, *p.Name)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	unnamed := localSlice("a", "IPv4", "10.2.0.1")
	unnamed.Ports = []discoveryv1.EndpointPort{{Port: ptr.To[int32](8080)}}
	only := []mcsv1beta1.ServicePort{port("", 80, corev1.ProtocolTCP)}
	owner := &mcsv1beta1.ServiceImport{Spec: mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, Ports: only}}
	if got, _ := ImportedSlice(&unnamed, owner, Source{Cluster: "west", Ports: only}); len(got.Ports) != 1 {
		t.Errorf("without a name: %v", got.Ports)
	}
}

func TestHints(t *testing.T) {
	long := strings.Repeat("z", 60)
	own, shared, foreign := Source{Cluster: "east", Own: true}, Source{Cluster: "west", SameZones: true}, Source{Cluster: "west"}
	for _, test := range []struct {
		name         string
		source       Source
		distribution string
		zone         *string
		zones, nodes []string
	}{
		{"no trafficDistribution", own, "", ptr.To("a"), nil, nil},
		{"an unknown one", own, "PreferMoon", ptr.To("a"), nil, nil},
		{"own zone", own, "PreferClose", ptr.To("a"), []string{"a"}, nil},
		{"own node", own, "PreferSameNode", ptr.To("a"), []string{"a"}, []string{"node"}},
		{"own node, no zone", own, "PreferSameNode", nil, nil, []string{"node"}},
		{"no zone", own, "PreferSameZone", nil, nil, nil},
		{"zones are shared", shared, "PreferSameZone", ptr.To("a"), []string{"a"}, nil},
		{"zones are shared, not nodes", shared, "PreferSameNode", ptr.To("a"), []string{"a"}, nil},
		{"another zone of that name", foreign, "PreferSameZone", ptr.To("a"), []string{"west.a"}, nil},
		{"too long a name", foreign, "PreferSameZone", &long, []string{"west." + long[:49] + "-66c7413a"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			hub := localSlice("a", "IPv4", "10.2.0.1")
			hub.Endpoints[0].Zone, hub.Endpoints[0].NodeName = test.zone, ptr.To("node")
			hub.Endpoints[0].Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "theirs"}}}
			test.source.CIDRs = prefixes("10.2.0.0/16")
			test.source.Nodes = map[string]string{"10.2.0.1": "node"}
			owner := &mcsv1beta1.ServiceImport{Spec: mcsv1beta1.ServiceImportSpec{TrafficDistribution: &test.distribution}}
			var zones, nodes []string
			slice, _ := ImportedSlice(&hub, owner, test.source)
			if hints := slice.Endpoints[0].Hints; hints != nil {
				for _, z := range hints.ForZones {
					zones = append(zones, z.Name)
				}
				for _, n := range hints.ForNodes {
					nodes = append(nodes, n.Name)
				}
			}
			if diff := cmp.Diff([][]string{test.zones, test.nodes}, [][]string{zones, nodes}); diff != "" {
				t.Errorf("zones and nodes (-want +got):\n%s", diff)
			}
		})
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
	for _, tt := range []struct {
		name string
		edit func(*discoveryv1.EndpointSlice)
	}{
		{"readiness", func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Conditions.Ready = ptr.To(false) }},
		{"address", func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Addresses[0] = "10.1.0.2" }},
		{"hostname", func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Hostname = ptr.To("x") }},
		{"zone", func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Zone = ptr.To("x") }},
		{"port", func(s *discoveryv1.EndpointSlice) { s.Ports[0].Port = ptr.To[int32](1) }},
		{"label", func(s *discoveryv1.EndpointSlice) { s.Labels["c"] = "d" }},
		{"hints", func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Hints = &discoveryv1.EndpointHints{} }},
		{"owner", func(s *discoveryv1.EndpointSlice) { s.OwnerReferences = []metav1.OwnerReference{{Name: "x"}} }},
		{"address type", func(s *discoveryv1.EndpointSlice) { s.AddressType = discoveryv1.AddressTypeIPv6 }},
	} {
		changed := base()
		tt.edit(changed)
		if SameSlice(base(), changed) {
			t.Errorf("a changed %s does not show", tt.name)
		}
	}
}
