package derived

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

const name = "derived-0123456789abcdef"

// web is a ServiceImport with one IPv4 address and port http.
func web(change func(*mcsv1beta1.ServiceImportSpec)) *mcsv1beta1.ServiceImport {
	si := &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "1"},
		Spec: mcsv1beta1.ServiceImportSpec{
			Type: mcsv1beta1.ClusterSetIP, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
			Ports: []mcsv1beta1.ServicePort{{Name: "http", Port: 80, AppProtocol: ptr.To("http")}},
		},
	}
	if change != nil {
		change(&si.Spec)
	}
	return si
}

func TestService(t *testing.T) {
	tcp := func(name string, port int32) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Protocol: corev1.ProtocolTCP, Port: port, TargetPort: intstr.FromInt32(port)}
	}
	http := tcp("http", 80)
	http.AppProtocol = ptr.To("http")
	plain := func(change func(*corev1.ServiceSpec)) *corev1.ServiceSpec {
		spec := &corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, Ports: []corev1.ServicePort{http}, SessionAffinity: corev1.ServiceAffinityNone,
			InternalTrafficPolicy: ptr.To(corev1.ServiceInternalTrafficPolicyCluster),
			IPFamilyPolicy:        ptr.To(corev1.IPFamilyPolicySingleStack), IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
		}
		if change != nil {
			change(spec)
		}
		return spec
	}
	affinity := &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr.To[int32](60)}}
	type imported = mcsv1beta1.ServiceImportSpec
	for _, tt := range []struct {
		name string
		of   func(*imported)
		want *corev1.ServiceSpec // nil: none
	}{
		{"plain", nil, plain(nil)},
		{"dual-stack", func(s *imported) { s.IPFamilies = []corev1.IPFamily{"IPv6", "IPv4"} },
			plain(func(s *corev1.ServiceSpec) {
				s.IPFamilies, s.IPFamilyPolicy = nil, ptr.To(corev1.IPFamilyPolicyPreferDualStack)
			})},
		{"headless", func(s *imported) { s.Type = mcsv1beta1.Headless },
			plain(func(s *corev1.ServiceSpec) { s.ClusterIP = "None" })},
		{"headless without ports", func(s *imported) { s.Type, s.Ports = mcsv1beta1.Headless, nil },
			plain(func(s *corev1.ServiceSpec) { s.ClusterIP, s.Ports = "None", nil })},
		{"without ports", func(s *imported) { s.Ports = nil }, nil},
		{"a port without a name", func(s *imported) { s.Ports = []mcsv1beta1.ServicePort{{Port: 53, Protocol: corev1.ProtocolUDP}} },
			plain(func(s *corev1.ServiceSpec) {
				s.Ports = []corev1.ServicePort{{Protocol: corev1.ProtocolUDP, Port: 53, TargetPort: intstr.FromInt32(53)}}
			})},
		{"a port without a name among others", func(s *imported) { s.Ports = []mcsv1beta1.ServicePort{{Port: 53}, {Name: "a", Port: 1}} },
			plain(func(s *corev1.ServiceSpec) { s.Ports = []corev1.ServicePort{tcp("a", 1)} })},
		{"affinity", func(s *imported) {
			s.SessionAffinity, s.SessionAffinityConfig = corev1.ServiceAffinityClientIP, affinity
		},
			plain(func(s *corev1.ServiceSpec) {
				s.SessionAffinity, s.SessionAffinityConfig = corev1.ServiceAffinityClientIP, affinity
			})},
		{"affinity without a timeout", func(s *imported) {
			s.SessionAffinity, s.SessionAffinityConfig = corev1.ServiceAffinityClientIP, &corev1.SessionAffinityConfig{}
		}, plain(func(s *corev1.ServiceSpec) { s.SessionAffinity = corev1.ServiceAffinityClientIP })},
		{"on the node", func(s *imported) { s.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyLocal) },
			plain(func(s *corev1.ServiceSpec) {
				s.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyLocal)
			})},
		{"distribution", func(s *imported) { s.TrafficDistribution = ptr.To("PreferSameNode") },
			plain(func(s *corev1.ServiceSpec) { s.TrafficDistribution = ptr.To("PreferClose") })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Service(web(tt.of), name)
			if got == nil || tt.want == nil {
				if got != nil || tt.want != nil {
					t.Fatalf("got %+v, want %+v", got, tt.want)
				}
				return
			}
			if diff := cmp.Diff(tt.want, &got.Spec, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if got.Name != name || got.Namespace != "shop" || !Ours(got) || metav1.GetControllerOf(got).UID != "1" {
				t.Errorf("metadata %+v", got.ObjectMeta)
			}
		})
	}
}

