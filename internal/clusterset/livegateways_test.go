package clusterset

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestGatewaysToUse(t *testing.T) {
	gateway := func(name string, lane v1alpha1.Lane, conditions ...string) *v1alpha1.GatewayNode {
		g := &v1alpha1.GatewayNode{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1alpha1.GatewayNodeStatus{Lane: &lane}}
		for i := 0; i < len(conditions); i += 2 {
			g.Status.Conditions = append(g.Status.Conditions, metav1.Condition{Type: conditions[i], Status: metav1.ConditionStatus(conditions[i+1])})
		}
		return g
	}
	starting := func(name string, lane v1alpha1.Lane) *v1alpha1.GatewayNode {
		g := gateway(name, lane, "Draining", "True")
		g.Status.Conditions[0].Reason = v1alpha1.ReasonAgentStarting
		return g
	}
	laneless := &v1alpha1.GatewayNode{ObjectMeta: metav1.ObjectMeta{Name: "laneless"}}
	tests := []struct {
		name string
		all  []*v1alpha1.GatewayNode
		live LiveGateways
		want []string
	}{
		{"none", nil, nil, nil},
		{"all live, by lane", []*v1alpha1.GatewayNode{gateway("b", 1), gateway("c", 0), laneless}, LiveGateways{"b": true, "c": true, "laneless": true}, []string{"c", "b"}},
		{"one dead", []*v1alpha1.GatewayNode{gateway("a", 0), gateway("b", 1)}, LiveGateways{"b": true}, []string{"b"}},
		{"all dead", []*v1alpha1.GatewayNode{gateway("a", 0), gateway("b", 1)}, nil, []string{"a", "b"}},
		{"one drains", []*v1alpha1.GatewayNode{gateway("a", 0, "Draining", "True"), gateway("b", 1, "Draining", "False")},
			LiveGateways{"a": true, "b": true}, []string{"b"}},
		{"one drains, the other is dead", []*v1alpha1.GatewayNode{gateway("a", 0, "Draining", "True"), gateway("b", 1)}, LiveGateways{"a": true}, []string{"a"}},
		{"one without heartbeat", []*v1alpha1.GatewayNode{gateway("a", 0, "Alive", "False"), gateway("b", 1)}, LiveGateways{"a": true, "b": true}, []string{"b"}},
		{"one unready", []*v1alpha1.GatewayNode{gateway("a", 0, "Ready", "False"), gateway("b", 1)}, LiveGateways{"a": true, "b": true}, []string{"b"}},
		{"one has just started", []*v1alpha1.GatewayNode{gateway("a", 0, "Draining", "True"), starting("b", 1)}, LiveGateways{"a": true, "b": true}, []string{"a"}},
		{"both have just started", []*v1alpha1.GatewayNode{starting("a", 0), starting("b", 1)}, LiveGateways{"a": true, "b": true}, []string{"a", "b"}},
		{"none is well", []*v1alpha1.GatewayNode{gateway("a", 0, "Ready", "False"), gateway("b", 1, "Draining", "True")},
			LiveGateways{"a": true, "b": true}, []string{"a", "b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, g := range GatewaysToUse(test.all, test.live) {
				got = append(got, g.Name)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("gateways (-want +got):\n%s", diff)
			}
		})
	}
}
