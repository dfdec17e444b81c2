//go:build kernel

package filter

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// member is the cluster west, whose nodes are endpoints, too, and the way to a pod and a node of
// the cluster east, which answers nothing but west's pods and transit addresses. A CNI masquerades
// all that leaves west, and all that comes to its pods from elsewhere.
//
//	pod 10.2.1.5, fd02:0:0:1::5 - worker 192.0.2.1, fd99::1 = gateway 192.0.2.2, fd99::2 - east 10.1.0.5, fd01::5, 245.0.16.70
type member struct {
	pod, worker, gateway, east *netns.Namespace
	wire                       *netns.Wire
}

func newMember(t *testing.T) member {
	m := member{pod: netns.New(t), worker: netns.New(t), gateway: netns.New(t), east: netns.New(t), wire: netns.NewWire(t)}
	m.wire.Connect(m.worker, prefixes("192.0.2.1/24", "fd99::1/64")...)
	m.wire.Connect(m.gateway, prefixes("192.0.2.2/24", "fd99::2/64")...)
	m.worker.Join("pod0", "10.2.1.1/24", m.pod, "eth0", "10.2.1.5/24")
	m.worker.Address("pod0", "fd02:0:0:1::1/64")
	m.pod.Address("eth0", "fd02:0:0:1::5/64")
	m.pod.Route("0.0.0.0/0", "10.2.1.1")
	m.pod.Route("::/0", "fd02:0:0:1::1")
	// What the CNI and the default route would do instead.
	m.worker.Route("0.0.0.0/0", "192.0.2.2")
	m.worker.Route("::/0", "fd99::2")
	m.gateway.Route("10.2.1.0/24", "192.0.2.1")
	for _, node := range []*netns.Namespace{m.worker, m.gateway} {
		for _, dev := range []string{"all", "default", "eth0"} {
			node.Sysctl("net/ipv4/conf/"+dev+"/rp_filter", "1")
		}
		// By default the kernel sends a host few ICMP errors in a second.
		node.Sysctl("net/ipv4/icmp_ratelimit", "0")
		node.Sysctl("net/ipv6/icmp/ratelimit", "0")
		node.Sysctl("net/ipv4/vs/conntrack", "1")
		node.Run("nft", "add table inet cni; add chain inet cni post { type nat hook postrouting priority srcnat; }")
		node.Run("nft", "add rule inet cni post ip daddr != 10.2.0.0/16 masquerade; add rule inet cni post ip6 daddr != fd02::/48 masquerade;"+
			"add rule inet cni post ip saddr != 10.2.0.0/16 masquerade; add rule inet cni post ip6 saddr != fd02::/48 masquerade")
		node.Serve("kubelet", 10250)
	}
	m.tunnel()
	m.pod.Serve("pod", 8080)
	m.east.Serve("east", 8080)
	return m
}

// tunnel joins gateway and east as a gateway agent does: a device and routes with its tunnel
// addresses as the source.
func (m member) tunnel() {
	m.gateway.Join("tombolo0", "245.0.32.0/32", m.east, "eth0", "10.1.0.5/32")
	m.gateway.Address("tombolo0", "fd5f:f9b7:58d1:2::/128")
	m.gateway.Address("tombolo0", "fe80::1/64")
	m.east.Address("eth0", "fe80::2/64")
	m.east.Address("eth0", "fd01::5/128")
	m.east.Address("eth0", "245.0.16.70/32")
	m.east.Address("eth0", "fd5f:f9b7:58d1:1::46/128")
	m.gateway.Sysctl("net/ipv4/conf/tombolo0/rp_filter", "2") // as on every tunnel
	for _, to := range []string{"10.1.0.0/16", "245.0.16.0/20"} {
		m.gateway.Run("ip", "route", "add", to, "dev", "tombolo0", "src", "245.0.32.0", "table", "7473")
	}
	for _, to := range []string{"fd01::/48", "fd5f:f9b7:58d1:1::/64"} {
		m.gateway.Run("ip", "route", "add", to, "via", "fe80::2", "dev", "tombolo0", "src", "fd5f:f9b7:58d1:2::", "table", "7473")
	}
	m.gateway.Run("ip", "rule", "add", "pref", "7473", "lookup", "7473")
	m.gateway.Run("ip", "-6", "rule", "add", "pref", "7473", "lookup", "7473")
	for _, to := range []string{"10.2.0.0/16", "245.0.32.0/20"} {
		m.east.Run("ip", "route", "add", to, "via", "245.0.32.0", "dev", "eth0", "onlink", "src", "10.1.0.5")
	}
	for _, to := range []string{"fd02::/48", "fd5f:f9b7:58d1:2::/64"} {
		m.east.Run("ip", "route", "add", to, "via", "fe80::1", "dev", "eth0", "src", "fd01::5")
	}
}