// made is the Service as the API server would complete it.
func made(change func(*mcsv1beta1.ServiceImportSpec)) *corev1.Service {
	s := Service(web(change), name)
	if s.Spec.ClusterIP == "" {
		s.Spec.ClusterIP = "10.96.0.7"
	}
	s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
	if s.Spec.IPFamilies == nil {
		s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	if s.Spec.SessionAffinity == corev1.ServiceAffinityClientIP && s.Spec.SessionAffinityConfig == nil {
		s.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr.To[int32](10800)}}
	}
	return s
}

func TestAmend(t *testing.T) {
	type imported = mcsv1beta1.ServiceImportSpec
	for name, of := range map[string]func(*imported){
		"plain":      nil,
		"dual-stack": func(s *imported) { s.IPFamilies = []corev1.IPFamily{"IPv4", "IPv6"} },
		"headless":   func(s *imported) { s.Type = mcsv1beta1.Headless },
		"affinity":   func(s *imported) { s.SessionAffinity = corev1.ServiceAffinityClientIP },
	} {
		have := made(of)
		metav1.SetMetaDataAnnotation(&have.ObjectMeta, "note", "theirs")
		if amended, changed := Amend(have, Service(web(of), have.Name)); changed {
			t.Errorf("%s: what nobody changed is amended:\n%s", name, cmp.Diff(have, amended))
		}
	}
	for name, drift := range map[string]func(*corev1.Service){
		"selector": func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "mine"} },
		"port":     func(s *corev1.Service) { s.Spec.Ports[0].Port = 81 },
		"external": func(s *corev1.Service) { s.Spec.ExternalIPs = []string{"192.0.2.1"} },
		"type":     func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort },
		"affinity": func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP },
		"policy":   func(s *corev1.Service) { s.Spec.InternalTrafficPolicy = nil },
		"owner":    func(s *corev1.Service) { s.OwnerReferences = nil },
		"unready":  func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true },
	} {
		have := made(nil)
		drift(have)
		amended, changed := Amend(have, Service(web(nil), have.Name))
		if diff := cmp.Diff(made(nil), amended); !changed || diff != "" {
			t.Errorf("%s: changed %v (-want +got):\n%s", name, changed, diff)
		}
	}
}

func TestReplaced(t *testing.T) {
	plain, headless := made(nil), made(func(s *mcsv1beta1.ServiceImportSpec) { s.Type = mcsv1beta1.Headless })
	six := made(func(s *mcsv1beta1.ServiceImportSpec) { s.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol} })
	for _, tt := range []struct {
		name       string
		have, want *corev1.Service
		replaced   bool
	}{
		{"the same", plain, plain, false},
		{"headless", plain, headless, true},
		{"no longer headless", headless, plain, true},
		{"another family", plain, six, true},
		{"both families", plain, made(func(s *mcsv1beta1.ServiceImportSpec) { s.IPFamilies = []corev1.IPFamily{"IPv4", "IPv6"} }), false},
	} {
		if got := Replaced(tt.have, tt.want); got != tt.replaced {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.replaced)
		}
	}
}

