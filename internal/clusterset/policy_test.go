package clusterset

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// importOf is tombolo's ServiceImport shop/web, which these clusters export.
func importOf(clusters ...string) *mcsv1beta1.ServiceImport {
	si := &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		Spec:       mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP},
	}
	for _, c := range clusters {
		si.Status.Clusters = append(si.Status.Clusters, mcsv1beta1.ClusterStatus{Cluster: c})
	}
	return si
}

// policyOf is a v1alpha1.TrafficPolicy for shop/web, made at that second.
func policyOf(name string, second int64, weights ...v1alpha1.ClusterWeight) *v1alpha1.TrafficPolicy {
	return &v1alpha1.TrafficPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Generation: 3, CreationTimestamp: metav1.Unix(second, 0)},
		Spec: v1alpha1.TrafficPolicySpec{
			TargetRef: v1alpha1.TrafficPolicyTarget{Group: mcsv1beta1.GroupName, Kind: mcsv1beta1.ServiceImportKindName, Name: "web"},
			Weights:   weights,
		},
	}
}

func edited(p *v1alpha1.TrafficPolicy, edit func(*v1alpha1.TrafficPolicy)) *v1alpha1.TrafficPolicy {
	edit(p)
	return p
}

func editedImport(edit func(*mcsv1beta1.ServiceImport)) *mcsv1beta1.ServiceImport {
	si := importOf("east", "west")
	edit(si)
	return si
}

func TestPolicyFor(t *testing.T) {
	now := metav1.Unix(100, 0)
	drainsEast, drainsWest := v1alpha1.ClusterWeight{Cluster: "east"}, v1alpha1.ClusterWeight{Cluster: "west"}
	goes := func(p *v1alpha1.TrafficPolicy) { p.DeletionTimestamp = &now }
	type policies = []*v1alpha1.TrafficPolicy
	for _, tc := range []struct {
		name     string
		si       *mcsv1beta1.ServiceImport
		policies policies
		want     string // the policy's name; empty: none
	}{
		{"none", importOf("east"), nil, ""},
		{"one", importOf("east"), policies{policyOf("a", 1)}, "a"},
		{"the older of two", importOf("east"), policies{policyOf("a", 2), policyOf("b", 1)}, "b"},
		{"the first by name of two that are equally old", importOf("east"), policies{policyOf("b", 1), policyOf("a", 1)}, "a"},
		{"age is in seconds, as the API server keeps it", importOf("east"), policies{
			edited(policyOf("b", 0), func(p *v1alpha1.TrafficPolicy) { p.CreationTimestamp = metav1.Unix(1, 0) }),
			edited(policyOf("a", 0), func(p *v1alpha1.TrafficPolicy) { p.CreationTimestamp = metav1.NewTime(time.Unix(1, 0).UTC()) }),
		}, "a"},
		{"one that is being deleted does not count", importOf("east"), policies{edited(policyOf("a", 1), goes), policyOf("b", 2)}, "b"},
		{"of another namespace", importOf("east"), policies{edited(policyOf("a", 1), func(p *v1alpha1.TrafficPolicy) { p.Namespace = "other" })}, ""},
		{"for another import", importOf("east"), policies{edited(policyOf("a", 1), func(p *v1alpha1.TrafficPolicy) { p.Spec.TargetRef.Name = "db" })}, ""},
		{"for another kind", importOf("east"), policies{edited(policyOf("a", 1), func(p *v1alpha1.TrafficPolicy) { p.Spec.TargetRef.Kind = "Service" })}, ""},
		{"for another group", importOf("east"), policies{edited(policyOf("a", 1), func(p *v1alpha1.TrafficPolicy) { p.Spec.TargetRef.Group = "other" })}, ""},
		{"without the defaults", importOf("east"), policies{
			edited(policyOf("a", 1), func(p *v1alpha1.TrafficPolicy) { p.Spec.TargetRef.Group, p.Spec.TargetRef.Kind = "", "" }),
		}, "a"},

		{"one that drains one of two", importOf("east", "west"), policies{policyOf("a", 1, drainsEast)}, "a"},
		{"one that drains all", importOf("east", "west"), policies{policyOf("a", 1, drainsEast, drainsWest)}, ""},
		{"one that drains all makes way for the next", importOf("east"), policies{policyOf("a", 1, drainsEast), policyOf("b", 2)}, "b"},
		{"one that drains all while nobody exports", importOf(), policies{policyOf("a", 1, drainsEast)}, "a"},
		{"a weight for a cluster that does not export is no answer", importOf("east"), policies{
			policyOf("a", 1, drainsEast, v1alpha1.ClusterWeight{Cluster: "west", Weight: 5}),
		}, ""},

		{"headless", editedImport(func(si *mcsv1beta1.ServiceImport) { si.Spec.Type = mcsv1beta1.Headless }), policies{policyOf("a", 1)}, ""},
		{"somebody else's", editedImport(func(si *mcsv1beta1.ServiceImport) { si.Labels = nil }), policies{policyOf("a", 1)}, ""},
		{"managed by another", editedImport(func(si *mcsv1beta1.ServiceImport) { si.Labels[v1alpha1.LabelManagedBy] = "x" }), policies{policyOf("a", 1)}, ""},
		{"an import that goes", editedImport(func(si *mcsv1beta1.ServiceImport) { si.DeletionTimestamp = &now }), policies{policyOf("a", 1)}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, order := range []policies{tc.policies, reversed(tc.policies)} {
				got := ""
				if p := PolicyFor(tc.si, order); p != nil {
					got = p.Name
				}
				if got != tc.want {
					t.Errorf("in effect is %q, want %q", got, tc.want)
				}
			}
		})
	}
}

