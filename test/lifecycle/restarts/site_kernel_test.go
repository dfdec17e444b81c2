//go:build kernel

// Package restarts tests what becomes of traffic while the agent itself comes and goes: the real
// binary, killed, restarted, upgraded, cleaned up and started again, on a real kernel, under load.
// What the agent does while it runs is tested by its own package.
package restarts

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/apiserver"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// site is a cluster of two nodes with a pod each, and another cluster's pods behind the second,
// which is the gateway. Each of the other cluster's addresses answers.
//
//	pod - worker - gateway - away
//	                  |
//	                 peer
type site struct {
	t                                *testing.T
	backend                          v1alpha1.DataplaneBackend
	worker, pod, gateway, peer, away *netns.Namespace
	api                              *apiserver.Server
	// agents are those of both nodes.
	agents []*agent
}

const (
	vipCIDR, remoteCIDR = "244.0.0.0/16", "10.1.0.0/16"
	// The clusterset IPs: of what is requested, of what echoes lines and packets, and of what moves
	// from one endpoint to another.
	webVIP, echoVIP, movingVIP = "244.0.0.7", "244.0.0.8", "244.0.0.9"
	// What is there of others: a Service of kube-proxy's, one of IPVS, and one of IPVS inside the
	// VIP CIDR.
	proxyIP, foreignIP, foreignVIP = "10.96.0.10", "10.97.0.1", "244.0.200.1"
	podIP, peerIP                  = "10.2.1.5", "10.2.0.5"
	webPort, echoPort              = 8080, 7007
)

func newSite(t *testing.T, backend v1alpha1.DataplaneBackend) *site {
	t.Helper()
	s := &site{t: t, backend: backend, worker: netns.New(t), pod: netns.New(t), gateway: netns.New(t), peer: netns.New(t), away: netns.New(t)}
	s.worker.Sysctl("net/ipv4/conf/all/rp_filter", "1")
	s.gateway.Sysctl("net/ipv4/conf/all/rp_filter", "1")
	s.worker.Join("eth0", "192.0.2.1/24", s.gateway, "eth0", "192.0.2.2/24")
	s.worker.Join("pod0", "10.2.1.1/24", s.pod, "eth0", podIP+"/24")
	s.gateway.Join("pod0", "10.2.0.1/24", s.peer, "eth0", peerIP+"/24")
	s.gateway.Join("link0", "192.168.9.1/30", s.away, "eth0", "192.168.9.2/30")
	s.pod.Route("0.0.0.0/0", "10.2.1.1")
	s.peer.Route("0.0.0.0/0", "10.2.0.1")
	s.away.Route("0.0.0.0/0", "192.168.9.1")
	s.away.Run("ip", "route", "add", "local", remoteCIDR, "dev", "lo")
	// Endpoints of others' Services have addresses of their own: IPVS takes a connection that a
	// client makes straight to an endpoint for an earlier one to the virtual service, if it has the
	// same port.
	s.peer.Address("eth0", "10.2.0.6/24")
	s.peer.Address("eth0", "10.2.0.7/24")
	// As a CNI leads from node to node, and as the gateway agent leads to the other cluster.
	s.worker.Route("10.2.0.0/24", "192.0.2.2")
	s.gateway.Route("10.2.1.0/24", "192.0.2.1")
	s.gateway.Run("ip", "route", "add", remoteCIDR, "via", "192.168.9.2", "table", "7473")
	s.gateway.Run("ip", "rule", "add", "pref", "7473", "lookup", "7473")
	startServer(t, s.peer, peerIP)
	startServer(t, s.away, "10.1.0.11", "10.1.0.12", "10.1.0.15", "10.1.0.16")
	s.others()
	s.countLoads()
	s.serveAPI()
	s.agents = []*agent{
		{t: t, name: "worker", node: s.worker, program: programs[0], config: s.kubeconfig(s.worker)},
		{t: t, name: "gateway", node: s.gateway, program: programs[0], config: s.kubeconfig(s.gateway)},
	}
	return s
}

