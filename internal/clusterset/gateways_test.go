package clusterset

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

func TestRemoteGateways(t *testing.T) {
	blocks := prefixes("245.0.32.0/20", "fd00::/64")
	got, refusal := RemoteGateways([]v1alpha1.GatewayNode{
		gatewayNode("third", lane(5), "245.0.32.5", "fd00::5"), gatewayNode("first", lane(0)), gatewayNode("none", nil),
		gatewayNode("wrong", lane(1), "245.0.16.1"), gatewayNode("zz-same-lane", lane(5)), gatewayNode("first", lane(7)),
	}, blocks)
	want := []v1alpha1.RemoteGateway{
		{Name: "first", Lane: 0},
		{Name: "third", Lane: 5, TunnelAddresses: []v1alpha1.IPAddress{"245.0.32.5", "fd00::5"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if refusal == nil || refusal.Reason != v1alpha1.ReasonInvalidTunnelAddress || !strings.Contains(refusal.Message, "wrong (245.0.16.1)") {
		t.Errorf("refusal is %+v", refusal)
	}
	if _, refusal := RemoteGateways(nil, blocks); refusal != nil {
		t.Errorf("no gateways are refused: %+v", refusal)
	}
}

func TestKeepGateways(t *testing.T) {
	gateway := func(name string, lane v1alpha1.Lane, key string) v1alpha1.RemoteGateway {
		return v1alpha1.RemoteGateway{Name: name, Lane: lane, PublicKey: key}
	}
	a, b, c := gateway("a", 0, "1"), gateway("b", 1, "2"), gateway("c", 2, "3")
	for _, test := range []struct {
		name                    string
		published, before, want []v1alpha1.RemoteGateway
	}{
		{"none", nil, nil, nil},
		{"nothing is shown", nil, []v1alpha1.RemoteGateway{a, b}, []v1alpha1.RemoteGateway{a, b}},
		{"one is not shown", []v1alpha1.RemoteGateway{c}, []v1alpha1.RemoteGateway{a, c}, []v1alpha1.RemoteGateway{a, c}},
		{"another has its lane", []v1alpha1.RemoteGateway{gateway("d", 0, "4")}, []v1alpha1.RemoteGateway{a}, []v1alpha1.RemoteGateway{gateway("d", 0, "4")}},
		{"it has changed", []v1alpha1.RemoteGateway{gateway("a", 5, "5")}, []v1alpha1.RemoteGateway{a, b}, []v1alpha1.RemoteGateway{b, gateway("a", 5, "5")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, KeepGateways(test.published, test.before)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
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
