//go:build kernel

package agent

import (
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// TestPodsBehindACNIsVXLAN: as TestPodsThatACNIRoutes, with a CNI that leads to its blocks over a VXLAN
// of its own: by next hops that are no node's addresses, with a permanent neighbour and a forward for
// each, in both families.
func TestPodsBehindACNIsVXLAN(t *testing.T) {
	worker, pod, gateway, away := newWorker(t)
	gateway.Sysctl("net/ipv4/conf/all/rp_filter", "1")
	for _, a := range []struct {
		ns              *netns.Namespace
		device, address string
	}{{worker, "eth0", "fd99::1/64"}, {gateway, "eth0", "fd99::2/64"}, {worker, "pod0", "fd02:0:0:1::41/64"}, {pod, "eth0", "fd02:0:0:1::45/64"},
		{gateway, "link0", "fd01::1/64"}, {away, "eth0", "fd01::5/64"}} {
		a.ns.Address(a.device, a.address)
	}
	pod.Route("::/0", "fd02:0:0:1::41")
	away.Route("::/0", "fd01::1")
	gateway.Run("ip", "-6", "route", "add", "fd01::/48", "dev", "link0", "table", "7473") // as the gateway agent does
	gateway.Run("ip", "-6", "rule", "add", "pref", "7473", "lookup", "7473")
	f := newFixture(t, worker)
	set := clusterSet()
	set.Spec.VIPCIDRs = append(set.Spec.VIPCIDRs, "fd77::/112")
	set.Status.CIDRs = append(set.Status.CIDRs, "fd02::/48")
	f.applyStatus(set)
	// The CNI does not follow the Nodes' podCIDRs.
	here, there := nodeObject("worker", "192.0.2.1", "10.2.60.0/24"), nodeObject("gateway", "192.0.2.2", "10.2.0.0/24")
	there.Status.Addresses = append(there.Status.Addresses, nodeObject("gateway", "fd99::2", "").Status.Addresses...)
	both := imported("web", "244.0.0.7", web80)
	both.Spec.IPs = append(both.Spec.IPs, "fd77::7")
	six := slice("web", "east", 8080, "fd01::5")
	six.Name, six.AddressType = six.Name+"-6", discoveryv1.AddressTypeIPv6
	for _, o := range []client.Object{here, there, gatewayNode("gateway", "192.0.2.2", 3), remote("east", "10.1.0.0/16", "fd01::/48"),
		both, slice("web", "east", 8080, "10.1.0.5"), six} {
		f.apply(o)
	}
	here.Status.Addresses = append(here.Status.Addresses, nodeObject("worker", "fd99::1", "").Status.Addresses...)
	if err := f.client.Status().Update(t.Context(), here); err != nil {
		t.Fatal(err)
	}
	g := f.on("gateway", gateway)
	f.pass(node.Marked)
	g.pass(node.Marked)
	if answer, err := pod.Ask("tcp", "244.0.0.7:80"); err == nil {
		t.Errorf("answered %q though the gateway cannot know where the pod is", answer)
	}

	for _, command := range []string{
		"ip link add vxlan.calico type vxlan id 4096 dev eth0 local 192.0.2.2 dstport 4789 nolearning",
		"ip address add 10.2.0.0/32 dev vxlan.calico",
		"ip link set vxlan.calico up",
		"ip neighbour add 10.2.1.0 lladdr 66:2d:bb:44:10:01 dev vxlan.calico nud permanent",
		"bridge fdb add 66:2d:bb:44:10:01 dev vxlan.calico dst 192.0.2.1 self permanent",
		"ip route add 10.2.1.0/26 via 10.2.1.0 dev vxlan.calico onlink proto 80",
		"ip route add 10.2.5.0/26 via 10.2.5.0 dev vxlan.calico onlink proto 80", // as long as there is no neighbour
		"ip link add vxlan-v6.calico type vxlan id 4097 dev eth0 local fd99::2 dstport 4790 nolearning",
		"ip link set vxlan-v6.calico up",
		"ip neighbour add fd02:0:0:1::40 lladdr 66:2d:bb:44:10:02 dev vxlan-v6.calico nud permanent",
		"bridge fdb add 66:2d:bb:44:10:02 dev vxlan-v6.calico dst fd99::1 self permanent",
		"ip -6 route add fd02:0:0:1::40/122 via fd02:0:0:1::40 dev vxlan-v6.calico onlink proto 80",
	} {
		words := strings.Fields(command)
		gateway.Run(words[0], words[1:]...)
	}
	g.agent.routes.touched.Store(true) // as rtnl.Watch does
	g.pass(node.Ticked)
	const spec, block = "10.2.60.0/24 via 192.0.2.1", "10.2.1.0/26 via 192.0.2.1\n"
	if got := routesOf(gateway, "7475"); got != block+spec {
		t.Errorf("routes back to nodes:\n%s\nwant\n%s", got, block+spec)
	}
	if got := gateway.Run("ip", "-6", "route", "show", "table", "7475"); !strings.HasPrefix(got, "fd02:0:0:1::40/122 via fe80::") {
		t.Errorf("routes back to nodes by IPv6: %s", got)
	}
	for vip, want := range map[string]string{"244.0.0.7:80": "away 10.2.1.5", "[fd77::7]:80": "away fd02:0:0:1::45"} {
		if answer, err := pod.Ask("tcp", vip); err != nil || answer != want {
			t.Errorf("pod to %s: %q, %v", vip, answer, err)
		}
	}
	g.quiet()

	// The kernel does not announce these: an audit sees them.
	gateway.Run("bridge", "fdb", "del", "66:2d:bb:44:10:01", "dev", "vxlan.calico", "dst", "192.0.2.1", "self")
	g.pass(node.Audited)
	if got := routesOf(gateway, "7475"); got != spec {
		t.Errorf("routes back to nodes after the forward has gone:\n%s\nwant\n%s", got, spec)
	}
	gateway.Run("bridge", "fdb", "add", "66:2d:bb:44:10:01", "dev", "vxlan.calico", "dst", "192.0.2.1", "self", "permanent")
	g.pass(node.Audited)
	if got := routesOf(gateway, "7475"); got != block+spec {
		t.Errorf("routes back to nodes after the forward has come back:\n%s\nwant\n%s", got, block+spec)
	}
	g.quiet()
}
