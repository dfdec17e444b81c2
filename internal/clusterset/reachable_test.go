package clusterset

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestReachable(t *testing.T) {
	up, down, connecting := v1alpha1.LinkUp, v1alpha1.LinkDown, v1alpha1.LinkConnecting
	type links map[string][]v1alpha1.LinkState
	tests := []struct {
		name      string
		condition metav1.ConditionStatus
		links     links
		counted   Links
		want      bool
	}{
		{"nothing is known", "", nil, Links{}, true},
		{"no links, the operator says no", metav1.ConditionFalse, nil, Links{}, false},
		{"one is up, and the operator does not know it yet", metav1.ConditionFalse, links{"g1": {down, up}}, Links{Up: 1, Down: 1, Total: 2}, true},
		{"all are down, and the operator does not know it yet", metav1.ConditionTrue, links{"g1": {down}, "g2": {down, down}}, Links{Down: 3, Total: 3}, false},
		{"down and new", metav1.ConditionTrue, links{"g1": {down}, "g2": {connecting}}, Links{Down: 1, Total: 2}, false},
		{"new, where the cluster was reached before", metav1.ConditionTrue, links{"g1": {connecting}}, Links{Total: 1}, true},
		{"new, where it was not", metav1.ConditionFalse, links{"g1": {connecting}}, Links{Total: 1}, false},
		{"a gateway that is gone left one that is up", metav1.ConditionTrue, links{"g1": {down}, "gone": {up}}, Links{Down: 1, Total: 1}, false},
		{"a gateway that is gone left one that is down", metav1.ConditionTrue, links{"gone": {down}}, Links{}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rc := &v1alpha1.RemoteCluster{}
			if test.condition != "" {
				rc.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReachable, Status: test.condition}}
			}
			for gateway, states := range test.links {
				entry := v1alpha1.GatewayLinks{Gateway: gateway}
				for _, state := range states {
					entry.Links = append(entry.Links, v1alpha1.Link{State: state})
				}
				rc.Status.Links = append(rc.Status.Links, entry)
			}
			live := LiveGateways{"g1": true, "g2": true}
			counted := LinksOf(rc, live)
			if counted != test.counted {
				t.Errorf("links are %+v, want %+v", counted, test.counted)
			}
			if got := Reachable(rc, live); got != test.want {
				t.Errorf("reachable: %t, want %t", got, test.want)
			}
			if Reachable(rc, nil) {
				t.Error("reachable without a live gateway")
			}
		})
	}
}