func reversed[T any](all []T) []T {
	all = slices.Clone(all)
	slices.Reverse(all)
	return all
}

func TestJudgePolicy(t *testing.T) {
	now := metav1.Unix(100, 0)
	older := policyOf("older", 1)
	for _, tc := range []struct {
		name   string
		policy *v1alpha1.TrafficPolicy
		si     *mcsv1beta1.ServiceImport
		reason string
		words  []string // in the message
	}{
		{"accepted", policyOf("p", 1), importOf("east"), v1alpha1.ReasonAccepted, []string{"in effect for ServiceImport shop/web"}},
		{"not there yet", policyOf("p", 1), nil, v1alpha1.ReasonTargetNotFound, []string{"shop/web", "when a cluster exports the Service", "spec.targetRef.name"}},
		{"going", policyOf("p", 1), editedImport(func(si *mcsv1beta1.ServiceImport) { si.DeletionTimestamp = &now }),
			v1alpha1.ReasonTargetNotFound, []string{"shop/web", "again"}},
		{"somebody else's", policyOf("p", 1), editedImport(func(si *mcsv1beta1.ServiceImport) { si.Labels = nil }),
			v1alpha1.ReasonTargetNotFound, []string{"shop/web", "clusterset.tombolo.dev/managed-by=tombolo.dev", "delete it"}},
		{"headless", policyOf("p", 1), editedImport(func(si *mcsv1beta1.ServiceImport) { si.Spec.Type = mcsv1beta1.Headless }),
			v1alpha1.ReasonTargetHeadless, []string{"shop/web", "headless", "cluster IP"}},
		{"nobody answers", policyOf("p", 1, v1alpha1.ClusterWeight{Cluster: "west"}, v1alpha1.ClusterWeight{Cluster: "east"}), importOf("east", "west"),
			v1alpha1.ReasonInvalid, []string{"shop/web", "(east, west)", "above 0"}},
		{"nobody answers, and it is younger", policyOf("p", 2, v1alpha1.ClusterWeight{Cluster: "east"}), importOf("east"), v1alpha1.ReasonInvalid, nil},
		{"younger", policyOf("p", 2), importOf("east"), v1alpha1.ReasonConflicted, []string{"shop/older", "older: put both into one"}},
		{"equally old", policyOf("p", 1), importOf("east"), v1alpha1.ReasonConflicted, []string{"shop/older", "its name comes first"}},
		{"being deleted", edited(policyOf("p", 1), func(p *v1alpha1.TrafficPolicy) { p.DeletionTimestamp = &now }), importOf("east"),
			v1alpha1.ReasonInvalid, []string{"being deleted"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			policies := []*v1alpha1.TrafficPolicy{tc.policy}
			if tc.reason == v1alpha1.ReasonConflicted {
				policies = append(policies, older)
			}
			c := JudgePolicy(tc.policy, tc.si, policies)
			status := metav1.ConditionFalse
			if tc.reason == v1alpha1.ReasonAccepted {
				status = metav1.ConditionTrue
			}
			if c.Type != v1alpha1.ConditionAccepted || c.Status != status || c.Reason != tc.reason || c.ObservedGeneration != 3 {
				t.Errorf("got %+v, want %s %s of generation 3", c, status, tc.reason)
			}
			for _, word := range tc.words {
				if !strings.Contains(c.Message, word) {
					t.Errorf("the message lacks %q: %s", word, c.Message)
				}
			}
		})
	}
}

