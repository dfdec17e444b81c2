package remotecluster

import (
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

func TestStrangers(t *testing.T) {
	four, six, mapped := v1alpha1.Endpoint{Address: "192.0.2.1"}, v1alpha1.Endpoint{Address: "2001:db8::1"}, v1alpha1.Endpoint{Address: "::ffff:192.0.2.1"}
	type endpoints = []v1alpha1.Endpoint
	for _, tt := range []struct {
		name        string
		here, there endpoints
		want        string
	}{
		{"IPv4", endpoints{four}, endpoints{four}, ""},
		{"one of them in common", endpoints{four, six}, endpoints{six}, ""},
		{"mapped", endpoints{mapped}, endpoints{four}, ""},
		{"nothing in common", endpoints{four}, endpoints{six}, "those here have IPv4 addresses, those of cluster west have IPv6"},
		{"nothing known here", nil, endpoints{six}, ""},
		{"nothing known there", endpoints{four}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := &v1alpha1.RemoteCluster{Spec: v1alpha1.RemoteClusterSpec{Gateways: []v1alpha1.RemoteGateway{{Name: "west-1", Endpoints: tt.there}}}}
			rc.Name = "west"
			if tt.want == "" { // else a gateway does not even make a link
				rc.Status.Links = []v1alpha1.GatewayLinks{{Gateway: "east-1", Links: []v1alpha1.Link{{RemoteGateway: "west-1", State: v1alpha1.LinkDown}}}}
			}
			local := localGateways{live: clusterset.LiveGateways{"east-1": true}, endpoints: tt.here}
			got := reachable(rc, local)
			if stranger := strings.Contains(got.Message, "share no IP family"); stranger != (tt.want != "") || !strings.Contains(got.Message, tt.want) || got.Reason != v1alpha1.ReasonNoLink {
				t.Errorf("%s: %s, want %q in it", got.Reason, got.Message, tt.want)
			}
		})
	}
}
