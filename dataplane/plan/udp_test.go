package plan

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestUDPOf(t *testing.T) {
	slice := func(cluster string, ports []discoveryv1.EndpointPort, addresses ...string) *discoveryv1.EndpointSlice {
		s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.LabelSourceCluster: cluster}}, Ports: ports}
		for _, a := range addresses {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(false)}})
		}
		return s
	}
	port := func(protocol corev1.Protocol, number int32) discoveryv1.EndpointPort {
		return discoveryv1.EndpointPort{Protocol: &protocol, Port: &number}
	}
	dns := []discoveryv1.EndpointPort{port(corev1.ProtocolTCP, 53), port(corev1.ProtocolUDP, 53), {Port: ptr.To[int32](80)}, port(corev1.ProtocolUDP, 70000)}
	for _, tt := range []struct {
		name   string
		slices []*discoveryv1.EndpointSlice
		want   string
	}{
		{"none", nil, "[] []"},
		{"of both", []*discoveryv1.EndpointSlice{slice("east", dns, "10.1.0.6", "10.1.0.5", "10.1.0.5", "fd01::5", "x"), slice("west", dns, "10.2.0.5")},
			"[UDP 10.2.0.5:53] [UDP 10.1.0.5:53 UDP 10.1.0.6:53 UDP [fd01::5]:53]"},
		{"all ports", []*discoveryv1.EndpointSlice{slice("east", nil, "10.1.0.6"), slice("west", nil, "10.2.0.5")}, "[UDP 10.2.0.5:0] [UDP 10.1.0.6:0]"},
		{"TCP only", []*discoveryv1.EndpointSlice{slice("east", dns[:1], "10.1.0.6")}, "[] []"},
		{"of nobody", []*discoveryv1.EndpointSlice{slice("", dns, "10.1.0.6")}, "[] []"},
	} {
		got := UDPOf("west", tt.slices)
		if text := fmt.Sprint(got.Exported, got.Imported); text != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, text, tt.want)
		}
	}
}
