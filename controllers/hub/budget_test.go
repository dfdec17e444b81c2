package hub

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// What comes between two counts is within the budget only as long as there is room, however much
// comes; what found no room then is found again after the next count.
func TestWithinBudgetBetweenCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10
		scheme := runtime.NewScheme()
		if err := v1alpha1.AddToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		member := &v1alpha1.Member{Spec: v1alpha1.MemberSpec{Limits: v1alpha1.MemberLimits{Exports: limit}}}
		member.Namespace, member.Name = "hub", "west"
		c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(member).
			WithIndex(&v1alpha1.ExportedService{}, indexCluster, func(obj client.Object) []string {
				return []string{string(clusterset.SourceCluster(obj.GetLabels()))}
			}).Build()
		view := View{Reader: c, Namespace: "hub", budgets: &budgets{clusters: map[v1alpha1.ClusterID]*budget{}}}

		within := func(i int) bool {
			t.Helper()
			ok, err := view.WithinBudget(t.Context(), "west", fmt.Sprint("e-", i))
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		publish := func(i int) *v1alpha1.ExportedService {
			t.Helper()
			export := &v1alpha1.ExportedService{}
			export.Namespace, export.Name, export.Labels = "hub", fmt.Sprint("e-", i), map[string]string{v1alpha1.LabelSourceCluster: "west"}
			if err := c.Create(t.Context(), export); err != nil {
				t.Fatal(err)
			}
			return export
		}
		first := publish(0)
		admitted := 0
		for i := range 5 * limit {
			if i > 0 {
				publish(i)
			}
			if within(i) {
				admitted++
			}
			if i < limit && !within(i) {
				t.Errorf("export %d is not within the limit of %d", i, limit)
			}
		}
		if admitted != limit {
			t.Errorf("%d exports are within the limit of %d", admitted, limit)
		}
		if !view.MissedBudget("west") || view.MissedBudget("west") {
			t.Error("what found no room is not told exactly once")
		}
		if err := c.Delete(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * recount)
		for i := 1; i < limit; i++ {
			if !within(i) {
				t.Errorf("export %d, which was within, is not after the count", i)
			}
		}
		if beyond, err := view.BeyondBudget(t.Context(), "west"); err != nil || len(beyond) != 4*limit-1 {
			t.Errorf("%d are beyond, %v", len(beyond), err)
		}
		if view.MissedBudget("west") {
			t.Error("counted exports count as missed")
		}
	})
}
