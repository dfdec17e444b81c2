package plan

import (
	"net/netip"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

func TestUnreachable(t *testing.T) {
	up, down, connecting := v1alpha1.LinkUp, v1alpha1.LinkDown, v1alpha1.LinkConnecting
	type links map[string][]v1alpha1.LinkState
	tests := []struct {
		name      string
		condition metav1.ConditionStatus
		links     links
		live      clusterset.LiveGateways // default both
		want      bool
	}{
		{"nothing is known", "", nil, nil, false},
		{"no links, the operator says no", metav1.ConditionFalse, nil, nil, true},
		{"no links, the operator says yes", metav1.ConditionTrue, nil, nil, false},
		{"one is up", metav1.ConditionTrue, links{"g1": {down, up}, "g2": {down}}, nil, false},
		{"one is up, and the operator does not know it yet", metav1.ConditionFalse, links{"g1": {up}}, nil, false},
		{"all are down, and the operator does not know it yet", metav1.ConditionTrue, links{"g1": {down}, "g2": {down, down}}, nil, true},
		{"down and new", metav1.ConditionTrue, links{"g1": {down}, "g2": {connecting}}, nil, true},
		{"new, where the cluster was reached before", metav1.ConditionTrue, links{"g1": {connecting}}, nil, false},
		{"new, where it was not", metav1.ConditionFalse, links{"g1": {connecting}}, nil, true},
		{"a gateway that is gone left one that is up", metav1.ConditionTrue, links{"g1": {down}, "gone": {up}}, nil, true},
		{"a gateway that is gone left one that is down", metav1.ConditionTrue, links{"gone": {down}}, nil, false},
		{"the one with the link is dead", metav1.ConditionTrue, links{"g1": {up}, "g2": {down}}, clusterset.LiveGateways{"g2": true}, true},
		{"no gateway lives here", metav1.ConditionTrue, links{"g1": {up}}, clusterset.LiveGateways{}, true},
		{"a gateway without links", metav1.ConditionTrue, links{"g1": {}}, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := remote("east")
			if tt.condition != "" {
				r.Status.Conditions = condition(v1alpha1.ConditionReachable, tt.condition)
			}
			for gateway, states := range tt.links {
				g := v1alpha1.GatewayLinks{Gateway: gateway}
				for _, state := range states {
					g.Links = append(g.Links, v1alpha1.Link{State: state})
				}
				r.Status.Links = append(r.Status.Links, g)
			}
			in := input()
			in.Remotes, in.Live = []*v1alpha1.RemoteCluster{r}, tt.live
			if tt.live == nil {
				in.Live = clusterset.LiveGateways{"g1": true, "g2": true}
			}
			if got := NewPlace(in, nil).Remotes["east"].Unreachable; got != tt.want {
				t.Errorf("unreachable: %t, want %t", got, tt.want)
			}
			if got := (Place{}).WithRemotes(in.Remotes, in.Live).Remotes["east"].Unreachable; got != tt.want {
				t.Errorf("among other members: unreachable %t, want %t", got, tt.want)
			}
		})
	}
}

// Any difference makes two places differ: all services are planned anew for another one.
func TestPlaceEqual(t *testing.T) {
	p := NewPlace(input(), nil)
	for _, tt := range []struct {
		name string
		edit func(*Place)
	}{
		{"cluster", func(p *Place) { p.Cluster = "x" }}, {"node", func(p *Place) { p.Node = "x" }}, {"zone", func(p *Place) { p.Zone = "x" }},
		{"area", func(p *Place) { p.Area.Region = "x" }}, {"VIPs", func(p *Place) { p.VIPs = place().VIPs }}, {"addresses", func(p *Place) { p.Addresses = nil }},
		{"pods", func(p *Place) { p.Pods = prefixes([]v1alpha1.CIDR{"10.2.9.0/24"}) }},
		{"remotes", func(p *Place) { p.Remotes = map[v1alpha1.ClusterID]Remote{} }}, {"locality", func(p *Place) { p.Locality = "x" }},
		{"CIDRs", func(p *Place) { p.CIDRs = map[v1alpha1.ClusterID][]netip.Prefix{"west": nil} }},
		{"failBack", func(p *Place) { p.FailBack++ }},
		{"a link", func(p *Place) {
			p.Remotes = map[v1alpha1.ClusterID]Remote{"east": {Unreachable: true}, "north": p.Remotes["north"]}
		}},
	} {
		other := NewPlace(input(), nil)
		if !p.Equal(other) {
			t.Fatal("two of one input differ")
		}
		if tt.edit(&other); p.Equal(other) {
			t.Errorf("%s makes no difference", tt.name)
		}
	}
}
