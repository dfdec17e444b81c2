package clusterset

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestInAudience(t *testing.T) {
	type audience = v1alpha1.ExportAudience
	for _, tc := range []struct {
		name            string
		audience        *audience
		cluster, region string
		want            bool
	}{
		{"no audience", nil, "east", "", true},
		{"listed", &audience{Clusters: []v1alpha1.ClusterID{"west", "east"}}, "east", "", true},
		{"another is listed", &audience{Clusters: []v1alpha1.ClusterID{"west"}}, "east", "eu", false},
		{"its region", &audience{Regions: []string{"eu"}}, "east", "eu", true},
		{"another region", &audience{Regions: []string{"us"}}, "east", "eu", false},
		{"no region", &audience{Regions: []string{""}}, "east", "", false},
		{"either", &audience{Clusters: []v1alpha1.ClusterID{"west"}, Regions: []string{"eu"}}, "east", "eu", true},
		{"nobody", &audience{}, "east", "eu", false},
	} {
		if got := InAudience(tc.audience, v1alpha1.ClusterID(tc.cluster), tc.region); got != tc.want {
			t.Errorf("%s: %t, want %t", tc.name, got, tc.want)
		}
	}
}

// exportPolicyOf is an ExportPolicy for shop/web, made at that second.
func exportPolicyOf(name string, second int64, clusters ...v1alpha1.ClusterID) *v1alpha1.ExportPolicy {
	return &v1alpha1.ExportPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Generation: 3, CreationTimestamp: metav1.Unix(second, 0)},
		Spec: v1alpha1.ExportPolicySpec{
			TargetRef:      v1alpha1.ExportPolicyTarget{Group: mcsv1beta1.GroupName, Kind: mcsv1beta1.ServiceExportKindName, Name: "web"},
			ExportAudience: v1alpha1.ExportAudience{Clusters: clusters},
		},
	}
}

func TestAudienceOf(t *testing.T) {
	now := metav1.Unix(100, 0)
	change := func(p *v1alpha1.ExportPolicy, edit func(*v1alpha1.ExportPolicy)) *v1alpha1.ExportPolicy {
		edit(p)
		return p
	}
	type policies = []*v1alpha1.ExportPolicy
	for _, tc := range []struct {
		name     string
		policies policies
		want     []v1alpha1.ClusterID // nil: all
	}{
		{"none", nil, nil},
		{"one", policies{exportPolicyOf("a", 1, "east")}, []v1alpha1.ClusterID{"east"}},
		{"the older of two", policies{exportPolicyOf("a", 2, "east"), exportPolicyOf("b", 1, "west")}, []v1alpha1.ClusterID{"west"}},
		{"the first by name of two that are equally old", policies{exportPolicyOf("b", 1, "east"), exportPolicyOf("a", 1, "west")}, []v1alpha1.ClusterID{"west"}},
		{"one that is being deleted", policies{change(exportPolicyOf("a", 1, "east"), func(p *v1alpha1.ExportPolicy) { p.DeletionTimestamp = &now })}, nil},
		{"of another namespace", policies{change(exportPolicyOf("a", 1, "east"), func(p *v1alpha1.ExportPolicy) { p.Namespace = "x" })}, nil},
		{"for another export", policies{change(exportPolicyOf("a", 1, "east"), func(p *v1alpha1.ExportPolicy) { p.Spec.TargetRef.Name = "x" })}, nil},
		{"for another kind", policies{change(exportPolicyOf("a", 1, "east"), func(p *v1alpha1.ExportPolicy) { p.Spec.TargetRef.Kind = "Service" })}, nil},
	} {
		rand.Shuffle(len(tc.policies), func(i, j int) { tc.policies[i], tc.policies[j] = tc.policies[j], tc.policies[i] })
		got := AudienceOf(types.NamespacedName{Namespace: "shop", Name: "web"}, tc.policies)
		if (got == nil) != (tc.want == nil) || got != nil && cmp.Diff(tc.want, got.Clusters) != "" {
			t.Errorf("%s: %+v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestJudgeExportPolicy(t *testing.T) {
	export := &mcsv1beta1.ServiceExport{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	now := metav1.Unix(100, 0)
	going := export.DeepCopy()
	going.DeletionTimestamp = &now
	for _, tc := range []struct {
		name         string
		policy       *v1alpha1.ExportPolicy
		export       *mcsv1beta1.ServiceExport
		rivals       []*v1alpha1.ExportPolicy
		reason, says string
	}{
		{"in effect", exportPolicyOf("a", 1), export, nil, v1alpha1.ReasonAccepted, "in effect for ServiceExport shop/web"},
		{"no target", exportPolicyOf("a", 1), nil, nil, v1alpha1.ReasonTargetNotFound, "there is no ServiceExport shop/web"},
		{"the target goes", exportPolicyOf("a", 1), going, nil, v1alpha1.ReasonTargetNotFound, "there is no ServiceExport shop/web"},
		{"beside an older one", exportPolicyOf("a", 2), export, []*v1alpha1.ExportPolicy{exportPolicyOf("b", 1)}, v1alpha1.ReasonConflicted, "ExportPolicy shop/b"},
		{"beside a younger one", exportPolicyOf("a", 1), export, []*v1alpha1.ExportPolicy{exportPolicyOf("b", 2)}, v1alpha1.ReasonAccepted, "in effect"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := JudgeExportPolicy(tc.policy, tc.export, append(tc.rivals, tc.policy))
			if got.Reason != tc.reason || !strings.Contains(got.Message, tc.says) || (got.Status == metav1.ConditionTrue) != (tc.reason == v1alpha1.ReasonAccepted) || got.ObservedGeneration != 3 {
				t.Errorf("%+v, want reason %s and %q", got, tc.reason, tc.says)
			}
		})
	}
}
