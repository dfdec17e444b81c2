package status

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestSummarize(t *testing.T) {
	condition := func(kind string, status metav1.ConditionStatus, reason string, generation int64) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: "why", ObservedGeneration: generation}
	}
	ready := func(status metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: "Ready", Status: status, Reason: reason, Message: message, ObservedGeneration: 2}
	}
	const yes, no, unknown = metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown
	stalled := condition("Stalled", yes, "CIDROverlap", 2)
	for _, tt := range []struct {
		name string
		have []metav1.Condition
		want []metav1.Condition // besides those that are needed
		seen int64
	}{
		{"nothing", nil, []metav1.Condition{ready(unknown, "Pending", "Accepted: nothing is known yet")}, 0},
		{"one is missing", []metav1.Condition{condition("Accepted", yes, "Accepted", 2)},
			[]metav1.Condition{ready(unknown, "Pending", "HubConnected: nothing is known yet")}, 0},
		{"all are true", []metav1.Condition{condition("Accepted", yes, "Accepted", 2), condition("HubConnected", yes, "Connected", 2)},
			[]metav1.Condition{ready(yes, "Ready", "")}, 2},
		{"one is old", []metav1.Condition{condition("Accepted", yes, "Accepted", 2), condition("HubConnected", yes, "Connected", 1)},
			[]metav1.Condition{ready(yes, "Ready", "")}, 1},
		{"the second is false", []metav1.Condition{condition("Accepted", yes, "Accepted", 2), condition("HubConnected", no, "Unreachable", 2)},
			[]metav1.Condition{ready(no, "Unreachable", "HubConnected: why")}, 2},
		{"the first that is not true counts", []metav1.Condition{condition("Accepted", unknown, "NotAMember", 2), condition("HubConnected", no, "Unreachable", 2)},
			[]metav1.Condition{ready(unknown, "NotAMember", "Accepted: why")}, 2},
		{"refused", []metav1.Condition{condition("Accepted", no, "CIDROverlap", 2), condition("HubConnected", yes, "Connected", 2)},
			[]metav1.Condition{ready(no, "CIDROverlap", "Accepted: why"), stalled}, 2},
		{"refused until a target comes", []metav1.Condition{condition("Accepted", no, "TargetNotFound", 2), condition("HubConnected", yes, "Connected", 2)},
			[]metav1.Condition{ready(no, "TargetNotFound", "Accepted: why")}, 2},
		{"no longer refused", []metav1.Condition{condition("Accepted", yes, "Accepted", 2), condition("HubConnected", yes, "Connected", 2), stalled},
			[]metav1.Condition{ready(yes, "Ready", "")}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			of := &v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
			have := append([]metav1.Condition{}, tt.have...)
			if seen := Summarize(of, &have, "Accepted", "HubConnected"); seen != tt.seen {
				t.Errorf("seen generation %d, want %d", seen, tt.seen)
			}
			var rest []metav1.Condition
			for _, c := range have {
				if c.Type == "Ready" || c.Type == "Stalled" {
					rest = append(rest, c)
				}
			}
			byType := cmpopts.SortSlices(func(a, b metav1.Condition) bool { return a.Type < b.Type })
			if diff := cmp.Diff(tt.want, rest, byType, cmpopts.IgnoreFields(metav1.Condition{}, "LastTransitionTime")); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
		})
	}
}
