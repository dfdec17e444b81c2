//go:build e2e

package conformance

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// A TrafficPolicy of one cluster sends its flows to the clusters that it names, and no other
// cluster's; without it they go to all again.
func testTrafficPolicy(t *testing.T, s *serving) {
	const name = "routed"
	for _, c := range s.both() {
		s.create(t, c, service(name, "web", tcp("http", 80, httpPort)), export(name))
	}
	for _, c := range s.both() {
		awaitImport(t, s.scene, c, name, "east", "west")
	}
	all := names(slices.Concat(s.east, s.west)...)
	west := s.scene.west
	answeredBy := func(c *cluster, pods []string) {
		t.Helper()
		eventually(t, podsWithin, func(ctx context.Context) error { return s.answered(ctx, c, s.url(name, 80), pods) })
	}
	answeredBy(west, all)

	policy := &v1alpha1.TrafficPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.TrafficPolicySpec{
			TargetRef: v1alpha1.TrafficPolicyTarget{Name: name},
			Failover:  []v1alpha1.FailoverStep{{Clusters: []v1alpha1.ClusterID{"east"}}, {Clusters: []v1alpha1.ClusterID{"west"}}},
		},
	}
	s.create(t, west, policy)
	eventually(t, within, func(ctx context.Context) error {
		var got v1alpha1.TrafficPolicy
		if err := s.fetch(ctx, west, name, &got); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(got.Status.Conditions, v1alpha1.ConditionAccepted) {
			return fmt.Errorf("west: TrafficPolicy %s is not accepted: %+v", name, got.Status.Conditions)
		}
		return nil
	})
	answeredBy(west, names(s.east...))
	answeredBy(s.scene.east, all) // another cluster's policy does not concern east

	s.remove(t, west, policy)
	drained := policy.DeepCopy()
	drained.ResourceVersion = ""
	drained.Spec.Failover = nil
	drained.Spec.Weights = []v1alpha1.ClusterWeight{{Cluster: "east", Weight: 0}, {Cluster: "west", Weight: 100}}
	s.create(t, west, drained)
	answeredBy(west, names(s.west...))
	s.remove(t, west, drained)
	answeredBy(west, all)
}