// slice is an imported slice of a cluster, with an endpoint for each condition Ready.
func slice(cluster string, ready ...bool) discoveryv1.EndpointSlice {
	s := discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: cluster + ".h.0", Labels: map[string]string{
			v1alpha1.LabelServiceName: "web", v1alpha1.LabelSourceCluster: cluster, corev1.IsHeadlessService: "",
		}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}},
	}
	for i, r := range ready {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{"10.2.0." + string(rune('1'+i))}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(r)},
			Hints: &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "a"}}},
		})
	}
	return s
}

func TestSlices(t *testing.T) {
	service := made(nil)
	got := Slices(service, []discoveryv1.EndpointSlice{slice("west", true), slice("east", true)}, func(v1alpha1.ClusterID) bool { return true })
	if len(got) != 2 || got[0].Name != name+".east.h.0" || got[1].Name != name+".west.h.0" {
		t.Fatalf("slices %+v", got)
	}
	want := map[string]string{"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "tombolo.dev"}
	if diff := cmp.Diff(want, got[1].Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(slice("west", true).Endpoints, got[1].Endpoints); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	headless := Slices(made(func(s *mcsv1beta1.ServiceImportSpec) { s.Type = mcsv1beta1.Headless }),
		[]discoveryv1.EndpointSlice{slice("west", true)}, func(v1alpha1.ClusterID) bool { return true })
	if _, has := headless[0].Labels["service.kubernetes.io/headless"]; !has {
		t.Errorf("a headless Service's slice has %v", headless[0].Labels)
	}
}

func TestSlicesOfUnreachableClusters(t *testing.T) {
	for _, tt := range []struct {
		name       string
		west, east []bool
		lost       []string
		want       int // ready
	}{
		{"all are reached", []bool{true, true}, []bool{true, false}, nil, 3},
		{"one is lost", []bool{true, true}, []bool{true, false}, []string{"west"}, 1},
		{"the other has none ready", []bool{true, true}, []bool{false}, []string{"west"}, 2},
		{"all are lost", []bool{true, true}, []bool{true}, []string{"west", "east"}, 3},
	} {
		lost := map[v1alpha1.ClusterID]bool{}
		for _, l := range tt.lost {
			lost[v1alpha1.ClusterID(l)] = true
		}
		imported := []discoveryv1.EndpointSlice{slice("west", tt.west...), slice("east", tt.east...)}
		before := []discoveryv1.EndpointSlice{*imported[0].DeepCopy(), *imported[1].DeepCopy()}
		got := 0
		for _, s := range Slices(made(nil), imported, func(c v1alpha1.ClusterID) bool { return !lost[c] }) {
			for _, e := range s.Endpoints {
				if *e.Conditions.Ready {
					got++
				}
			}
		}
		if got != tt.want {
			t.Errorf("%s: %d are ready, want %d", tt.name, got, tt.want)
		}
		if diff := cmp.Diff(before, imported); diff != "" {
			t.Errorf("%s: the imported slices have changed (-before +after):\n%s", tt.name, diff)
		}
	}
}

func TestDiff(t *testing.T) {
	all := func(v1alpha1.ClusterID) bool { return true }
	have := Slices(made(nil), []discoveryv1.EndpointSlice{slice("east", true), slice("west", true), slice("north", true)}, all)
	if change := Diff(have, have); !change.Empty() {
		t.Errorf("Diff of the same is %+v", change)
	}
	six := slice("east", true)
	six.AddressType = discoveryv1.AddressTypeIPv6
	change := Diff(have, Slices(made(nil), []discoveryv1.EndpointSlice{six, slice("west", false), slice("south", true)}, all))
	names := func(slices []discoveryv1.EndpointSlice) (all []string) {
		for _, s := range slices {
			all = append(all, s.Name)
		}
		return all
	}
	if diff := cmp.Diff([]string{name + ".south.h.0"}, names(change.Create)); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{name + ".west.h.0"}, names(change.Update)); diff != "" {
		t.Errorf("updated (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{name + ".east.h.0", name + ".north.h.0"}, names(change.Delete)); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
}
