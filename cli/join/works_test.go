package join

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// A kernel without WireGuard gets none while join waits, so join ends and says what to do. A gateway that
// found so before this join may have been given the module since, and is waited for.
func TestNoWireGuard(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	for _, tt := range []struct {
		name      string
		reason    string
		since     time.Time
		userspace bool
		want      string // "" for none
	}{
		{"found now", v1alpha1.ReasonKernelModuleMissing, began.Add(time.Second), false, "--userspace-wireguard"},
		{"found in the same second", v1alpha1.ReasonKernelModuleMissing, began.Truncate(time.Second), false, "--userspace-wireguard"},
		{"found before", v1alpha1.ReasonKernelModuleMissing, began.Add(-time.Second), false, ""},
		{"the gateways may run it themselves", v1alpha1.ReasonKernelModuleMissing, began.Add(time.Second), true, ""},
		{"another reason", v1alpha1.ReasonPending, began.Add(time.Second), false, ""},
	} {
		gateway := v1alpha1.GatewayNode{ObjectMeta: metav1.ObjectMeta{Name: "east-1"}}
		gateway.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: tt.reason,
			Message: "the kernel has no WireGuard", LastTransitionTime: metav1.NewTime(tt.since)}}
		o := &options{}
		o.manifest.UserspaceWireGuard = tt.userspace
		err := o.noWireGuard(&topology.Snapshot{GatewayNodes: []v1alpha1.GatewayNode{gateway}}, began)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}
