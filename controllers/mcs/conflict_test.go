package mcs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

type (
	spec   = v1alpha1.ExportedServiceSpec
	reason = mcsv1beta1.ServiceExportConditionReason
)

func clientIP(seconds *int32) func(*spec) {
	return func(s *spec) {
		s.SessionAffinity = corev1.ServiceAffinityClientIP
		s.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: seconds}}
	}
}

func families(f ...corev1.IPFamily) func(*spec) { return func(s *spec) { s.IPFamilies = f } }

func TestConflictReasons(t *testing.T) {
	const v4, v6 = corev1.IPv4Protocol, corev1.IPv6Protocol
	http, https := port("http", "TCP", 80), port("https", "TCP", 443)
	tests := []struct {
		name       string
		old, young func(*spec)
		want       []reason // in both ages
	}{
		{"equal", nil, nil, nil},
		{"a port more", withPorts(http), withPorts(http, https), []reason{"PortConflict"}},
		{"number of a port", withPorts(http), withPorts(port("http", "TCP", 81)), []reason{"PortConflict"}},
		{"name of a port", withPorts(http), withPorts(port("", "TCP", 80)), []reason{"PortConflict"}},
		{"protocol of a port", withPorts(http), withPorts(port("http", "UDP", 80)), []reason{"PortConflict"}},
		{"application protocol", withPorts(http), withPorts(mcsv1beta1.ServicePort{Name: "http", Port: 80, AppProtocol: ptr.To("http")}), []reason{"PortConflict"}},
		{"no protocol is TCP", withPorts(http), withPorts(port("http", "", 80)), nil},
		{"order of ports", withPorts(http, https), withPorts(https, http), nil},
		{"type", nil, func(s *spec) { s.Type = mcsv1beta1.Headless }, []reason{"TypeConflict"}},
		{"affinity", nil, clientIP(nil), []reason{"SessionAffinityConflict"}},
		{"no affinity is None", nil, func(s *spec) { s.SessionAffinity = "None" }, nil},
		{"timeout", clientIP(ptr.To[int32](60)), clientIP(ptr.To[int32](61)), []reason{"SessionAffinityConfigConflict"}},
		{"default timeout", clientIP(nil), clientIP(ptr.To[int32](10800)), nil},
		{"no config is the default", clientIP(nil), func(s *spec) { s.SessionAffinity = "ClientIP" }, nil},
		{"annotations", nil, func(s *spec) { s.ExportedAnnotations = map[string]string{"a": "1"} }, []reason{"AnnotationsConflict"}},
		{"labels", nil, func(s *spec) { s.ExportedLabels = map[string]string{"a": "1"} }, []reason{"LabelsConflict"}},
		{"no labels are empty ones", nil, func(s *spec) { s.ExportedLabels = map[string]string{} }, nil},
		{"traffic policy", nil, func(s *spec) { s.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyLocal) }, []reason{"InternalTrafficPolicyConflict"}},
		{"no traffic policy is Cluster", nil, func(s *spec) { s.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyCluster) }, nil},
		{"distribution", nil, func(s *spec) { s.TrafficDistribution = ptr.To("PreferSameZone") }, []reason{"TrafficDistributionConflict"}},
		{
			"an alias", func(s *spec) { s.TrafficDistribution = ptr.To("PreferClose") },
			func(s *spec) { s.TrafficDistribution = ptr.To("PreferSameZone") }, nil,
		},
		{"families apart", families(v4), families(v6), []reason{"IPFamilyConflict"}},
		{"order of families", families(v4, v6), families(v6, v4), nil},
		{"families unknown", families(v4), families(), nil},
		{"all", nil, func(s *spec) {
			clientIP(nil)(s)
			withPorts(http)(s)
			families(v6)(s)
			s.Type = mcsv1beta1.Headless
			s.ExportedAnnotations = map[string]string{"a": "1"}
			s.ExportedLabels = map[string]string{"a": "1"}
			s.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyLocal)
			s.TrafficDistribution = ptr.To("PreferSameNode")
		}, []reason{
			"PortConflict", "TypeConflict", "SessionAffinityConflict", "AnnotationsConflict", "LabelsConflict",
			"InternalTrafficPolicyConflict", "TrafficDistributionConflict", "IPFamilyConflict",
		}},
	}
	for _, test := range tests {
		for _, edits := range [][2]func(*spec){{test.old, test.young}, {test.young, test.old}} {
			t.Run(test.name, func(t *testing.T) {
				got := ConflictOf([]v1alpha1.ExportedService{exportBy("east", 1, edits[0]), exportBy("west", 2, edits[1])})
				if diff := cmp.Diff(test.want, got.Reasons); diff != "" {
					t.Errorf("reasons (-want +got):\n%s\n%s", diff, got.Message)
				}
			})
		}
	}
}

