//go:build integration

package policy

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// policyWith is a TrafficPolicy for ServiceImport web with these lines in its spec, as a user
// writes them.
func policyWith(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	if !strings.Contains(spec, "targetRef:") {
		spec = "targetRef: {name: web}\n" + spec
	}
	policy := &unstructured.Unstructured{}
	text := "apiVersion: clusterset.tombolo.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: p, namespace: default}\nspec:\n  " +
		strings.ReplaceAll(spec, "\n", "\n  ")
	if err := yaml.Unmarshal([]byte(text), &policy.Object); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return policy
}

// items is a YAML list of so many items.
func items(n int, format string) string {
	all := make([]string, 0, n)
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// What a user may get wrong in a TrafficPolicy, and the words of the sentence that says so. An
// empty want means that it is accepted.
func TestCreateTrafficPolicy(t *testing.T) {
	const (
		badTarget = ": set group to multicluster.x-k8s.io and kind to ServiceImport"
		emptyStep = "a step names clusters, regions or both: as it is, nothing is in it"
		badID     = "a cluster ID is one RFC 1123 label"
	)
	// The largest one of each, of the longest names.
	long := strings.Repeat("x", 60) + "-%02d"
	step := fmt.Sprintf("{clusters: %s, regions: %s}", items(64, long), items(64, long))
	largest := "weights: " + items(64, "{cluster: "+long+", weight: 1000}") +
		"\nfailover: [" + strings.Repeat(step+", ", 15) + step + "]" +
		"\nspillover: {overprovisioningPercent: 1000}\nscheduler: ConsistentHash"
	for _, tc := range []struct {
		name, spec, want string
	}{
		{"nothing but a target", "", ""},
		{"all of it", "weights: [{cluster: east, weight: 95}, {cluster: west, weight: 0}]\n" +
			"failover: [{clusters: [east, west]}, {regions: [eu-1]}, {clusters: [north], regions: [us-1]}]\n" +
			"spillover: {overprovisioningPercent: 100}\nscheduler: Random", ""},
		{"as large as it may be", largest, ""},
		{"one cluster drained", "weights: [{cluster: east, weight: 0}]", ""},

		{"no target", "targetRef:", "spec.targetRef"},
		{"a target without a name", "targetRef: {kind: ServiceImport}", "spec.targetRef.name"},
		{"a target with an empty name", `targetRef: {name: ""}`, "spec.targetRef.name"},
		{"a target of another kind", "targetRef: {kind: Service, name: web}", badTarget},
		{"a target of another group", `targetRef: {group: core, name: web}`, badTarget},

		{"negative weight", "weights: [{cluster: east, weight: -1}]", "spec.weights[0].weight"},
		{"weight above 1000", "weights: [{cluster: east, weight: 1001}]", "spec.weights[0].weight"},
		{"weight in parts", "weights: [{cluster: east, weight: 0.5}]", "spec.weights[0].weight"},
		{"no weight", "weights: [{cluster: east}]", "spec.weights[0].weight"},
		{"weight of no cluster", "weights: [{weight: 1}]", "spec.weights[0].cluster"},
		{"a cluster twice", "weights: [{cluster: east, weight: 1}, {cluster: west, weight: 1}, {cluster: east, weight: 2}]",
			"spec.weights[2]: Duplicate value"},
		{"weight of what is no cluster ID", "weights: [{cluster: east.example, weight: 1}]", badID},
		{"no weights in weights", "weights: []", "spec.weights"},
		{"65 weights", "weights: " + items(65, "{cluster: c%d, weight: 1}"), "spec.weights"},

		{"empty step", "failover: [{clusters: [east]}, {}]", emptyStep},
		{"step without clusters in clusters", "failover: [{clusters: []}]", "spec.failover[0].clusters"},
		{"step without regions in regions", "failover: [{regions: []}]", "spec.failover[0].regions"},
		{"no step", "failover: []", "spec.failover"},
		{"17 steps", "failover: " + items(17, "{clusters: [c%d]}"), "spec.failover"},
		{"a cluster twice in a step", "failover: [{clusters: [east, east]}]", "spec.failover[0].clusters[1]: Duplicate value"},
		{"a region twice in a step", "failover: [{regions: [eu-1, eu-1]}]", "spec.failover[0].regions[1]: Duplicate value"},
		{"step of what is no cluster ID", "failover: [{clusters: [East]}]", badID},
		{"empty region", `failover: [{regions: [""]}]`, "spec.failover[0].regions[0]"},
		{"65 clusters in a step", "failover: [{clusters: " + items(65, "c%d") + "}]", "spec.failover[0].clusters"},

		{"spillover below 100 %", "spillover: {overprovisioningPercent: 99}", "spec.spillover.overprovisioningPercent"},
		{"spillover above 1000 %", "spillover: {overprovisioningPercent: 1001}", "spec.spillover.overprovisioningPercent"},
		{"unknown scheduler", "scheduler: Fastest", "spec.scheduler"},
		{"scheduler by the kernel's name", "scheduler: wrr", "spec.scheduler"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			checkInvalid(t, admin.Create(t.Context(), policyWith(t, tc.spec), client.DryRunAll), tc.want)
		})
	}
}