// Whatever the policies and their order, operator and dataplane agree: Accepted is the one in
// effect, and no other.
func TestVerdictsAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		policies := randomPolicies(random)
		si := importOf([]string{"east", "west", "north"}[:random.IntN(4)]...)
		effective := PolicyFor(si, policies)
		for range 3 {
			random.Shuffle(len(policies), func(i, j int) { policies[i], policies[j] = policies[j], policies[i] })
			if again := PolicyFor(si, policies); again != effective {
				t.Fatalf("in effect is %v, and in another order %v", effective, again)
			}
		}
		for _, p := range policies {
			accepted := JudgePolicy(p, si, policies)
			if (accepted.Status == metav1.ConditionTrue) != (p == effective) {
				t.Fatalf("policy %s is %+v, but in effect is %v", p.Name, accepted, effective)
			}
		}
	}
}

func randomPolicies(random *rand.Rand) []*v1alpha1.TrafficPolicy {
	var policies []*v1alpha1.TrafficPolicy
	for i := range random.IntN(6) {
		p := policyOf(string(rune('a'+i)), random.Int64N(3))
		for _, c := range []v1alpha1.ClusterID{"east", "west", "north"} {
			if random.IntN(2) == 0 {
				p.Spec.Weights = append(p.Spec.Weights, v1alpha1.ClusterWeight{Cluster: c, Weight: random.Int32N(2)})
			}
		}
		if random.IntN(5) == 0 {
			p.DeletionTimestamp = &metav1.Time{Time: time.Unix(9, 0)}
		}
		policies = append(policies, p)
	}
	return policies
}

func TestSchedulerOn(t *testing.T) {
	tests := []struct {
		name    string
		backend v1alpha1.DataplaneBackend
		policy  v1alpha1.Scheduler
		want    v1alpha1.Scheduler
	}{
		{"IPVS has no Random", v1alpha1.BackendIPVS, v1alpha1.SchedulerRandom, v1alpha1.SchedulerRoundRobin},
		{"nftables has no LeastConnection", v1alpha1.BackendNFTables, v1alpha1.SchedulerLeastConnection, v1alpha1.SchedulerRandom},
		{"IPVS has LeastConnection", v1alpha1.BackendIPVS, v1alpha1.SchedulerLeastConnection, v1alpha1.SchedulerLeastConnection},
		{"nftables has ConsistentHash", v1alpha1.BackendNFTables, v1alpha1.SchedulerConsistentHash, v1alpha1.SchedulerConsistentHash},
		{"auto replaces nothing", v1alpha1.BackendAuto, v1alpha1.SchedulerRandom, v1alpha1.SchedulerRandom},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := SchedulerOn(test.backend, test.policy); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
