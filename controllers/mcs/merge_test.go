package mcs

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// exportBy returns an export that is age seconds younger than the oldest there can be.
func exportBy(cluster v1alpha1.ClusterID, age int, edit func(*v1alpha1.ExportedServiceSpec)) v1alpha1.ExportedService {
	e := v1alpha1.ExportedService{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.LabelSourceCluster: string(cluster)}},
		Spec: v1alpha1.ExportedServiceSpec{
			Namespace: "shop", Name: "web",
			ExportedAt: metav1.NewTime(time.Unix(int64(age), 0)),
			Type:       mcsv1beta1.ClusterSetIP,
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
		},
	}
	if edit != nil {
		edit(&e.Spec)
	}
	return e
}

func port(name string, protocol corev1.Protocol, number int32) mcsv1beta1.ServicePort {
	return mcsv1beta1.ServicePort{Name: name, Protocol: protocol, Port: number}
}

func withPorts(ports ...mcsv1beta1.ServicePort) func(*v1alpha1.ExportedServiceSpec) {
	return func(s *v1alpha1.ExportedServiceSpec) { s.Ports = ports }
}

func TestMergePorts(t *testing.T) {
	http, https := port("http", corev1.ProtocolTCP, 80), port("https", corev1.ProtocolTCP, 443)
	tests := []struct {
		name string
		in   []v1alpha1.ExportedService
		want []mcsv1beta1.ServicePort
	}{
		{"none", []v1alpha1.ExportedService{exportBy("east", 1, nil)}, []mcsv1beta1.ServicePort{}},
		{"one", []v1alpha1.ExportedService{exportBy("east", 1, withPorts(http))}, []mcsv1beta1.ServicePort{http}},
		{
			"united, the oldest first",
			[]v1alpha1.ExportedService{exportBy("east", 2, withPorts(http)), exportBy("west", 1, withPorts(https))},
			[]mcsv1beta1.ServicePort{https, http},
		},
		{
			"same name, the oldest's number",
			[]v1alpha1.ExportedService{
				exportBy("east", 2, withPorts(port("http", corev1.ProtocolTCP, 8080))), exportBy("west", 1, withPorts(http)),
			},
			[]mcsv1beta1.ServicePort{http},
		},
		{
			"same number, the oldest's name",
			[]v1alpha1.ExportedService{
				exportBy("east", 1, withPorts(port("web", corev1.ProtocolTCP, 80))), exportBy("west", 2, withPorts(http)),
			},
			[]mcsv1beta1.ServicePort{port("web", corev1.ProtocolTCP, 80)},
		},
		{
			"same number, other protocol",
			[]v1alpha1.ExportedService{exportBy("east", 1, withPorts(http, port("quic", corev1.ProtocolUDP, 80)))},
			[]mcsv1beta1.ServicePort{http, port("quic", corev1.ProtocolUDP, 80)},
		},
		{
			"no protocol is TCP",
			[]v1alpha1.ExportedService{exportBy("east", 1, withPorts(http)), exportBy("west", 2, withPorts(port("x", "", 80)))},
			[]mcsv1beta1.ServicePort{http},
		},
		{
			"unnamed",
			[]v1alpha1.ExportedService{exportBy("east", 1, withPorts(port("", "", 80))), exportBy("west", 2, withPorts(port("", "", 81)))},
			[]mcsv1beta1.ServicePort{port("", corev1.ProtocolTCP, 80)},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Merge(test.in).Spec.Ports); diff != "" {
				t.Errorf("ports (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMergeLeavesOutWhatIsUnknown(t *testing.T) {
	got := Merge([]v1alpha1.ExportedService{exportBy("east", 1, func(s *spec) {
		s.IPFamilies = []corev1.IPFamily{"IPv8", "IPv4"}
		s.Ports = []mcsv1beta1.ServicePort{port("quic", "QUIC", 80), port("http", "TCP", 80)}
	})}).Spec
	if diff := cmp.Diff([]mcsv1beta1.ServicePort{port("http", "TCP", 80)}, got.Ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]corev1.IPFamily{"IPv4"}, got.IPFamilies); diff != "" {
		t.Errorf("families (-want +got):\n%s", diff)
	}
}

func TestMergeTakesWholeFieldsFromTheOldest(t *testing.T) {
	young := exportBy("east", 2, func(s *v1alpha1.ExportedServiceSpec) {
		s.Type = mcsv1beta1.Headless
		s.SessionAffinity = corev1.ServiceAffinityClientIP
		s.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr.To[int32](1)}}
		s.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyLocal)
		s.TrafficDistribution = ptr.To(corev1.ServiceTrafficDistributionPreferClose)
		s.ExportedLabels = map[string]string{"young": "1"}
		s.ExportedAnnotations = map[string]string{"young": "1"}
		s.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}
	})
	old := exportBy("west", 1, func(s *v1alpha1.ExportedServiceSpec) { s.ExportedLabels = map[string]string{"old": "1"} })
	want := Import{
		Spec: mcsv1beta1.ServiceImportSpec{
			Type:            mcsv1beta1.ClusterSetIP,
			Ports:           []mcsv1beta1.ServicePort{},
			IPFamilies:      []corev1.IPFamily{corev1.IPv4Protocol},
			SessionAffinity: corev1.ServiceAffinityNone,
		},
		Labels:   map[string]string{"old": "1"},
		Clusters: []v1alpha1.ClusterID{"east", "west"},
		Oldest:   "west",
	}
	if diff := cmp.Diff(want, Merge([]v1alpha1.ExportedService{young, old})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMergeDoesNotDependOnOrder(t *testing.T) {
	exports := []v1alpha1.ExportedService{
		exportBy("west", 1, withPorts(port("a", "", 1))), exportBy("east", 1, withPorts(port("a", "", 2))), exportBy("north", 0, nil),
	}
	want := Merge(exports)
	if got := want.Spec.Ports[0].Port; got != 2 {
		t.Errorf("of two that are equally old, port %d won; want east's, 2", got)
	}
	original := slices.Clone(exports)
	slices.Reverse(exports)
	if diff := cmp.Diff(want, Merge(exports)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	slices.Reverse(exports)
	if diff := cmp.Diff(original, exports); diff != "" {
		t.Errorf("the input was changed (-want +got):\n%s", diff)
	}
}