// others makes what the dataplane must leave alone: kube-proxy's and a CNI's tables, virtual
// services inside and outside the VIP CIDR, a device, and routes and rules, some of them to tables
// that the dataplane uses as well.
func (s *site) others() {
	s.worker.Run("sh", "-e", "-c", `
ip link add other0 type dummy
ip addr add 10.97.0.1/32 dev other0
ip link set other0 up
ip link add other-vx type vxlan id 42 dstport 4789 local 192.0.2.1
ip link set other-vx up
ip neigh add 192.0.2.99 lladdr 02:00:00:00:00:99 dev eth0 nud permanent
ip route add 203.0.113.0/24 via 192.0.2.2 table 7474
ip route add 203.0.113.0/24 via 192.0.2.2 table 99
ip route add local 203.0.113.7/32 dev lo table local
ip rule add from 203.0.113.1 lookup 7474 pref 7474
ip rule add from 203.0.113.2 lookup 99 pref 99
ipvsadm -A -t 10.97.0.1:80 -s rr
ipvsadm -a -t 10.97.0.1:80 -r 10.2.0.7:8080 -m
ipvsadm -A -u 244.0.200.1:53 -s rr
ipvsadm -a -u 244.0.200.1:53 -r 10.2.0.5:7007 -m
`)
	s.worker.Run("nft", `
table ip kube-proxy {
	map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
	chain service-web { meta l4proto tcp dnat to 10.2.0.6:8080; }
	chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
	chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
	chain nat-output { type nat hook output priority -100; jump services; }
}
table inet cni {
	chain post { type nat hook postrouting priority srcnat; ip saddr 10.2.1.0/24 ip daddr != 10.2.0.0/18 masquerade; }
}
add element ip kube-proxy service-ips { 10.96.0.10 . tcp . 80 : goto service-web }`)
}

// serveAPI serves the cluster's objects.
func (s *site) serveAPI() {
	s.t.Helper()
	var err error
	if s.api, err = apiserver.Dataplane(); err != nil {
		s.t.Fatal(err)
	}
	set := &v1alpha1.ClusterSet{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName},
		Spec:       v1alpha1.ClusterSetSpec{ClusterSetID: "demo", ClusterID: "west", VIPCIDRs: []v1alpha1.CIDR{vipCIDR}, TransitCIDR: "245.0.0.0/8"},
		Status: v1alpha1.ClusterSetStatus{Index: 2, CIDRs: []v1alpha1.CIDR{"10.2.0.0/18"}, Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted}}},
	}
	set.Spec.Dataplane.Backend = s.backend
	s.put(set, node("worker", "192.0.2.1", "10.2.1.0/24", "245.0.32.64"), node("gateway", "192.0.2.2", "10.2.0.0/24", "245.0.32.65"),
		&v1alpha1.GatewayNode{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: "gateway"},
			Spec:   v1alpha1.GatewayNodeSpec{NodeName: "gateway", UnderlayAddresses: []v1alpha1.IPAddress{"192.0.2.2"}},
			Status: v1alpha1.GatewayNodeStatus{Lane: ptr.To(v1alpha1.Lane(0))}},
		&v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: "east"}, Spec: v1alpha1.RemoteClusterSpec{Index: 1, CIDRs: []v1alpha1.CIDR{remoteCIDR}}})
	s.put(imported("web", webVIP, 80, corev1.ProtocolTCP), slice("web", webPort, 11, 12, 13, 14))
	s.put(imported("echo", echoVIP, 7, corev1.ProtocolTCP, corev1.ProtocolUDP), slice("echo", echoPort, 11, 12))
	s.put(imported("moving", movingVIP, 7, corev1.ProtocolUDP), slice("moving", echoPort, 15))
	sticky := imported("sticky", "244.0.0.10", 80, corev1.ProtocolTCP)
	sticky.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	s.put(sticky, slice("sticky", webPort, 11, 12))
}

func (s *site) put(objects ...runtime.Object) {
	s.t.Helper()
	if err := s.api.Put(objects...); err != nil {
		s.t.Fatal(err)
	}
}

func node(name, address, pods, transit string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{v1alpha1.LabelGateway: fmt.Sprint(name == "gateway")},
			Annotations: map[string]string{v1alpha1.AnnotationTransitAddress: transit},
		},
		Spec:   corev1.NodeSpec{PodCIDR: pods, PodCIDRs: []string{pods}},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}},
	}
}

// imported has the same port for each protocol, each named after it.
func imported(name, ip string, port int32, protocols ...corev1.Protocol) *mcsv1beta1.ServiceImport {
	si := &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		Spec:       mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, IPs: []string{ip}},
	}
	for _, p := range protocols {
		si.Spec.Ports = append(si.Spec.Ports, mcsv1beta1.ServicePort{Name: strings.ToLower(string(p)), Protocol: p, Port: port})
	}
	return si
}

// slice has endpoints at 10.1.0.<host>.
func slice(service string, port int32, hosts ...int) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "east." + service, Labels: map[string]string{
			v1alpha1.LabelServiceName: service, v1alpha1.LabelSourceCluster: "east", discoveryv1.LabelManagedBy: v1alpha1.ManagedBy},
			OwnerReferences: []metav1.OwnerReference{{UID: types.UID(service)}}},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for _, p := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: ptr.To(strings.ToLower(string(p))), Protocol: &p, Port: &port})
	}
	for _, h := range hosts {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.1.%d.%d", h/256, h%256)},
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true), Serving: ptr.To(true), Terminating: ptr.To(false)}})
	}
	return s
}
