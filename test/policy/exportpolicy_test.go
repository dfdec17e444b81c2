//go:build integration

package policy

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// What a user may get wrong in an ExportPolicy, and the words of the sentence that says so. An empty
// want means that it is accepted.
func TestCreateExportPolicy(t *testing.T) {
	const (
		badTarget = ": set group to multicluster.x-k8s.io and kind to ServiceExport"
		nobody    = "name clusters, regions or both: as it is, the export is for no other cluster"
		web       = "targetRef: {name: web}\n  "
	)
	for _, tc := range []struct{ name, spec, want string }{
		{"clusters", web + "clusters: [east, west]", ""},
		{"regions", web + "regions: [eu-1]", ""},
		{"both", web + "clusters: [east]\n  regions: [eu-1, us-1]", ""},
		{"as large as it may be", web + "clusters: " + items(256, strings.Repeat("x", 59)+"-%03d") + "\n  regions: " + items(64, strings.Repeat("y", 60)+"-%02d"), ""},
		{"nobody", strings.TrimSpace(web), nobody},
		{"an empty list", web + "clusters: []", "spec.clusters"},
		{"too many", web + "clusters: " + items(257, "c-%d"), "spec.clusters"},
		{"twice", web + "clusters: [east, east]", "spec.clusters[1]: Duplicate value"},
		{"no cluster ID", web + "clusters: [east.example]", "a cluster ID is one RFC 1123 label"},
		{"an empty region", web + `regions: [""]`, "spec.regions[0]"},
		{"no target", "clusters: [east]", "spec.targetRef"},
		{"a target of another kind", "targetRef: {name: web, kind: Service}\n  clusters: [east]", badTarget},
		{"a target of another group", "targetRef: {name: web, group: core}\n  clusters: [east]", badTarget},
	} {
		t.Run(tc.name, func(t *testing.T) {
			policy := &unstructured.Unstructured{}
			text := "apiVersion: clusterset.tombolo.dev/v1alpha1\nkind: ExportPolicy\nmetadata: {name: p, namespace: default}\nspec:\n  " + tc.spec
			if err := yaml.Unmarshal([]byte(text), &policy.Object); err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			checkInvalid(t, admin.Create(t.Context(), policy, client.DryRunAll), tc.want)
		})
	}
}
