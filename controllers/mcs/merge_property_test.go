package mcs

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

func oneOf[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// randomExports are up to six, of clusters of their own, from so few values that they often meet.
func randomExports(r *rand.Rand) []v1alpha1.ExportedService {
	var exports []v1alpha1.ExportedService
	for i := range 1 + r.IntN(6) {
		cluster := v1alpha1.ClusterID(fmt.Sprint("c", i))
		exports = append(exports, *onHub(exportBy(cluster, r.IntN(3), func(s *spec) { randomSpec(r, s) })))
	}
	r.Shuffle(len(exports), func(i, j int) { exports[i], exports[j] = exports[j], exports[i] })
	return exports
}

func randomSpec(r *rand.Rand, s *spec) {
	const v4, v6 = corev1.IPv4Protocol, corev1.IPv6Protocol
	s.Type = oneOf(r, mcsv1beta1.ClusterSetIP, mcsv1beta1.ClusterSetIP, mcsv1beta1.Headless)
	for range r.IntN(4) {
		s.Ports = append(s.Ports, mcsv1beta1.ServicePort{
			Name:     oneOf(r, "", "a", "b", "c"),
			Protocol: oneOf(r, "", corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP, "QUIC"),
			Port:     oneOf[int32](r, 1, 2, 65535), AppProtocol: oneOf(r, nil, ptr.To("http")),
		})
	}
	s.IPFamilies = oneOf(r, []corev1.IPFamily{v4}, []corev1.IPFamily{v6}, []corev1.IPFamily{v4, v6}, []corev1.IPFamily{v6, v4}, nil)
	s.SessionAffinity = oneOf(r, "", corev1.ServiceAffinityNone, corev1.ServiceAffinityClientIP)
	if r.IntN(2) == 0 {
		s.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: oneOf(r, nil, ptr.To[int32](1), ptr.To[int32](10800))}}
	}
	s.InternalTrafficPolicy = oneOf(r, nil, ptr.To(corev1.ServiceInternalTrafficPolicyLocal), ptr.To(corev1.ServiceInternalTrafficPolicyCluster))
	s.TrafficDistribution = oneOf(r, nil, ptr.To("PreferClose"), ptr.To("PreferSameZone"), ptr.To("PreferSameNode"))
	s.ExportedLabels = oneOf(r, nil, map[string]string{}, map[string]string{"a": "1"}, map[string]string{"a": "2"})
	s.ExportedAnnotations = oneOf(r, nil, map[string]string{"a": "1"})
}

func copyOf(exports []v1alpha1.ExportedService) []v1alpha1.ExportedService {
	return (&v1alpha1.ExportedServiceList{Items: exports}).DeepCopy().Items
}

