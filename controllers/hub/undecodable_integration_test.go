//go:build integration

package hub_test

import (
	"context"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// What one member writes must not keep others from reading the rest: the hub refuses what our types
// cannot hold, or we read past it.
func TestUndecodable(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	bad := map[string]map[string]any{
		"lower-case-time":  {"exportedAt": "2026-01-01t00:00:00z"},
		"no-such-day":      {"exportedAt": "2026-02-30T00:00:00Z"},
		"odd-fraction":     {"exportedAt": "2026-01-01T00:00:00x5Z"},
		"odd-zone":         {"exportedAt": "2026-01-01T00:00:00+99:99"},
		"great-port":       {"ports": []any{map[string]any{"port": int64(1) << 40}}},
		"great-timeout":    {"sessionAffinityConfig": map[string]any{"clientIP": map[string]any{"timeoutSeconds": int64(1) << 40}}},
		"fraction-of-port": {"ports": []any{map[string]any{"port": 80.5}}},
	}
	var admitted []string
	for name, fields := range bad {
		spec := map[string]any{"namespace": "shop", "name": name, "exportedAt": "2026-01-01T00:00:00Z", "type": "ClusterSetIP"}
		for key, value := range fields {
			spec[key] = value
		}
		obj := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": v1alpha1.GroupVersion.String(), "kind": "ExportedService",
			"metadata": map[string]any{
				"namespace": v1alpha1.DefaultHubNamespace, "name": clusterset.HubName("west", "shop", name),
				"labels": map[string]any{v1alpha1.LabelSourceCluster: "west"},
			},
			"spec": spec,
		}}
		err := c.Create(t.Context(), obj)
		if err != nil && !apierrors.IsInvalid(err) {
			t.Fatal(err)
		}
		if err == nil {
			admitted = append(admitted, name)
			t.Cleanup(func() { _ = c.Delete(context.Background(), obj) }) // the next test clears the hub, too
		}
	}
	t.Logf("the API server let through %v", admitted)
	e.Hub.Publish(t, "west", "shop", "after")
	e.Settle(t)
	view, err := e.Conn.View()
	if err != nil {
		t.Fatal(err)
	}
	if found, err := view.ExportsOf(t.Context(), "shop", "after"); err != nil || len(found) != 1 {
		t.Errorf("found %v, %v: want one export", found, err)
	}
	for _, name := range admitted {
		if export, err := view.Export(t.Context(), "west", "shop", name); err != nil || export == nil || export.Spec.Type != "" {
			t.Errorf("%s: %+v, %v: want an export that says nothing", name, export, err)
		}
	}
	contains(t, e.Conn.Status().Message, "in step")
}
