package clusterset

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func gatewayNode(node string, lane *v1alpha1.Lane, tunnel ...v1alpha1.IPAddress) v1alpha1.GatewayNode {
	return v1alpha1.GatewayNode{
		ObjectMeta: metav1.ObjectMeta{Name: node},
		Spec:       v1alpha1.GatewayNodeSpec{NodeName: node, TunnelAddresses: tunnel},
		Status:     v1alpha1.GatewayNodeStatus{Lane: lane},
	}
}

func lane(n v1alpha1.Lane) *v1alpha1.Lane { return ptr.To(n) }

func TestFreeLane(t *testing.T) {
	var all []v1alpha1.GatewayNode
	for n := range v1alpha1.Lane(v1alpha1.MaxLanes) {
		all = append(all, gatewayNode("g", lane(n)))
	}
	tests := []struct {
		name string
		in   []v1alpha1.GatewayNode
		want v1alpha1.Lane
		free bool
	}{
		{"the first", []v1alpha1.GatewayNode{gatewayNode("a", nil)}, 0, true},
		{"the next", []v1alpha1.GatewayNode{gatewayNode("a", lane(0)), gatewayNode("b", nil)}, 1, true},
		{"a gap", []v1alpha1.GatewayNode{gatewayNode("a", lane(0)), gatewayNode("b", lane(2))}, 1, true},
		{"the last", all[:63], 63, true},
		{"none", all, 0, false},
	}
	for _, test := range tests {
		if got, free := FreeLane(test.in); got != test.want || free != test.free {
			t.Errorf("%s: got %d, %v", test.name, got, free)
		}
	}
}

func TestMayPublish(t *testing.T) {
	lane := v1alpha1.Lane(0)
	for _, tc := range []struct {
		lane   *v1alpha1.Lane
		reason string
		want   bool
	}{
		{&lane, "Ready", true}, {&lane, "KernelError", true}, {&lane, "Pending", false}, {&lane, "PortInUse", false}, {&lane, "", false}, {nil, "Ready", false},
	} {
		g := &v1alpha1.GatewayNode{Status: v1alpha1.GatewayNodeStatus{Lane: tc.lane}}
		if tc.reason != "" {
			g.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: tc.reason}}
		}
		if got := MayPublish(g); got != tc.want {
			t.Errorf("lane %v, %q: %t, want %t", tc.lane, tc.reason, got, tc.want)
		}
	}
}