// checkMerge fails the test where an invariant of Merge and ConflictOf does not hold.
func checkMerge(t *testing.T, exports []v1alpha1.ExportedService) {
	t.Helper()
	original := copyOf(exports)
	merged, conflict := Merge(exports), ConflictOf(exports)
	if diff := cmp.Diff(original, exports); diff != "" {
		t.Errorf("the input was changed (-want +got):\n%s", diff)
	}
	reversed := copyOf(exports)
	slices.Reverse(reversed)
	if diff := cmp.Diff(merged, Merge(reversed)); diff != "" {
		t.Errorf("the merge depends on the order (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(conflict, ConflictOf(reversed)); diff != "" {
		t.Errorf("the conflict depends on the order (-want +got):\n%s", diff)
	}
	if n := len(conflict.Message); n > 16384 || (n == 0) != (len(conflict.Reasons) == 0) {
		t.Errorf("%d reasons with a message of %d bytes", len(conflict.Reasons), n)
	}
	checkImport(t, merged)
	checkNewcomer(t, exports)
}

// checkImport fails the test where the import would be no valid one.
func checkImport(t *testing.T, merged Import) {
	t.Helper()
	names, numbers := map[string]bool{}, map[string]bool{}
	for _, p := range merged.Spec.Ports {
		number := fmt.Sprint(p.Protocol, p.Port)
		if names[p.Name] || numbers[number] || !clusterset.KnownProtocol(p.Protocol) {
			t.Errorf("port %+v is there twice, or not valid", p)
		}
		names[p.Name], numbers[number] = true, true
	}
	families := merged.Spec.IPFamilies
	if len(families) > 2 || len(families) == 2 && families[0] == families[1] || !slices.IsSorted(merged.Clusters) {
		t.Errorf("families %v, clusters %v", families, merged.Clusters)
	}
	if (merged.Spec.SessionAffinity == corev1.ServiceAffinityNone) && merged.Spec.SessionAffinityConfig != nil {
		t.Errorf("affinity None has a config")
	}
}

// checkNewcomer fails the test where the youngest export changes what those who use the others'
// import have.
func checkNewcomer(t *testing.T, exports []v1alpha1.ExportedService) {
	t.Helper()
	if len(exports) < 2 {
		return
	}
	sorted := slices.SortedFunc(slices.Values(exports), byAge)
	youngest := &sorted[len(sorted)-1].Spec
	before, after := Merge(sorted[:len(sorted)-1]), Merge(sorted)
	if n := len(before.Spec.Ports); len(after.Spec.Ports) < n || !cmp.Equal(before.Spec.Ports, after.Spec.Ports[:n]) {
		t.Errorf("the newcomer changed ports from %+v to %+v", before.Spec.Ports, after.Spec.Ports)
	}
	if n := len(before.Spec.IPFamilies); len(after.Spec.IPFamilies) < n || !slices.Equal(before.Spec.IPFamilies, after.Spec.IPFamilies[:n]) {
		t.Errorf("the newcomer changed families from %v to %v", before.Spec.IPFamilies, after.Spec.IPFamilies)
	}
	reached := slices.ContainsFunc(youngest.IPFamilies, func(f corev1.IPFamily) bool { return slices.Contains(before.Spec.IPFamilies, f) })
	if reached && after.Spec.Type == mcsv1beta1.ClusterSetIP && !cmp.Equal(before.Spec.IPFamilies, after.Spec.IPFamilies) {
		t.Errorf("the newcomer added a family that nobody needs: %v, now %v", before.Spec.IPFamilies, after.Spec.IPFamilies)
	}
	after.Spec.Ports, after.Spec.IPFamilies, after.Clusters = before.Spec.Ports, before.Spec.IPFamilies, before.Clusters
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the newcomer changed (-before +after):\n%s", diff)
	}
}

func TestMergeProperties(t *testing.T) {
	for seed := range uint64(3000) {
		exports := randomExports(rand.New(rand.NewPCG(seed, 0)))
		checkMerge(t, exports)
		if t.Failed() {
			text, _ := json.MarshalIndent(exports, "", " ")
			t.Fatalf("seed %d: %s", seed, text)
		}
	}
}

