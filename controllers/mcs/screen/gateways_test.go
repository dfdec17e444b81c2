package screen

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
