//go:build integration

package trafficpolicy_test

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// TestSchema: what no policy can mean the API server refuses, and says where.
func TestSchema(t *testing.T) {
	c := clusters[members.HubName]
	const namespace = "schema"
	c.MakeNamespace(t, namespace, nil)
	weights := func(all ...v1alpha1.ClusterWeight) func(*v1alpha1.TrafficPolicySpec) {
		return func(spec *v1alpha1.TrafficPolicySpec) { spec.Weights = all }
	}
	steps := func(all ...v1alpha1.FailoverStep) func(*v1alpha1.TrafficPolicySpec) {
		return func(spec *v1alpha1.TrafficPolicySpec) { spec.Failover = all }
	}
	for _, tt := range []struct {
		name string

		edit func(*v1alpha1.TrafficPolicySpec)
		want string // empty: it is taken

	}{
		{"a canary", weights(v1alpha1.ClusterWeight{Cluster: "east", Weight: 95}, v1alpha1.ClusterWeight{Cluster: "west", Weight: 5}), ""},
		{"all drained", weights(v1alpha1.ClusterWeight{Cluster: "east"}), ""}, // the condition tells
		{"a negative weight", weights(v1alpha1.ClusterWeight{Cluster: "east", Weight: -1}), "spec.weights[0].weight"},
		{"a weight too large", weights(v1alpha1.ClusterWeight{Cluster: "east", Weight: 1001}), "spec.weights[0].weight"},
		{"a cluster twice", weights(v1alpha1.ClusterWeight{Cluster: "east", Weight: 1}, v1alpha1.ClusterWeight{Cluster: "east", Weight: 2}), "spec.weights[1]"},
		{"no cluster", weights(v1alpha1.ClusterWeight{Weight: 1}), "spec.weights[0].cluster"},
		{"no cluster ID", weights(v1alpha1.ClusterWeight{Cluster: "East 1", Weight: 1}), "spec.weights[0].cluster"},
		{"too many clusters", weights(make([]v1alpha1.ClusterWeight, 65)...), "spec.weights"},
		{"an empty step", steps(v1alpha1.FailoverStep{}), "names clusters, regions or both"},
		{"a region twice", steps(v1alpha1.FailoverStep{Regions: []string{"eu", "eu"}}), "spec.failover[0].regions[1]"},
		{"an unknown scheduler", func(spec *v1alpha1.TrafficPolicySpec) { spec.Scheduler = "Best" }, "spec.scheduler"},
		{"less than all", func(spec *v1alpha1.TrafficPolicySpec) {
			spec.Spillover = &v1alpha1.Spillover{OverprovisioningPercent: 99}
		}, "overprovisioningPercent"},
		{"another kind", func(spec *v1alpha1.TrafficPolicySpec) { spec.TargetRef.Kind = "Service" }, "a TrafficPolicy is for a ServiceImport"},
		{"no name", func(spec *v1alpha1.TrafficPolicySpec) { spec.TargetRef.Name = "" }, "spec.targetRef.name"},
	} {
		p := &v1alpha1.TrafficPolicy{ObjectMeta: members.Meta(namespace, strings.ReplaceAll(strings.ToLower(tt.name), " ", "-")),
			Spec: v1alpha1.TrafficPolicySpec{TargetRef: v1alpha1.TrafficPolicyTarget{Name: "web"}}}
		tt.edit(&p.Spec)
		err := c.Create(t.Context(), p)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want it refused with %q", tt.name, err, tt.want)
		}
	}
}
