//go:build integration

package trafficpolicy_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/trafficpolicy"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

// scene is a member with a namespace for the test's policies and imports.
type scene struct {
	*members.Env
	reconciler *trafficpolicy.Reconciler
	namespace  string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, trafficpolicy.Index)
	s := &scene{e, &trafficpolicy.Reconciler{Client: e.Own.GetClient()}, strings.ToLower(t.Name())}
	s.MakeNamespace(t, s.namespace, nil)
	return s
}

// imported makes tombolo's ServiceImport web, which these clusters export.
func imported(t *testing.T, c *members.Cluster, namespace string, exporters ...string) *mcsv1beta1.ServiceImport {
	t.Helper()
	si := &mcsv1beta1.ServiceImport{
		ObjectMeta: members.Meta(namespace, "web"),
		Spec:       mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, Ports: []mcsv1beta1.ServicePort{}},
	}
	si.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	c.Make(t, si)
	exportedBy(t, c, si, exporters...)
	return si
}

// exportedBy sets who exports the Service.
func exportedBy(t *testing.T, c *members.Cluster, si *mcsv1beta1.ServiceImport, exporters ...string) {
	t.Helper()
	si.Status.Clusters = nil
	for _, cluster := range exporters {
		si.Status.Clusters = append(si.Status.Clusters, mcsv1beta1.ClusterStatus{Cluster: cluster})
	}
	if err := c.Status().Update(t.Context(), si); err != nil {
		t.Fatal(err)
	}
}

// policy makes a TrafficPolicy for the ServiceImport web.
func policy(t *testing.T, c *members.Cluster, namespace, name string, edit func(*v1alpha1.TrafficPolicySpec)) *v1alpha1.TrafficPolicy {
	t.Helper()
	p := &v1alpha1.TrafficPolicy{
		ObjectMeta: members.Meta(namespace, name),
		Spec:       v1alpha1.TrafficPolicySpec{TargetRef: v1alpha1.TrafficPolicyTarget{Name: "web"}},
	}
	if edit != nil {
		edit(&p.Spec)
	}
	c.Make(t, p)
	return p
}

// drains gives these clusters weight 0.
func drains(clusters ...v1alpha1.ClusterID) func(*v1alpha1.TrafficPolicySpec) {
	return func(spec *v1alpha1.TrafficPolicySpec) {
		for _, c := range clusters {
			spec.Weights = append(spec.Weights, v1alpha1.ClusterWeight{Cluster: c})
		}
	}
}

// accepted is the condition of the policy as the API server has it.
func accepted(t *testing.T, c client.Client, namespace, name string) (metav1.Condition, *v1alpha1.TrafficPolicy) {
	t.Helper()
	p := &v1alpha1.TrafficPolicy{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, p); err != nil {
		t.Fatal(err)
	}
	condition := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionAccepted)
	if condition == nil {
		condition = &metav1.Condition{}
	}
	return *condition, p
}

// step reconciles the policy once and wants that reason, with these words; then once more, which
// writes nothing.
func (s *scene) step(t *testing.T, name, reason string, words ...string) {
	t.Helper()
	if result := s.Step(t, s.reconciler, s.namespace, name); !result.IsZero() {
		t.Errorf("policy %s is asked for again: %+v", name, result)
	}
	got, p := accepted(t, s.Client, s.namespace, name)
	if got.Reason != reason || (got.Status == metav1.ConditionTrue) != (reason == v1alpha1.ReasonAccepted) ||
		got.ObservedGeneration != p.Generation {
		t.Errorf("policy %s is %+v, want %s of generation %d", name, got, reason, p.Generation)
	}
	for _, word := range words {
		if !strings.Contains(got.Message, word) {
			t.Errorf("the message on policy %s lacks %q: %s", name, word, got.Message)
		}
	}
	s.Step(t, s.reconciler, s.namespace, name)
	if _, again := accepted(t, s.Client, s.namespace, name); again.ResourceVersion != p.ResourceVersion {
		t.Errorf("policy %s was written though nothing changed", name)
	}
}