func TestTrafficPolicyDefaults(t *testing.T) {
	policy := &v1alpha1.TrafficPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "defaults", Namespace: metav1.NamespaceDefault},
		Spec: v1alpha1.TrafficPolicySpec{
			TargetRef: v1alpha1.TrafficPolicyTarget{Name: "web"}, Spillover: &v1alpha1.Spillover{},
		},
	}
	if err := admin.Create(t.Context(), policy, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	s := policy.Spec
	if s.TargetRef != (v1alpha1.TrafficPolicyTarget{Group: "multicluster.x-k8s.io", Kind: "ServiceImport", Name: "web"}) {
		t.Errorf("target: %+v", s.TargetRef)
	}
	if s.Scheduler != v1alpha1.SchedulerRoundRobin || s.Spillover.OverprovisioningPercent != 140 || s.Failover != nil || s.Weights != nil {
		t.Errorf("spec: %+v", s)
	}
}

// kubectl shows what matters in a line, by the short name and by the category that GEP-713 asks
// for, and the CRD carries the label by which tools know a policy.
func TestTrafficPolicyColumns(t *testing.T) {
	policy := &v1alpha1.TrafficPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "canary", Namespace: metav1.NamespaceDefault},
		Spec: v1alpha1.TrafficPolicySpec{
			TargetRef: v1alpha1.TrafficPolicyTarget{Name: "web"}, Scheduler: v1alpha1.SchedulerRandom,
		},
	}
	create(t, policy)
	policy.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonConflicted, LastTransitionTime: metav1.Now(),
	}}
	if err := admin.Status().Update(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"trafficpolicies", "trafficpolicy", "tpol", "gateway-api"} {
		output, err := run("get", name, "--namespace", metav1.NamespaceDefault)
		if err != nil {
			t.Error(err)
			continue
		}
		lines := strings.Split(strings.TrimSpace(output), "\n")
		if len(lines) != 2 {
			t.Errorf("kubectl get %s says\n%s", name, output)
			continue
		}
		columns, values := strings.Fields(lines[0]), strings.Fields(lines[1])
		if strings.Join(columns, " ") != "NAME IMPORT SCHEDULER ACCEPTED REASON AGE" || len(values) != 6 ||
			!strings.HasSuffix(values[0], "canary") || strings.Join(values[1:5], " ") != "web Random False Conflicted" {
			t.Errorf("kubectl get %s says\n%s", name, output)
		}
	}
	crds, err := run("get", "crd", "--selector", "gateway.networking.k8s.io/policy=Direct", "--output", "name")
	if err != nil || !strings.Contains(crds, "trafficpolicies.clusterset.tombolo.dev") {
		t.Errorf("CRDs labelled as policies: %q, error %v", crds, err)
	}
}

// The operator writes the status and nothing else, agents only read.
func TestTrafficPolicyRights(t *testing.T) {
	policy := &v1alpha1.TrafficPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "rights", Namespace: metav1.NamespaceDefault},
		Spec:       v1alpha1.TrafficPolicySpec{TargetRef: v1alpha1.TrafficPolicyTarget{Name: "web"}},
	}
	create(t, policy)
	for _, tt := range []struct {
		account      string
		read, status string
	}{
		{"tombolo-operator", "", ""},
		{"tombolo-dataplane", "", noRight},
		{"tombolo-gateway", noRight, noRight},
	} {
		c := asAccount(t, system, tt.account, nil)
		t.Run(tt.account, func(t *testing.T) {
			checkForbidden(t, c.List(t.Context(), &v1alpha1.TrafficPolicyList{}), tt.read)
			checkForbidden(t, c.Status().Patch(t.Context(), policy.DeepCopy(), merge(`{"status":{"conditions":[]}}`)), tt.status)
			checkForbidden(t, c.Patch(t.Context(), policy.DeepCopy(), merge(`{"spec":{"scheduler":"Random"}}`)), noRight)
			checkForbidden(t, c.Delete(t.Context(), policy.DeepCopy(), client.DryRunAll), noRight)
		})
	}
}
