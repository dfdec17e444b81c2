//go:build kernel

package agent

import (
	"net"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
)

// TestUDPClientMoves: with either backend, a UDP client that goes on sending from one port gets
// another endpoint when its own goes. With nftables, only the agent can do that.
func TestUDPClientMoves(t *testing.T) {
	for _, backend := range []v1alpha1.DataplaneBackend{v1alpha1.BackendIPVS, v1alpha1.BackendNFTables} {
		t.Run(string(backend), func(t *testing.T) {
			worker, pod, gateway, _ := newWorker(t)
			udp := func(cluster, address string) *discoveryv1.EndpointSlice {
				s := slice("dns", cluster, 8080, address)
				s.Ports[0].Protocol = ptr.To(corev1.ProtocolUDP)
				s.Endpoints[0].NodeName = ptr.To("worker") // the client itself, by hairpin; of east's it says nothing
				return s
			}
			f := newFixture(t, worker, gatewayNode("gateway", "192.0.2.2", 0), remote("east", "10.1.0.0/16"),
				nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"),
				imported("dns", "244.0.0.7", mcsv1beta1.ServicePort{Name: "http", Protocol: corev1.ProtocolUDP, Port: 53}))
			set := clusterSet()
			set.Spec.Dataplane.Backend = backend
			f.applyStatus(set)
			f.on("gateway", gateway).pass(node.Marked)
			f.apply(udp("west", "10.2.1.5"))
			f.pass(node.Marked)
			var client net.Conn
			pod.Do(func() {
				var err error
				if client, err = net.Dial("udp", "244.0.0.7:53"); err != nil {
					t.Fatal(err)
				}
			})
			defer client.Close()
			// One packet may be lost while the endpoint goes.
			answer := func() string {
				t.Helper()
				b := make([]byte, 64)
				for range 10 {
					client.Write([]byte("?")) // a refusal of the packet before
					client.SetReadDeadline(time.Now().Add(time.Second))
					if n, err := client.Read(b); err == nil {
						return strings.Fields(string(b[:n]))[0]
					}
				}
				return "nothing"
			}
			if got := answer(); got != "pod" {
				t.Fatalf("%s answered", got)
			}
			f.apply(udp("east", "10.1.0.5"))
			f.pass(node.Marked)
			if got := answer(); got != "pod" {
				t.Errorf("a second endpoint came: %s answered", got)
			}
			f.delete(udp("west", "10.2.1.5"))
			f.pass(node.Marked)
			if got := answer(); got != "away" {
				t.Errorf("its endpoint went: %s answered", got)
			}
			f.quiet()
		})
	}
}