func (s *scene) delete(t *testing.T, obj client.Object) {
	t.Helper()
	if err := s.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) update(t *testing.T, obj client.Object) {
	t.Helper()
	if err := s.Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

// nextSecond waits until what is made is younger than all that there is: ages are in seconds.
func nextSecond(t *testing.T, than client.Object) {
	t.Helper()
	for !time.Now().Truncate(time.Second).After(than.GetCreationTimestamp().Time) {
		time.Sleep(10 * time.Millisecond)
	}
}

func TestPolicyWaitsForItsTarget(t *testing.T) {
	s := newScene(t)
	policy(t, s.Cluster, s.namespace, "p", nil)
	s.step(t, "p", v1alpha1.ReasonTargetNotFound, s.namespace+"/web")
	si := imported(t, s.Cluster, s.namespace, "east")
	s.step(t, "p", v1alpha1.ReasonAccepted)
	_, p := accepted(t, s.Client, s.namespace, "p")
	p.Spec.TargetRef.Name = "db"
	s.update(t, p)
	s.step(t, "p", v1alpha1.ReasonTargetNotFound, s.namespace+"/db")
	_, p = accepted(t, s.Client, s.namespace, "p")
	p.Spec.TargetRef.Name = "web"
	s.update(t, p)
	s.step(t, "p", v1alpha1.ReasonAccepted)
	s.delete(t, si)
	s.step(t, "p", v1alpha1.ReasonTargetNotFound)
	s.Step(t, s.reconciler, s.namespace, "there-is-no-such")
}

func TestOlderPolicyWins(t *testing.T) {
	s := newScene(t)
	imported(t, s.Cluster, s.namespace, "east")
	older := policy(t, s.Cluster, s.namespace, "z-older", nil)
	nextSecond(t, older)
	policy(t, s.Cluster, s.namespace, "a-younger", nil)
	s.step(t, "z-older", v1alpha1.ReasonAccepted)
	s.step(t, "a-younger", v1alpha1.ReasonConflicted, s.namespace+"/z-older", "older")

	// One that goes no longer counts, and is left as it is.
	older.Finalizers = []string{"example.com/wait"}
	_, have := accepted(t, s.Client, s.namespace, "z-older")
	have.Finalizers = older.Finalizers
	s.update(t, have)
	s.delete(t, have)
	s.step(t, "a-younger", v1alpha1.ReasonAccepted)
	before, _ := accepted(t, s.Client, s.namespace, "z-older")
	s.Step(t, s.reconciler, s.namespace, "z-older")
	if after, _ := accepted(t, s.Client, s.namespace, "z-older"); after != before {
		t.Errorf("a policy that goes was written: %+v", after)
	}
	_, have = accepted(t, s.Client, s.namespace, "z-older")
	have.Finalizers = nil
	s.update(t, have)
	s.step(t, "a-younger", v1alpha1.ReasonAccepted)

	// One in another namespace is none of its business.
	other := s.namespace + "-other"
	s.MakeNamespace(t, other, nil)
	policy(t, s.Cluster, other, "a", nil)
	s.Step(t, s.reconciler, other, "a")
	if got, _ := accepted(t, s.Client, other, "a"); got.Reason != v1alpha1.ReasonTargetNotFound {
		t.Errorf("in a namespace without the import: %+v", got)
	}
}

func TestPolicyThatLeavesNobody(t *testing.T) {
	s := newScene(t)
	si := imported(t, s.Cluster, s.namespace, "east")
	invalid := policy(t, s.Cluster, s.namespace, "z-older", drains("east"))
	nextSecond(t, invalid)
	policy(t, s.Cluster, s.namespace, "a-younger", nil)
	s.step(t, "z-older", v1alpha1.ReasonInvalid, "(east)", "above 0")
	s.step(t, "a-younger", v1alpha1.ReasonAccepted)
	exportedBy(t, s.Cluster, si, "east", "west")
	s.step(t, "z-older", v1alpha1.ReasonAccepted)
	s.step(t, "a-younger", v1alpha1.ReasonConflicted, "/z-older")
	exportedBy(t, s.Cluster, si, "east")
	s.step(t, "a-younger", v1alpha1.ReasonAccepted)
	s.step(t, "z-older", v1alpha1.ReasonInvalid)
}

func TestTargetsWithoutClusterSetIP(t *testing.T) {
	s := newScene(t)
	si := imported(t, s.Cluster, s.namespace, "east")
	policy(t, s.Cluster, s.namespace, "p", nil)
	s.step(t, "p", v1alpha1.ReasonAccepted)
	si.Spec.Type = mcsv1beta1.Headless
	s.update(t, si)
	s.step(t, "p", v1alpha1.ReasonTargetHeadless, "headless", "cluster IP")
	si.Spec.Type, si.Labels = mcsv1beta1.ClusterSetIP, nil
	s.update(t, si)
	s.step(t, "p", v1alpha1.ReasonTargetNotFound, v1alpha1.LabelManagedBy)
}

func TestRemarks(t *testing.T) {
	s := newScene(t)
	imported(t, s.Cluster, s.namespace, "east")
	policy(t, s.Cluster, s.namespace, "p", func(spec *v1alpha1.TrafficPolicySpec) {
		spec.Weights = []v1alpha1.ClusterWeight{{Cluster: "east", Weight: 95}, {Cluster: "west", Weight: 5}}
		spec.Scheduler = v1alpha1.SchedulerRandom
	})
	set := &v1alpha1.ClusterSet{}
	if err := s.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		t.Fatal(err)
	}
	set.Status.Index = 1
	if err := s.Status().Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	const instead = "nodes that serve with IPVS have no Random and use RoundRobin"
	s.step(t, "p", v1alpha1.ReasonAccepted, instead, "cluster west", "correct the name")
	s.Remote(t, "west", 2, "10.2.0.0/16")
	s.step(t, "p", v1alpha1.ReasonAccepted, instead)
	if got, _ := accepted(t, s.Client, s.namespace, "p"); strings.Contains(got.Message, "correct the name") {
		t.Errorf("all clusters are there: %s", got.Message)
	}
	set.Spec.Dataplane.Backend = v1alpha1.BackendNFTables
	s.update(t, set)
	s.step(t, "p", v1alpha1.ReasonAccepted)
	if got, _ := accepted(t, s.Client, s.namespace, "p"); strings.Contains(got.Message, "Random") {
		t.Errorf("nftables has Random: %s", got.Message)
	}
}

// Conditions of others stay as they are.
func TestConditionsOfOthers(t *testing.T) {
	s := newScene(t)
	p := policy(t, s.Cluster, s.namespace, "p", nil)
	his := metav1.Condition{Type: "example.com/Seen", Status: metav1.ConditionTrue, Reason: "Seen", LastTransitionTime: metav1.Unix(1, 0)}
	p.Status.Conditions = []metav1.Condition{his}
	if err := s.Status().Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	s.step(t, "p", v1alpha1.ReasonTargetNotFound)
	if _, p := accepted(t, s.Client, s.namespace, "p"); !slices.ContainsFunc(p.Status.Conditions, func(c metav1.Condition) bool {
		return c.Type == his.Type && c.LastTransitionTime.Equal(&his.LastTransitionTime)
	}) {
		t.Errorf("the condition of somebody else is gone: %+v", p.Status.Conditions)
	}
}
