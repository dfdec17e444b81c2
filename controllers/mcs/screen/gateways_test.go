package screen

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
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

// A gateway is used at those of its endpoints where it may be.
func TestPlaces(t *testing.T) {
	places := Places{
		Allowed: prefixes("192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32"),
		Taken:   clusterset.BlocksOf(prefixes("10.96.0.0/16"), "the Services"),
	}
	node := gatewayNode("n", lane(0))
	node.Spec.PublicKey = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAk="
	for _, address := range []v1alpha1.IPAddress{"192.0.2.1", "203.0.113.1", "10.96.0.1", "127.0.0.1", "169.254.169.254", "fe80::1", "224.0.0.1", "2001:db8::1"} {
		node.Spec.Endpoints = append(node.Spec.Endpoints, v1alpha1.Endpoint{Address: address, Port: 51820})
	}
	got, skipped := Gateway(&node, places)
	if got == nil || len(got.Spec.Endpoints) != 2 || got.Spec.Endpoints[0].Address != "192.0.2.1" || got.Spec.Endpoints[1].Address != "2001:db8::1" {
		t.Fatalf("used at %+v", got)
	}
	var all string
	for _, s := range skipped {
		all += s.Message + "\n"
	}
	for _, want := range []string{"203.0.113.1\" port 51820 is outside its Member's endpointCIDRs", "is in 10.96.0.0/16 of the Services in this cluster", "169.254.169.254"} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing says %s:\n%s", want, all)
		}
	}
	if len(skipped) != 6 {
		t.Errorf("%d endpoints are skipped, want 6", len(skipped))
	}
	places.Allowed = prefixes("198.51.100.0/24")
	if got, _ := Gateway(&node, places); got != nil {
		t.Errorf("used at %+v, where no gateway may be", got.Spec.Endpoints)
	}
}
