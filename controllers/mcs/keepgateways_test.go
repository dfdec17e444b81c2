package mcs

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

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
