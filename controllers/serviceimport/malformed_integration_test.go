//go:build integration

package serviceimport_test

import (
	"strings"
	"testing"

	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// notes are what was noted last of each cluster's object.
type notes map[string][]screen.Skipped

func (n notes) Note(cluster v1alpha1.ClusterID, object string, skipped ...screen.Skipped) {
	n[string(cluster)+" "+object] = skipped
}

// An export that cannot be used is ignored, unless its cluster is imported from: then what was
// imported stays, and the import is merged from the others.
func TestMalformedExport(t *testing.T) {
	e, r, _ := newEnv(t, "malformed")
	west(t, e)
	bad := map[string]string{"not a label": "x"}
	export := publish(t, e, "malformed", "new")
	export.Spec.ExportedLabels = bad
	editExport(t, e, export)
	steps(t, e, r, "malformed", "new")
	if got := get(t, e, "malformed", "new"); got != nil {
		t.Errorf("imported from an export that cannot be used: %+v", got)
	}

	export = publish(t, e, "malformed", "old")
	steps(t, e, r, "malformed", "old")
	before := get(t, e, "malformed", "old")
	export.Spec.ExportedLabels = bad
	export.Spec.Ports[0].Port = 81
	editExport(t, e, export)
	steps(t, e, r, "malformed", "old")
	got := get(t, e, "malformed", "old")
	if got == nil || len(got.Status.Clusters) != 1 || got.Spec.Ports[0].Port != 80 || got.Spec.IPs[0] != before.Spec.IPs[0] {
		t.Fatalf("an export that cannot be used any more changed its import: %+v", got)
	}
	if c := ready(t, got); !strings.Contains(c.Message, "west") || !strings.Contains(c.Message, v1alpha1.ConditionContentAccepted) {
		t.Errorf("the condition does not say so: %s", c.Message)
	}

	own, _ := e.Hub.Publish(t, members.Own, "malformed", "old")
	own.Spec.Ports = []mcsv1beta1.ServicePort{{Name: "other", Port: 90}}
	editExport(t, e, own)
	steps(t, e, r, "malformed", "old")
	got = get(t, e, "malformed", "old")
	if len(got.Status.Clusters) != 2 || len(got.Spec.Ports) != 1 || got.Spec.Ports[0].Port != 90 {
		t.Errorf("with another export: clusters %v, ports %v, want both clusters and the other's port", got.Status.Clusters, got.Spec.Ports)
	}
}