// A family conflicts where it is the import's and does not reach all: what the import leaves out
// harms nobody.
func TestFamilyConflictDependsOnAge(t *testing.T) {
	const v4, v6 = corev1.IPv4Protocol, corev1.IPv6Protocol
	headless := func(s *spec) { s.Type = mcsv1beta1.Headless }
	tests := []struct {
		name       string
		old, young []corev1.IPFamily
		edit       func(*spec)
		want       []reason
		families   []corev1.IPFamily
	}{
		{"the oldest's reaches all", []corev1.IPFamily{v4}, []corev1.IPFamily{v6, v4}, nil, nil, []corev1.IPFamily{v4}},
		{"one of the oldest's does not", []corev1.IPFamily{v6, v4}, []corev1.IPFamily{v4}, nil, []reason{"IPFamilyConflict"}, []corev1.IPFamily{v6, v4}},
		{"none does", []corev1.IPFamily{v6}, []corev1.IPFamily{v4}, nil, []reason{"IPFamilyConflict"}, []corev1.IPFamily{v6, v4}},
		{"all pods of a headless Service have names", []corev1.IPFamily{v4}, []corev1.IPFamily{v6, v4}, headless, []reason{"IPFamilyConflict"}, []corev1.IPFamily{v4, v6}},
		{"twice", []corev1.IPFamily{v4, v4}, []corev1.IPFamily{v4}, nil, nil, []corev1.IPFamily{v4}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			exports := []v1alpha1.ExportedService{exportBy("east", 1, test.edit), exportBy("west", 2, test.edit)}
			exports[0].Spec.IPFamilies, exports[1].Spec.IPFamilies = test.old, test.young
			if diff := cmp.Diff(test.want, ConflictOf(exports).Reasons); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.families, Merge(exports).Spec.IPFamilies); diff != "" {
				t.Errorf("families (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConflictMessages(t *testing.T) {
	exports := []v1alpha1.ExportedService{
		exportBy("east", 3, withPorts(port("http", "", 8080), port("grpc", "", 50051))),
		exportBy("west", 1, withPorts(port("http", "", 80))),
		exportBy("north", 2, withPorts(port("http", "", 80))),
	}
	exports[0].Spec.ExportedLabels = map[string]string{"b": "2", "a": "1"}
	exports[1].Spec.TrafficDistribution = ptr.To("PreferSameZone")
	exports[2].Spec.Type = mcsv1beta1.Headless
	want := strings.Join([]string{
		`Conflicting ports: using "grpc" TCP/50051 of cluster "east", "http" TCP/80 of cluster "west", not "http" TCP/8080 of cluster "east" ` +
			`(of ports with one name, or one protocol and number, the oldest export's is used); ` +
			`1/3 clusters disagree: "east"; a port is served by the clusters that have it.`,
		`Conflicting type: using ClusterSetIP from the oldest export, that of cluster "west"; 1/3 clusters disagree: "north".`,
		`Conflicting exportedLabels: using none from the oldest export, that of cluster "west"; 1/3 clusters disagree: "east".`,
		`Conflicting trafficDistribution: using PreferSameZone from the oldest export, that of cluster "west"; 2/3 clusters disagree: "north", "east".`,
	}, " ")
	if diff := cmp.Diff(want, ConflictOf(exports).Message); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	slices.Reverse(exports)
	if diff := cmp.Diff(want, ConflictOf(exports).Message); diff != "" {
		t.Errorf("with another order of exports (-want +got):\n%s", diff)
	}
}

func TestConflictMessageIsBounded(t *testing.T) {
	var exports []v1alpha1.ExportedService
	for i := range 100 {
		cluster := v1alpha1.ClusterID(fmt.Sprintf("%s-%d", strings.Repeat("c", 59), i))
		exports = append(exports, exportBy(cluster, i, func(s *spec) {
			clientIP(ptr.To(int32(i)))(s)
			s.TrafficDistribution = ptr.To(strings.Repeat("x", i*1000))
			s.ExportedLabels = map[string]string{"a": strings.Repeat("ü", i*1000)}
			s.ExportedAnnotations = s.ExportedLabels
			for p := range 256 {
				s.Ports = append(s.Ports, mcsv1beta1.ServicePort{
					Name: fmt.Sprintf("%s-%d-%d", strings.Repeat("p", 50), i, p), Port: int32(i*300 + p), AppProtocol: ptr.To(strings.Repeat("h", 1000)),
				})
			}
			s.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}[i%2 : i%2+1]
		}))
	}
	slices.Reverse(exports)
	got := ConflictOf(exports)
	if n := len(got.Message); n > 8192 || n < 1000 {
		t.Errorf("the message has %d bytes", n)
	}
	if !strings.Contains(got.Message, "99/100 clusters disagree") || !strings.Contains(got.Message, " and 94 more") {
		t.Errorf("the message does not count: %s", got.Message)
	}
	if strings.ToValidUTF8(got.Message, "") != got.Message {
		t.Error("the message is cut within a character")
	}
}

func TestConflictCondition(t *testing.T) {
	export := &mcsv1beta1.ServiceExport{ObjectMeta: metav1.ObjectMeta{Generation: 7}}
	conflict := Conflict{Reasons: []reason{mcsv1beta1.ServiceExportReasonPortConflict, mcsv1beta1.ServiceExportReasonTypeConflict}, Message: "why"}
	want := metav1.Condition{Type: "Conflict", Status: "True", Reason: "PortConflict,TypeConflict", Message: "why", ObservedGeneration: 7}
	if diff := cmp.Diff(want, conflict.Condition(export)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = metav1.Condition{
		Type: "Conflict", Status: "False", Reason: "NoConflicts", Message: "all clusters that export the Service agree", ObservedGeneration: 7,
	}
	for _, exports := range [][]v1alpha1.ExportedService{nil, {exportBy("east", 1, nil)}, {exportBy("east", 1, nil), exportBy("west", 2, nil)}} {
		if diff := cmp.Diff(want, ConflictOf(exports).Condition(export)); diff != "" {
			t.Errorf("of %d exports (-want +got):\n%s", len(exports), diff)
		}
	}
}
