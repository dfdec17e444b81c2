package gatewaylife

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func gateway(name string, conditions ...string) v1alpha1.GatewayNode {
	g := v1alpha1.GatewayNode{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1alpha1.GatewayNodeStatus{Lane: new(v1alpha1.Lane)}}
	for i := 0; i < len(conditions); i += 2 {
		g.Status.Conditions = append(g.Status.Conditions, metav1.Condition{Type: conditions[i], Status: metav1.ConditionStatus(conditions[i+1])})
	}
	return g
}

// remote is a cluster with the states of the links of old and young to it; empty: no entry.
func remote(old, young v1alpha1.LinkState) v1alpha1.RemoteCluster {
	rc := v1alpha1.RemoteCluster{}
	for name, state := range map[string]v1alpha1.LinkState{"old": old, "young": young} {
		if state != "" {
			rc.Status.Links = append(rc.Status.Links, v1alpha1.GatewayLinks{
				Gateway: name, Links: []v1alpha1.Link{{RemoteGateway: "r", State: state}},
			})
		}
	}
	return rc
}

func TestCanReplace(t *testing.T) {
	const up, down = v1alpha1.LinkUp, v1alpha1.LinkDown
	young := gateway("young", "Ready", "True", "Alive", "True")
	laneless := gateway("young", "Ready", "True")
	laneless.Status.Lane = nil
	leaving := gateway("young", "Ready", "True")
	leaving.DeletionTimestamp = &metav1.Time{Time: begin}
	tests := []struct {
		name    string
		other   v1alpha1.GatewayNode
		remotes []v1alpha1.RemoteCluster
		want    bool
	}{
		{"no other", gateway("old", "Ready", "True"), nil, false},
		{"nothing to reach", young, nil, true},
		{"reaches the same", young, []v1alpha1.RemoteCluster{remote(up, up)}, true},
		{"reaches less", young, []v1alpha1.RemoteCluster{remote(up, up), remote(up, down)}, false},
		{"reaches it not yet", young, []v1alpha1.RemoteCluster{remote(up, "")}, false},
		{"the old one does not reach it either", young, []v1alpha1.RemoteCluster{remote(down, down)}, true},
		{"of an older version", gateway("young", "Ready", "True"), nil, true},
		{"not ready", gateway("young", "Alive", "True"), nil, false},
		{"dead", gateway("young", "Ready", "True", "Alive", "False"), nil, false},
		{"draining", gateway("young", "Ready", "True", "Draining", "True"), nil, false},
		{"without a lane", laneless, nil, false},
		{"being deleted", leaving, nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			all := []v1alpha1.GatewayNode{gateway("old", "Ready", "True"), test.other}
			if got := canReplace("old", all, test.remotes); got != test.want {
				t.Errorf("can replace: %t, want %t", got, test.want)
			}
		})
	}
}

func TestStays(t *testing.T) {
	type look struct {
		at       float64
		replaced bool
		want     bool
	}
	tests := []struct {
		name  string
		looks []look
	}{
		{"nobody replaces it", []look{{0, false, true}, {59, false, true}, {60, false, false}}},
		{"replaced at once", []look{{0, true, true}, {7.9, true, true}, {8, true, false}}},
		{"replaced later", []look{{0, false, true}, {20, true, true}, {27, true, true}, {28, true, false}}},
		{"replaced for a moment", []look{{0, true, true}, {3, false, true}, {6, true, true}, {13, true, true}, {14, true, false}}},
		{"replaced late", []look{{0, false, true}, {58, true, true}, {60, true, false}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var s sightings
			for _, l := range test.looks {
				if got := s.stays(l.replaced, at(l.at)); got != l.want {
					t.Errorf("at %v s: stays %t, want %t", l.at, got, l.want)
				}
			}
		})
	}
}

func TestSooner(t *testing.T) {
	for _, tc := range []struct{ a, b, want time.Duration }{{0, 0, 0}, {0, 1, 1}, {1, 0, 1}, {1, 2, 1}, {2, 1, 1}} {
		if got := sooner(tc.a, tc.b); got != tc.want {
			t.Errorf("sooner(%d, %d) is %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
