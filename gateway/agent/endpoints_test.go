package agent

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func endpointTexts(list []v1alpha1.Endpoint) []string {
	var texts []string
	for _, e := range list {
		texts = append(texts, fmt.Sprintf("%s %d", e.Address, e.Port))
	}
	return texts
}

func TestEndpointsOf(t *testing.T) {
	const internal, external = v1alpha1.EndpointInternalIP, v1alpha1.EndpointExternalIP
	tests := []struct {
		name       string
		annotation string
		sources    []v1alpha1.EndpointSource
		want       []string
		fault      string
	}{
		{"by default", "", nil, []string{"203.0.113.7 51820", "2001:db8::7 51820", "192.0.2.10 51820", "fd00::10 51820"}, ""},
		{"internal only", "", []v1alpha1.EndpointSource{internal}, []string{"192.0.2.10 51820", "fd00::10 51820"}, ""},
		{"internal first", "", []v1alpha1.EndpointSource{internal, external},
			[]string{"192.0.2.10 51820", "fd00::10 51820", "203.0.113.7 51820", "2001:db8::7 51820"}, ""},
		{"annotation", "198.51.100.1, 198.51.100.2:4500 ,[2001:db8::1]:4500,2001:db8::2", []v1alpha1.EndpointSource{internal},
			[]string{"198.51.100.1 51820", "198.51.100.2 4500", "2001:db8::1 4500", "2001:db8::2 51820"}, ""},
		{"annotation of blanks", " ", []v1alpha1.EndpointSource{external}, []string{"203.0.113.7 51820", "2001:db8::7 51820"}, ""},
		{"twice", "198.51.100.1,198.51.100.1:51820,::ffff:198.51.100.1", nil, []string{"198.51.100.1 51820"}, ""},
		{"one is wrong", "gw.example.com,198.51.100.1", nil, []string{"198.51.100.1 51820"}, `"gw.example.com"`},
		{"several are wrong", "127.0.0.1,0.0.0.0,198.51.100.1:0,fe80::1%eth0,224.0.0.1,198.51.100.1:70000,,[::1]:5", nil, nil, `"127.0.0.1"`},
		{"too many", "10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5,10.0.0.6,10.0.0.7,10.0.0.8,10.0.0.9", nil, []string{
			"10.0.0.1 51820", "10.0.0.2 51820", "10.0.0.3 51820", "10.0.0.4 51820", "10.0.0.5 51820", "10.0.0.6 51820", "10.0.0.7 51820", "10.0.0.8 51820"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			node := gatewayNode(func(n *corev1.Node) {
				n.Annotations[v1alpha1.AnnotationGatewayEndpoints] = test.annotation
				for _, text := range []string{"192.0.2.10", "fd00::10"} {
					n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: text})
				}
				for _, text := range []string{"203.0.113.7", "2001:db8::7"} {
					n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: text})
				}
			})
			got := endpointsOf(node, test.sources, 51820)
			if diff := cmp.Diff(test.want, endpointTexts(got.list)); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
			if (got.fault == "") != (test.fault == "") || !strings.Contains(got.fault, test.fault) {
				t.Errorf("the fault is %q, want %q", got.fault, test.fault)
			}
			if test.fault != "" && !strings.Contains(got.fault, "node east-1, annotation clusterset.tombolo.dev/gateway-endpoints") {
				t.Errorf("the fault does not say where: %s", got.fault)
			}
		})
	}
	node := gatewayNode(nil)
	if got := endpointsOf(node, []v1alpha1.EndpointSource{external}, 51820); !strings.Contains(got.fault, "node east-1 has no address of type ExternalIP") {
		t.Errorf("without an address: %+v", got)
	}
}

// A mistake, and a port that nobody has, change nothing that is published.
func TestEndpointsToPublish(t *testing.T) {
	published := []v1alpha1.Endpoint{{Address: "198.51.100.9", Port: 4500}}
	set := &v1alpha1.ClusterSet{Spec: v1alpha1.ClusterSetSpec{Gateway: v1alpha1.GatewayOptions{Port: 51820}}}
	tests := []struct {
		name       string
		made       bool // there is a GatewayNode
		annotation string
		result     *tunnelResult
		want       []string
	}{
		{"the first time", false, "198.51.100.1", nil, []string{"198.51.100.1 51820"}},
		{"before the first pass", true, "198.51.100.1", nil, []string{"198.51.100.9 4500"}},
		{"the port is taken", true, "198.51.100.1", &tunnelResult{planned: true}, []string{"198.51.100.9 4500"}},
		{"it has the port", true, "198.51.100.1", &tunnelResult{planned: true, port: 51820}, []string{"198.51.100.1 51820"}},
		{"it stays at the old port", true, "198.51.100.1", &tunnelResult{planned: true, port: 4500}, []string{"198.51.100.1 4500"}},
		{"all entries are wrong", true, "x", &tunnelResult{planned: true, port: 51820}, []string{"198.51.100.9 4500"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := objects{clusterSet: set, node: gatewayNode(func(n *corev1.Node) { n.Annotations[v1alpha1.AnnotationGatewayEndpoints] = test.annotation })}
			if test.made {
				o.gateway = &v1alpha1.GatewayNode{Spec: v1alpha1.GatewayNodeSpec{Endpoints: published}}
			}
			if diff := cmp.Diff(test.want, endpointTexts(endpointsToPublish(o, test.result).list)); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
		})
	}
}