// Every field of an export alone, changed in the older or the younger of two, shows in the merge,
// in the conflict, or in both, as its policy says.
func TestEveryFieldIsMerged(t *testing.T) {
	http := port("http", "TCP", 80)
	tests := map[string]struct {
		edit               func(*spec)
		ifOlder, ifYounger bool // it shows in the merge
		conflict           bool
	}{
		"Ports":                 {withPorts(http), true, true, true},
		"Type":                  {func(s *spec) { s.Type = mcsv1beta1.Headless }, true, false, true},
		"IPFamilies":            {families(corev1.IPv6Protocol), true, true, true},
		"SessionAffinity":       {func(s *spec) { s.SessionAffinity = "ClientIP" }, true, false, true},
		"SessionAffinityConfig": {clientIP(ptr.To[int32](7)), true, false, true},
		"InternalTrafficPolicy": {func(s *spec) { s.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyLocal) }, true, false, true},
		"TrafficDistribution":   {func(s *spec) { s.TrafficDistribution = ptr.To("PreferSameZone") }, true, false, true},
		"ExportedLabels":        {func(s *spec) { s.ExportedLabels = map[string]string{"a": "1"} }, true, false, true},
		"ExportedAnnotations":   {func(s *spec) { s.ExportedAnnotations = map[string]string{"a": "1"} }, true, false, true},
		// These say which export it is.
		"Namespace":  {func(s *spec) { s.Namespace = "other" }, false, false, false},
		"Name":       {func(s *spec) { s.Name = "other" }, false, false, false},
		"ExportedAt": {func(s *spec) { s.ExportedAt = metav1.Unix(1, 500) }, false, false, false},
		// An export that is not for this cluster is left out before the merge (package exporters).
		"Audience": {func(s *spec) { s.Audience = &v1alpha1.ExportAudience{Clusters: []v1alpha1.ClusterID{"west"}} }, false, false, false},
		// This speaks of its slices only.
		"SliceSet": {func(s *spec) { s.SliceSet = "1-0123456789abcdef" }, false, false, false},
	}
	var fields []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[spec]()) {
		fields = append(fields, f.Name)
	}
	for name, test := range tests {
		if !slices.Contains(fields, name) {
			t.Errorf("%s is no field", name)
		}
		plain := []v1alpha1.ExportedService{exportBy("east", 1, nil), exportBy("west", 2, nil)}
		for i, shows := range []bool{test.ifOlder, test.ifYounger} {
			edited := copyOf(plain)
			test.edit(&edited[i].Spec)
			if got := !cmp.Equal(Merge(plain), Merge(edited)); got != shows {
				t.Errorf("%s of export %d shows in the merge: %v, want %v", name, i, got, shows)
			}
			if got := len(ConflictOf(edited).Reasons) > 0; got != test.conflict {
				t.Errorf("%s of export %d is a conflict: %v, want %v", name, i, got, test.conflict)
			}
		}
	}
	for _, field := range fields {
		if _, ok := tests[field]; !ok {
			t.Errorf("field %s has no policy here", field)
		}
	}
}

// FuzzMerge merges what is in the JSON of a list of exports, whatever it is: those that are
// screened out are not merged.
func FuzzMerge(f *testing.F) {
	for seed := range uint64(20) {
		text, err := json.Marshal(randomExports(rand.New(rand.NewPCG(seed, 1))))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`[{"spec":{"exportedAt":"2026-01-01t00:00:00z","ports":[{"port":1e20}]}}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var exports []v1alpha1.ExportedService
		if json.Unmarshal(text, &exports) != nil {
			t.Skip()
		}
		var screened []v1alpha1.ExportedService
		clusters := map[v1alpha1.ClusterID]bool{}
		for _, e := range exports {
			if cluster := clusterset.SourceCluster(e.Labels); screen.Export(&e) == nil && !clusters[cluster] {
				clusters[cluster] = true
				screened = append(screened, e)
			}
		}
		if len(screened) > 0 {
			checkMerge(t, screened)
			checkServiceImport(t, screened[0].Spec.Namespace, screened[0].Spec.Name, Merge(screened))
		}
	})
}

// checkServiceImport fails the test where the API server would refuse the ServiceImport: its
// metadata, and what its CRD says of the rest.
func checkServiceImport(t *testing.T, namespace, name string, merged Import) {
	t.Helper()
	made := ServiceImportFor(namespace, name, merged, nil)
	if errs := validation.ValidateObjectMeta(&made.ObjectMeta, true, validation.NameIsDNSSubdomain, field.NewPath("metadata")); len(errs) > 0 {
		t.Errorf("the API server would refuse it: %v", errs)
	}
	if errs := utilvalidation.IsDNS1123Label(made.Namespace); len(errs) > 0 {
		t.Errorf("namespace %q: %v", made.Namespace, errs)
	}
	if made.Spec.Type != "ClusterSetIP" && made.Spec.Type != "Headless" || made.Spec.Ports == nil || len(made.Spec.IPFamilies) > 2 {
		t.Errorf("the CRD refuses %+v", made.Spec)
	}
	for _, p := range made.Spec.Ports {
		if len(utilvalidation.IsValidPortNum(int(p.Port))) > 0 || p.Name != "" && len(utilvalidation.IsDNS1123Label(p.Name)) > 0 {
			t.Errorf("port %+v", p)
		}
	}
}

// onHub gives an export the name that it has on the hub.
func onHub(e v1alpha1.ExportedService) *v1alpha1.ExportedService {
	e.Name = clusterset.HubName(clusterset.SourceCluster(e.Labels), e.Spec.Namespace, e.Spec.Name)
	return &e
}
