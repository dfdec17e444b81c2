package v1alpha1

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// importOf is tombolo's ServiceImport shop/web, which these clusters export.
func importOf(clusters ...string) *mcsv1beta1.ServiceImport {
	si := &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Labels: map[string]string{LabelManagedBy: ManagedBy}},
		Spec:       mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP},
	}
	for _, c := range clusters {
		si.Status.Clusters = append(si.Status.Clusters, mcsv1beta1.ClusterStatus{Cluster: c})
	}
	return si
}

// policyOf is a TrafficPolicy for shop/web, made at that second.
func policyOf(name string, second int64, weights ...ClusterWeight) *TrafficPolicy {
	return &TrafficPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Generation: 3, CreationTimestamp: metav1.Unix(second, 0)},
		Spec: TrafficPolicySpec{
			TargetRef: TrafficPolicyTarget{Group: mcsv1beta1.GroupName, Kind: mcsv1beta1.ServiceImportKindName, Name: "web"},
			Weights:   weights,
		},
	}
}

func edited(p *TrafficPolicy, edit func(*TrafficPolicy)) *TrafficPolicy {
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
	drainsEast, drainsWest := ClusterWeight{Cluster: "east"}, ClusterWeight{Cluster: "west"}
	goes := func(p *TrafficPolicy) { p.DeletionTimestamp = &now }
	type policies = []*TrafficPolicy
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
			edited(policyOf("b", 0), func(p *TrafficPolicy) { p.CreationTimestamp = metav1.Unix(1, 0) }),
			edited(policyOf("a", 0), func(p *TrafficPolicy) { p.CreationTimestamp = metav1.NewTime(time.Unix(1, 0).UTC()) }),
		}, "a"},
		{"one that is being deleted does not count", importOf("east"), policies{edited(policyOf("a", 1), goes), policyOf("b", 2)}, "b"},
		{"of another namespace", importOf("east"), policies{edited(policyOf("a", 1), func(p *TrafficPolicy) { p.Namespace = "other" })}, ""},
		{"for another import", importOf("east"), policies{edited(policyOf("a", 1), func(p *TrafficPolicy) { p.Spec.TargetRef.Name = "db" })}, ""},
		{"for another kind", importOf("east"), policies{edited(policyOf("a", 1), func(p *TrafficPolicy) { p.Spec.TargetRef.Kind = "Service" })}, ""},
		{"for another group", importOf("east"), policies{edited(policyOf("a", 1), func(p *TrafficPolicy) { p.Spec.TargetRef.Group = "other" })}, ""},
		{"without the defaults", importOf("east"), policies{
			edited(policyOf("a", 1), func(p *TrafficPolicy) { p.Spec.TargetRef.Group, p.Spec.TargetRef.Kind = "", "" }),
		}, "a"},

		{"one that drains one of two", importOf("east", "west"), policies{policyOf("a", 1, drainsEast)}, "a"},
		{"one that drains all", importOf("east", "west"), policies{policyOf("a", 1, drainsEast, drainsWest)}, ""},
		{"one that drains all makes way for the next", importOf("east"), policies{policyOf("a", 1, drainsEast), policyOf("b", 2)}, "b"},
		{"one that drains all while nobody exports", importOf(), policies{policyOf("a", 1, drainsEast)}, "a"},
		{"a weight for a cluster that does not export is no answer", importOf("east"), policies{
			policyOf("a", 1, drainsEast, ClusterWeight{Cluster: "west", Weight: 5}),
		}, ""},

		{"headless", editedImport(func(si *mcsv1beta1.ServiceImport) { si.Spec.Type = mcsv1beta1.Headless }), policies{policyOf("a", 1)}, ""},
		{"somebody else's", editedImport(func(si *mcsv1beta1.ServiceImport) { si.Labels = nil }), policies{policyOf("a", 1)}, ""},
		{"managed by another", editedImport(func(si *mcsv1beta1.ServiceImport) { si.Labels[LabelManagedBy] = "x" }), policies{policyOf("a", 1)}, ""},
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
		policy *TrafficPolicy
		si     *mcsv1beta1.ServiceImport
		reason string
		words  []string // in the message
	}{
		{"accepted", policyOf("p", 1), importOf("east"), ReasonAccepted, []string{"in effect for ServiceImport shop/web"}},
		{"not there yet", policyOf("p", 1), nil, ReasonTargetNotFound, []string{"shop/web", "when a cluster exports the Service", "spec.targetRef.name"}},
		{"going", policyOf("p", 1), editedImport(func(si *mcsv1beta1.ServiceImport) { si.DeletionTimestamp = &now }),
			ReasonTargetNotFound, []string{"shop/web", "again"}},
		{"somebody else's", policyOf("p", 1), editedImport(func(si *mcsv1beta1.ServiceImport) { si.Labels = nil }),
			ReasonTargetNotFound, []string{"shop/web", "clusterset.tombolo.dev/managed-by=tombolo.dev", "delete it"}},
		{"headless", policyOf("p", 1), editedImport(func(si *mcsv1beta1.ServiceImport) { si.Spec.Type = mcsv1beta1.Headless }),
			ReasonTargetHeadless, []string{"shop/web", "headless", "cluster IP"}},
		{"nobody answers", policyOf("p", 1, ClusterWeight{Cluster: "west"}, ClusterWeight{Cluster: "east"}), importOf("east", "west"),
			ReasonInvalid, []string{"shop/web", "(east, west)", "above 0"}},
		{"nobody answers, and it is younger", policyOf("p", 2, ClusterWeight{Cluster: "east"}), importOf("east"), ReasonInvalid, nil},
		{"younger", policyOf("p", 2), importOf("east"), ReasonConflicted, []string{"shop/older", "older: put both into one"}},
		{"equally old", policyOf("p", 1), importOf("east"), ReasonConflicted, []string{"shop/older", "its name comes first"}},
		{"being deleted", edited(policyOf("p", 1), func(p *TrafficPolicy) { p.DeletionTimestamp = &now }), importOf("east"),
			ReasonInvalid, []string{"being deleted"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			policies := []*TrafficPolicy{tc.policy}
			if tc.reason == ReasonConflicted {
				policies = append(policies, older)
			}
			c := JudgePolicy(tc.policy, tc.si, policies)
			status := metav1.ConditionFalse
			if tc.reason == ReasonAccepted {
				status = metav1.ConditionTrue
			}
			if c.Type != ConditionAccepted || c.Status != status || c.Reason != tc.reason || c.ObservedGeneration != 3 {
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

// Whatever the policies and their order, operator and dataplane agree: Accepted is the one in effect, and no other.
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

func randomPolicies(random *rand.Rand) []*TrafficPolicy {
	var policies []*TrafficPolicy
	for i := range random.IntN(6) {
		p := policyOf(string(rune('a'+i)), random.Int64N(3))
		for _, c := range []ClusterID{"east", "west", "north"} {
			if random.IntN(2) == 0 {
				p.Spec.Weights = append(p.Spec.Weights, ClusterWeight{Cluster: c, Weight: random.Int32N(2)})
			}
		}
		if random.IntN(5) == 0 {
			p.DeletionTimestamp = &metav1.Time{Time: time.Unix(9, 0)}
		}
		policies = append(policies, p)
	}
	return policies
}