// networkOf is what the dataplane plans for the node: "worker" or "gateway".
func networkOf(t *testing.T, name string) plan.Network {
	t.Helper()
	node := func(name, pods, transit string, addresses ...string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{v1alpha1.AnnotationTransitAddress: transit}},
			Spec: corev1.NodeSpec{PodCIDRs: strings.Fields(pods)}}
		for _, a := range addresses {
			n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
		}
		return n
	}
	lane := v1alpha1.Lane(0)
	network, err := plan.NewNetwork(plan.NetworkInput{
		Node: name, UnderlayMTU: 1500,
		Nodes: []*corev1.Node{
			node("worker", "10.2.1.0/24 fd02:0:0:1::/64", "245.0.32.64,fd5f:f9b7:58d1:2::40", "192.0.2.1", "fd99::1"),
			node("gateway", "10.2.2.0/24 fd02:0:0:2::/64", "245.0.32.65,fd5f:f9b7:58d1:2::41", "192.0.2.2", "fd99::2"),
			node("other", "10.2.3.0/24 fd02:0:0:3::/64", "245.0.32.66,fd5f:f9b7:58d1:2::42", "192.0.2.3", "fd99::3"),
		},
		Gateways: []*v1alpha1.GatewayNode{{ObjectMeta: metav1.ObjectMeta{Name: "gateway"},
			Spec:   v1alpha1.GatewayNodeSpec{NodeName: "gateway", UnderlayAddresses: []v1alpha1.IPAddress{"192.0.2.2"}},
			Status: v1alpha1.GatewayNodeStatus{Lane: &lane}}},
		ClusterSet: &v1alpha1.ClusterSet{
			Spec: v1alpha1.ClusterSetSpec{ClusterSetID: "demo", ClusterID: "west", TransitCIDR: "245.0.0.0/8",
				VIPCIDRs: []v1alpha1.CIDR{"244.0.0.0/16", "fd77::/112"}},
			Status: v1alpha1.ClusterSetStatus{Index: 2, CIDRs: []v1alpha1.CIDR{"10.2.0.0/16", "192.0.2.0/24", "fd02::/48", "fd99::/64"}},
		},
		Remotes: []*v1alpha1.RemoteCluster{{ObjectMeta: metav1.ObjectMeta{Name: "east"},
			Spec: v1alpha1.RemoteClusterSpec{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16", "fd01::/48"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return network
}

// program makes the node what the dataplane would: routes and filter of the plan, and a virtual
// service for each address.
func program(t *testing.T, node *netns.Namespace, network plan.Network) {
	t.Helper()
	node.Do(func() {
		if _, err := vxlan.Sync(t.Context(), network.VXLAN, vxlan.Name); err != nil {
			t.Fatal(err)
		}
		if _, err := route.DataplaneOwner().Sync(t.Context(), network.Routes); err != nil {
			t.Fatal(err)
		}
	})
	want := inputOf(network)
	for _, tt := range []struct {
		vip      string
		endpoint string
	}{{"244.0.0.1:80", "10.1.0.5:8080"}, {"[fd77::1]:80", "[fd01::5]:8080"}} {
		for flag, protocol := range map[string]string{"-t": "tcp", "-u": "udp"} {
			node.Run("ipvsadm", "-A", flag, tt.vip, "-s", "wrr")
			node.Run("ipvsadm", "-a", flag, tt.vip, "-r", tt.endpoint, "-m")
			want.Served = append(want.Served, port(tt.vip, protocol))
		}
	}
	sync(t, node, want)
}

// inputOf is what the dataplane wants of the table, without ports that are served.
func inputOf(network plan.Network) wanted {
	return wanted{Input: Input{VIPs: network.VIPs, Own: network.Own, Remote: network.Remote, Transit: network.Transit, TransitCIDRs: network.TransitCIDRs,
		Tunnel: network.Tunnel, Overlay: network.Overlay}}
}

// TestHostClients: what a node sends itself arrives elsewhere with the node's transit address as
// the source, is answered, and opens no way to the node's own listeners.
func TestHostClients(t *testing.T) {
	m := newMember(t)
	for _, tt := range []struct {
		name string
		node *netns.Namespace
	}{{"worker", m.worker}, {"gateway", m.gateway}} {
		network := networkOf(t, tt.name)
		if len(network.Transit) != 2 {
			t.Fatalf("%s: transit addresses %v", tt.name, network.Transit)
		}
		program(t, tt.node, network)
	}
	for _, tt := range []struct {
		name    string
		from    *netns.Namespace
		source  string
		source6 string
	}{
		{"worker", m.worker, "245.0.32.64", "fd5f:f9b7:58d1:2::40"},
		{"gateway", m.gateway, "245.0.32.65", "fd5f:f9b7:58d1:2::41"},
		{"pod", m.pod, "10.2.1.5", "fd02:0:0:1::5"},
	} {
		for _, network := range []string{"tcp", "udp"} {
			for to, source := range map[string]string{
				"10.1.0.5:8080": tt.source, "244.0.0.1:80": tt.source, "[fd01::5]:8080": tt.source6, "[fd77::1]:80": tt.source6,
			} {
				if answer, err := tt.from.Ask(network, to); err != nil || answer != "east "+source {
					t.Errorf("%s from the %s to %s: %q, %v; want east to see %s", network, tt.name, to, answer, err, source)
				}
			}
		}
	}
	// The other way round: from a transit address of east's, and to ours.
	m.east.Run("ip", "route", "replace", "10.2.0.0/16", "via", "245.0.32.0", "dev", "eth0", "onlink", "src", "245.0.16.70")
	m.east.Run("ip", "route", "replace", "fd02::/48", "via", "fe80::1", "dev", "eth0", "src", "fd5f:f9b7:58d1:1::46")
	for _, tt := range []struct {
		to     string
		source string
	}{{"10.2.1.5:8080", "245.0.16.70"}, {"[fd02:0:0:1::5]:8080", "fd5f:f9b7:58d1:1::46"}} {
		if answer, err := m.east.Ask("tcp", tt.to); err != nil || answer != "pod "+tt.source {
			t.Errorf("from a node of east's to the pod %s: %q, %v; want it to see %s", tt.to, answer, err, tt.source)
		}
	}
	// What no node may answer: its transit address, and the tunnel address of a gateway.
	for _, transit := range addresses("245.0.32.64", "245.0.32.65", "245.0.32.0", "fd5f:f9b7:58d1:2::40", "fd5f:f9b7:58d1:2::41", "fd5f:f9b7:58d1:2::") {
		for _, network := range []string{"tcp", "udp"} {
			if answer, err := m.east.Ask(network, netip.AddrPortFrom(transit, 10250).String()); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s to the kubelet on %s: %q, %v; want a refusal", network, transit, answer, err)
			}
		}
		if !transit.Is4() {
			continue
		}
		if out := m.east.Run("busybox", "ping", "-c", "1", "-W", "3", transit.String()); !strings.Contains(out, "1 packets received") {
			t.Errorf("echo from %s: %s", transit, out)
		}
	}
	if answer, err := m.east.Ask("tcp", "245.0.32.77:80"); !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("to an address that no node has: %q, %v; want no route to host", answer, err)
	}
}

// TestHostClientsWithoutTransitAddress: before the operator has given an address, and of a family
// that the other clusters do not have, the rest works.
func TestHostClientsWithoutTransitAddress(t *testing.T) {
	m := newMember(t)
	network := networkOf(t, "worker")
	network.Transit = nil
	program(t, m.worker, network)
	program(t, m.gateway, networkOf(t, "gateway"))
	if answer, err := m.pod.Ask("tcp", "244.0.0.1:80"); err != nil || answer != "east 10.2.1.5" {
		t.Errorf("the pod: %q, %v", answer, err)
	}
	if answer, err := m.worker.Ask("tcp", "10.1.0.5:8080"); err == nil {
		t.Errorf("the worker: %q; the test expects that east does not answer nodes", answer)
	}
}
