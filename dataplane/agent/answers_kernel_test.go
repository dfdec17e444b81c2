//go:build kernel

package agent

import (
	"net"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// udpSlice is a slice of one port of UDP.
func udpSlice(service, cluster string, port int32, addresses ...string) *discoveryv1.EndpointSlice {
	s := slice(service, cluster, port, addresses...)
	s.Ports[0].Protocol = ptr.To(corev1.ProtocolUDP)
	return s
}

// answered reports whether a packet of UDP from that address and port is answered.
func answered(t *testing.T, from *netns.Namespace, source, target string) (ok bool) {
	t.Helper()
	from.Do(func() {
		dialer := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(source))}
		conn, err := dialer.DialContext(t.Context(), "udp", target)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("?"))
		_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := conn.Read(make([]byte, 64))
		ok = err == nil && n > 0
	})
	return ok
}

// TestUnaskedUDP: from the port of UDP that another cluster exports, no packet comes to a pod that has
// not asked, with each backend. It comes to a pod that is exported itself, and to all pods if the
// gateways filter nothing. Questions are answered at any time.
func TestUnaskedUDP(t *testing.T) {
	for _, backend := range []v1alpha1.DataplaneBackend{v1alpha1.BackendIPVS, v1alpha1.BackendNFTables} {
		t.Run(string(backend), func(t *testing.T) {
			worker, pod, gatewayNet, away := newWorker(t)
			udp80 := mcsv1beta1.ServicePort{Name: "http", Port: 80, Protocol: corev1.ProtocolUDP}
			f := newFixture(t, worker)
			for _, o := range []client.Object{nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"), gatewayNode("gateway", "192.0.2.2", 3),
				remote("east", "10.1.0.0/16"), imported("web", "244.0.0.7", udp80), udpSlice("web", "east", 8080, "10.1.0.5"),
				imported("other", "244.0.0.8", udp80), udpSlice("other", "east", 9000, "10.1.0.5")} {
				f.apply(o)
			}
			set := clusterSet()
			set.Spec.Dataplane.Backend = backend
			f.applyStatus(set)
			f.on("gateway", gatewayNet).pass(node.Marked)
			check := func(when string, reached bool) {
				t.Helper()
				f.pass(node.Marked)
				if got := answered(t, away, "10.1.0.5:9000", "10.2.1.5:8080"); got != reached {
					t.Errorf("%s: unasked, the pod is reached %t, want %t", when, got, reached)
				}
				for _, to := range []string{"244.0.0.7:80", "10.1.0.5:8080"} {
					if answer, err := pod.Ask("udp", to); answer != "away 10.2.1.5" {
						t.Errorf("%s: the pod asks %s: %q, %v", when, to, answer, err)
					}
				}
				worker.Run("conntrack", "-F")
			}
			check("not exported", false)
			f.apply(imported("own", "244.0.0.10", udp80))
			f.apply(udpSlice("own", "west", 8080, "10.2.1.5"))
			check("exported", true)
			f.delete(udpSlice("own", "west", 8080))
			check("not exported again", false)
			set.Spec.Gateway.Ingress = v1alpha1.IngressAny
			f.applyStatus(set)
			check("with ingress Any", true)
			f.quiet()
		})
	}
}
