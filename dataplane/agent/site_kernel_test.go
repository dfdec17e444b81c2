//go:build kernel

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/kubeproxy"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// limit of everything that is waited for. Tests do not reach it unless they fail.
// kube-proxy starts in 5 seconds, on a quiet machine.
const (
	limit      = 30 * time.Second
	startLimit = 4 * time.Minute
)

// exchange is the limit of one question and its answer, lost that of an answer that may be lost. A
// machine on which others compile has let a question wait for seconds.
const (
	exchange = 30 * time.Second
	lost     = 250 * time.Millisecond
)

// addresses of one family, in the site and outside of it.
type addresses struct {
	name        string
	flag, nft   string // how ip and nft call the family
	kind        discoveryv1.AddressType
	vips        v1alpha1.CIDR
	vip         string // with a number at its end
	own, remote v1alpha1.CIDR

	node, outside string
	hostBits      int
	// pods: one that asks and is a backend, and another one on the same node; their gateways are
	// the node's own addresses.
	pod, podGateway, neighbour, neighbourGateway string
	pods                                         string
	podBits                                      int
	// clients are more addresses of the pod, without a number at their ends.
	clients string
	// away are addresses of the other cluster's pods.
	away        [8]string
	awayGateway string
	awayBits    int
	any         string
	// service is what kube-proxy serves.
	service string
}

var ipv4 = addresses{
	name: "IPv4", flag: "-4", nft: "ip", kind: discoveryv1.AddressTypeIPv4, vips: "244.0.0.0/16", vip: "244.0.0.", own: "10.2.0.0/18", remote: "10.1.0.0/16",
	node: "192.0.2.1", outside: "192.0.2.9", hostBits: 24, pods: "10.2.1.0/24", podBits: 25,
	pod: "10.2.1.5", podGateway: "10.2.1.1", neighbour: "10.2.1.133", neighbourGateway: "10.2.1.129", clients: "10.2.1.",
	away:        [8]string{"10.1.0.11", "10.1.0.12", "10.1.0.13", "10.1.0.14", "10.1.0.15", "10.1.0.16", "10.1.0.17", "10.1.0.18"},
	awayGateway: "10.1.0.1", awayBits: 16, any: "0.0.0.0/0", service: "10.96.0.10",
}

var ipv6 = addresses{
	name: "IPv6", flag: "-6", nft: "ip6", kind: discoveryv1.AddressTypeIPv6, vips: "fdff:1::/112", vip: "fdff:1::", own: "fd00:2::/48", remote: "fd00:1::/48",
	node: "2001:db8::1", outside: "2001:db8::9", hostBits: 64, pods: "fd00:2:0:1::/64", podBits: 65,
	pod: "fd00:2:0:1::5", podGateway: "fd00:2:0:1::1", neighbour: "fd00:2:0:1:8000::5", neighbourGateway: "fd00:2:0:1:8000::1", clients: "fd00:2:0:1::",
	away:        [8]string{"fd00:1::11", "fd00:1::12", "fd00:1::13", "fd00:1::14", "fd00:1::15", "fd00:1::16", "fd00:1::17", "fd00:1::18"},
	awayGateway: "fd00:1::1", awayBits: 64, any: "::/0", service: "fd96::10",
}

var bothFamilies = []addresses{ipv4, ipv6}

func (a addresses) to(vip, port int) string {
	return net.JoinHostPort(fmt.Sprint(a.vip, vip), fmt.Sprint(port))
}

func bits(address string, n int) string { return fmt.Sprintf("%s/%d", address, n) }

func at(address string, port int) string { return net.JoinHostPort(address, fmt.Sprint(port)) }

// site is a node with two pods and a kube-proxy, a gateway at the same time; another cluster's
// pods; and a host that is neither. The CNI masquerades all that leaves the cluster.
//
//	pod, neighbour - worker - away
//	                   |
//	                outside
type site struct {
	t                                     *testing.T
	worker, pod, neighbour, away, outside *netns.Namespace
	// proxy is nil where there is none, and its mode empty.
	proxy *kubeproxy.Proxy
	mode  string
	// flown is how many flows of UDP there were, of those that choose their ports themselves.
	flown *int
	// dir is for its configuration, log what it says.
	dir string
	log *bytes.Buffer
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), log: &bytes.Buffer{}, flown: new(int), worker: netns.New(t), pod: netns.New(t), neighbour: netns.New(t), away: netns.New(t), outside: netns.New(t)}
	s.worker.Sysctl("net/ipv4/conf/all/rp_filter", "1")
	// By default the kernel sends a host few ICMP errors in a second, and a refusal may then look
	// like a lost packet.
	s.worker.Sysctl("net/ipv4/icmp_ratelimit", "0")
	s.worker.Sysctl("net/ipv6/icmp/ratelimit", "0")
	for i, a := range bothFamilies {
		link := s.worker.Join
		if i > 0 {
			link = func(device, address string, peer *netns.Namespace, peerDevice, peerAddress string) {
				s.worker.Address(device, address)
				peer.Address(peerDevice, peerAddress)
			}
		}
		link("eth0", bits(a.node, a.hostBits), s.outside, "eth0", bits(a.outside, a.hostBits))
		link("pod0", bits(a.podGateway, a.podBits), s.pod, "eth0", bits(a.pod, a.podBits))
		link("pod1", bits(a.neighbourGateway, a.podBits), s.neighbour, "eth0", bits(a.neighbour, a.podBits))
		link("link0", bits(a.awayGateway, a.awayBits), s.away, "eth0", bits(a.away[0], a.awayBits))
		for _, more := range a.away[1:] {
			s.away.Address("eth0", bits(more, a.awayBits))
		}
		s.pod.Route(a.any, a.podGateway)
		s.neighbour.Route(a.any, a.neighbourGateway)
		s.away.Route(a.any, a.awayGateway)
		s.worker.Route(a.any, a.outside)
	}
	// An ICMP error that comes while connect has the socket is only noted (sctp_v4_err in the
	// kernel), as it does here, where all hosts are one; the next one counts.
	for _, n := range []*netns.Namespace{s.worker, s.pod} {
		n.Sysctl("net/sctp/rto_min", "10")
		n.Sysctl("net/sctp/rto_initial", "10")
	}
	s.asGateway()
	s.manyClients()
	return s
}

// manyClients gives the pod addresses to ask from: with a scheduler that goes by them, one client
// tells little. They are deprecated, so that it uses none of them unless told.
func (s *site) manyClients() {
	var batch strings.Builder
	for _, a := range bothFamilies {
		for i := range clients {
			fmt.Fprintf(&batch, "address add %s dev eth0 nodad preferred_lft 0\n", bits(a.client(i), a.podBits))
		}
	}
	file := filepath.Join(s.dir, "addresses")
	if err := os.WriteFile(file, []byte(batch.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.pod.Run("ip", "-batch", file)
}

// clients is how many addresses the pod has beside its first one.
const clients = 60

func (a addresses) client(i int) string { return fmt.Sprint(a.clients, 20+i) }

// runProxy has that kube-proxy on the node from now on, instead of the one before; nil: none, which
// is how it begins.
func (s *site) runProxy(t *testing.T, config *kubeproxy.Config) {
	t.Helper()
	if config == nil {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	var err error
	if s.mode = config.Mode; s.proxy != nil {
		err = s.proxy.Change(ctx, *config)
	} else {
		whole := *config
		whole.Dir, whole.Enter, whole.Log = s.dir, s.worker.Do, s.log
		whole.Node, whole.Objects = s.node(), ordinaryServices()
		whole.ClusterCIDRs = []string{ipv4.pods, ipv6.pods}
		s.proxy, err = kubeproxy.Start(ctx, whole)
	}
	if err != nil {
		t.Fatalf("starting kube-proxy in mode %s: %v\n%s", config.Mode, err, s.log.String())
	}
}

// end ends kube-proxy.
func (s *site) end() {
	if s.proxy == nil {
		return
	}
	if err := s.proxy.Close(); err != nil {
		s.t.Errorf("ending kube-proxy: %v", err)
	}
	if s.t.Failed() {
		s.t.Logf("kube-proxy:\n%s", s.log.String())
	}
}

// asGateway does what the gateway agent and a CNI that masquerades do.
func (s *site) asGateway() {
	for _, a := range bothFamilies {
		s.worker.Run("ip", a.flag, "route", "add", string(a.remote), "dev", "link0", "table", "7473")
		s.worker.Run("ip", a.flag, "rule", "add", "pref", "7473", "lookup", "7473")
	}
	s.masquerade()
}

func (s *site) masquerade() {
	script := "add table inet cni\nadd chain inet cni post { type nat hook postrouting priority srcnat; }\n"
	for _, a := range bothFamilies {
		script += fmt.Sprintf("add rule inet cni post %s saddr %s %s daddr != %s masquerade\n", a.nft, a.pods, a.nft, a.own)
	}
	s.worker.Run("nft", script)
}

func (s *site) node() *corev1.Node {
	node := nodeObject("worker", ipv4.node, ipv4.pods)
	node.Spec.PodCIDRs = append(node.Spec.PodCIDRs, ipv6.pods)
	node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ipv6.node})
	return node
}

// The NodePorts of kube-proxy. Ports of clusterset IPs have the same numbers.
const (
	nodePortTCP   = 30080
	nodePortUDP   = 30053
	nodePortSCTP  = 30090
	nodePortEmpty = 30099 // nobody is behind it
)

// ordinaryServices are what kube-proxy serves: a Service with a ClusterIP and NodePorts, whose pod
// is the neighbour, and a Service without endpoints.
func ordinaryServices() []kruntime.Object {
	both := ptr.To(corev1.IPFamilyPolicyRequireDualStack)
	ordinary := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "ordinary"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, ClusterIP: ipv4.service, ClusterIPs: []string{ipv4.service, ipv6.service},
		IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}, IPFamilyPolicy: both,
		Ports: []corev1.ServicePort{
			{Name: "tcp", Protocol: corev1.ProtocolTCP, Port: 80, TargetPort: intstr.FromInt32(7080), NodePort: nodePortTCP},
			{Name: "udp", Protocol: corev1.ProtocolUDP, Port: 53, TargetPort: intstr.FromInt32(7053), NodePort: nodePortUDP},
			{Name: "sctp", Protocol: corev1.ProtocolSCTP, Port: 90, TargetPort: intstr.FromInt32(7090), NodePort: nodePortSCTP},
		}}}
	empty := ordinary.DeepCopy()
	empty.Name, empty.Spec.ClusterIP, empty.Spec.ClusterIPs = "empty", "10.96.0.11", []string{"10.96.0.11", "fd96::11"}
	empty.Spec.Ports = []corev1.ServicePort{{Name: "tcp", Protocol: corev1.ProtocolTCP, Port: 80, NodePort: nodePortEmpty}}
	objects := []kruntime.Object{ordinary, empty}
	for _, a := range bothFamilies {
		objects = append(objects, &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: "ordinary-" + strings.ToLower(a.name), Labels: map[string]string{discoveryv1.LabelServiceName: "ordinary"}},
			AddressType: a.kind,
			Ports: []discoveryv1.EndpointPort{
				{Name: ptr.To("tcp"), Port: ptr.To[int32](7080), Protocol: ptr.To(corev1.ProtocolTCP)},
				{Name: ptr.To("udp"), Port: ptr.To[int32](7053), Protocol: ptr.To(corev1.ProtocolUDP)},
				{Name: ptr.To("sctp"), Port: ptr.To[int32](7090), Protocol: ptr.To(corev1.ProtocolSCTP)},
			},
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{a.neighbour}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
		})
	}
	return objects
}

// counters are those that iptables-save prints of chains.
var counters = regexp.MustCompile(` \[\d+:\d+\]$`)

// others is what is there of others: all that the dataplane must leave alone, in lines, sorted:
// kube-proxy writes its rules in another order whenever it starts.
func (s *site) others() []string {
	s.t.Helper()
	var lines []string
	for _, command := range []string{"iptables-save", "ip6tables-save", "ipvsadm -Sn", "ip -4 route show table all", "ip -4 rule", "ip -6 rule"} {
		args := strings.Fields(command)
		for line := range strings.Lines(s.worker.Run(args[0], args[1:]...)) {
			line = counters.ReplaceAllString(strings.TrimSpace(line), "")
			if !strings.HasPrefix(line, "#") && !ofVIPs(line) && !strings.Contains(line, "proto 148") && !strings.Contains(line, `--comment "tombolo-`) {
				lines = append(lines, args[0]+": "+line)
			}
		}
	}
	slices.Sort(lines)
	return append(lines, s.tables(func(name string) bool {
		return strings.HasSuffix(name, " kube-proxy") || strings.HasSuffix(name, " cni")
	})...)
}

// ofVIPs tells whether a line of ipvsadm -S is about a clusterset IP.
func ofVIPs(line string) bool {
	return strings.Contains(line, " "+ipv4.vip) || strings.Contains(line, "["+ipv6.vip)
}

// tables are the lines of those nftables tables, and their elements one by one, sorted: the kernel
// lists chains and elements in an order of its own.
func (s *site) tables(wanted func(name string) bool) (words []string) {
	s.t.Helper()
	name := ""
	for line := range strings.Lines(s.worker.Run("nft", "--stateless", "list", "ruleset")) {
		if header, ok := strings.CutPrefix(line, "table "); ok {
			name = strings.TrimSuffix(strings.TrimSpace(header), " {")
		}
		if !wanted(name) {
			continue
		}
		for word := range strings.SplitSeq(strings.TrimPrefix(strings.TrimSpace(line), "elements = { "), ", ") {
			words = append(words, name+": "+strings.TrimRight(strings.TrimSpace(word), " ,}"))
		}
	}
	slices.Sort(words)
	return words
}

// ours is what the dataplane has there, in words without an order.
func (s *site) ours() []string {
	s.t.Helper()
	var words []string
	for _, a := range bothFamilies {
		for line := range strings.Lines(s.worker.Run("ip", a.flag, "rule") + s.worker.Run("ip", a.flag, "route", "show", "table", "all", "proto", "148")) {
			words = append(words, a.flag+" "+strings.TrimSpace(line))
		}
	}
	words = append(words, s.virtualServices()...)
	words = append(words, s.tables(func(name string) bool { return strings.HasPrefix(name, "inet tombolo") })...)
	s.worker.Do(func() {
		for _, name := range oursSysctls {
			value, err := os.ReadFile("/proc/sys/" + name)
			words = append(words, fmt.Sprint(name, " = ", strings.TrimSpace(string(value)), err))
		}
	})
	slices.Sort(words)
	return words
}

var oursSysctls = []string{"net/ipv4/vs/conntrack", "net/ipv4/vs/expire_nodest_conn", "net/ipv4/vs/expire_quiescent_template"}

// virtualServices are those of IPVS inside the VIP CIDRs, with their destinations.
func (s *site) virtualServices() (lines []string) {
	s.t.Helper()
	for line := range strings.Lines(s.worker.Run("ipvsadm", "-Sn")) {
		if ofVIPs(line) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	slices.Sort(lines)
	return lines
}

// fixture is an agent of the site's node, with the families of the clusterset.
func (s *site) fixture(backend v1alpha1.DataplaneBackend, families []addresses) *siteFixture {
	s.t.Helper()
	f := &siteFixture{fixture: newFixture(s.t, s.worker), site: s, backend: backend, families: families, events: &events{}}
	node := s.node()
	f.apply(node)
	node.Status = s.node().Status
	if err := f.client.Status().Update(s.t.Context(), node); err != nil {
		s.t.Fatal(err)
	}
	f.apply(gatewayNode("worker", ipv4.node, 0))
	f.apply(remote("east", ipv4.remote, ipv6.remote))
	f.applyStatus(f.clusterSet())
	f.restart()
	return f
}

type siteFixture struct {
	*fixture
	site     *site
	backend  v1alpha1.DataplaneBackend
	families []addresses
	events   *events
}

// events keeps what was told, as recordedEvents does, for those who ask while the agent runs.
type events struct {
	mu   sync.Mutex
	told recordedEvents
}

func (e *events) Eventf(regarding, related kruntime.Object, kind, reason, action, note string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told.Eventf(regarding, related, kind, reason, action, note, args...)
}

// repairs are the notes of the events about repairs since the last call.
func (e *events) repairs() (notes []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range e.told {
		if note, ok := strings.CutPrefix(event, "Warning ClustersetIPsRepaired worker: mended what others had changed: "); ok {
			notes = append(notes, note)
		}
	}
	e.told = nil
	return notes
}

func (f *siteFixture) clusterSet() *v1alpha1.ClusterSet {
	set := clusterSet()
	set.Spec.Dataplane.Backend = f.backend
	set.Spec.VIPCIDRs = nil
	for _, a := range f.families {
		set.Spec.VIPCIDRs = append(set.Spec.VIPCIDRs, a.vips)
	}
	set.Status.CIDRs = []v1alpha1.CIDR{ipv4.own, ipv6.own}
	return set
}

// proxyAddress is where kube-proxy tells about itself.
func (s *site) proxyAddress() string {
	if s.proxy == nil {
		return "127.0.0.1:1"
	}
	return s.proxy.Address()
}

// restart makes a new agent, which asks kube-proxy first, as a new process would.
func (f *siteFixture) restart() {
	address := f.site.proxyAddress()
	f.agent.close()
	f.agent = New(Config{Client: f.client, NodeName: "worker", Namespace: namespace,
		Metrics: NewMetrics(prometheus.NewRegistry()), KubeProxy: address, Events: f.events})
	f.agent.proxy.Ask(f.t.Context())
	f.agent.start()
}

// serve imports a Service under that number in every VIP CIDR.
func (f *siteFixture) serve(name string, vip int, ports ...mcsv1beta1.ServicePort) *mcsv1beta1.ServiceImport {
	f.t.Helper()
	si := imported(name, "", ports...)
	si.Spec.IPs = nil
	for _, a := range f.families {
		si.Spec.IPs = append(si.Spec.IPs, fmt.Sprint(a.vip, vip))
	}
	f.apply(si)
	return si
}

// endpoints are ready, and their ports have numbers by their names, unless edit says otherwise.
func (f *siteFixture) endpoints(service, cluster string, a addresses, ports []discoveryv1.EndpointPort, endpoints ...discoveryv1.Endpoint) {
	f.t.Helper()
	s := slice(service, cluster, 0)
	s.Name = cluster + "." + service + "." + strings.ToLower(a.name)
	s.AddressType, s.Ports, s.Endpoints = a.kind, ports, endpoints
	f.apply(s)
}

func ready(address string) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{
		Ready: ptr.To(true), Serving: ptr.To(true), Terminating: ptr.To(false)}}
}

// terminating serves what it has, as a pod does that was told to end.
func terminating(address string) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{
		Ready: ptr.To(false), Serving: ptr.To(true), Terminating: ptr.To(true)}}
}

func onNode(e discoveryv1.Endpoint, node string) discoveryv1.Endpoint {
	e.NodeName = &node
	return e
}

// serving answers on a port with "<address and port asked> <client's address>", until the test or
// the returned function ends it. The network is tcp, udp or sctp.
func serving(t *testing.T, n *netns.Namespace, network, address string) (stop func()) {
	t.Helper()
	var closer io.Closer
	n.Do(func() {
		if network == "udp" {
			packets, err := net.ListenPacket("udp", address)
			if err != nil {
				t.Fatalf("listening on %s: %v", address, err)
			}
			closer = packets
			go answerPackets(packets)
			return
		}
		listener, err := listenStream(network, address)
		if err != nil {
			t.Fatalf("listening on %s %s: %v", network, address, err)
		}
		closer = listener
		go answerConnections(listener)
	})
	once := sync.OnceFunc(func() { closer.Close() })
	t.Cleanup(once)
	return once
}

func answerConnections(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		fmt.Fprintf(conn, "%s %s", conn.LocalAddr(), hostOf(conn.RemoteAddr()))
		conn.Close()
	}
}

func answerPackets(packets net.PacketConn) {
	b := make([]byte, 64)
	for {
		_, from, err := packets.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = packets.WriteTo(fmt.Appendf(nil, "%s %s", packets.LocalAddr(), hostOf(from)), from)
	}
}

func netipOf(address string) netip.AddrPort { return netip.MustParseAddrPort(address) }

func hostOf(a net.Addr) string { return netipOf(a.String()).Addr().Unmap().String() }

// listenStream listens for TCP, or for SCTP in its one-to-one style, which package net takes for
// TCP (RFC 6458 section 4).
func listenStream(network, address string) (net.Listener, error) {
	if network == "tcp" {
		return net.Listen("tcp", address)
	}
	fd, sockaddr, err := sctpSocket(address)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "sctp")
	defer file.Close()
	if err := errors.Join(unix.Bind(fd, sockaddr), unix.Listen(fd, 16)); err != nil {
		return nil, err
	}
	return net.FileListener(file)
}

func sctpSocket(address string) (int, unix.Sockaddr, error) {
	parsed, err := netip.ParseAddrPort(address)
	if err != nil {
		return 0, nil, err
	}
	var sockaddr unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte(parsed.Addr().AsSlice()), Port: int(parsed.Port())}
	domain := unix.AF_INET
	if parsed.Addr().Is6() {
		sockaddr, domain = &unix.SockaddrInet6{Addr: parsed.Addr().As16(), Port: int(parsed.Port())}, unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_SCTP)
	return fd, sockaddr, err
}

// connect is for a caller in the client's namespace.
func connect(network, address string) (net.Conn, error) {
	if network != "sctp" {
		return net.DialTimeout(network, address, exchange)
	}
	fd, sockaddr, err := sctpSocket(address)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "sctp")
	defer file.Close()
	if err := connectSCTP(fd, sockaddr); err != nil {
		return nil, err
	}
	return net.FileConn(file)
}

// connectSCTP is for a socket that does not block. It asks for ICMP errors: by default SCTP goes on
// trying after them (RFC 9260 section 10, ICMP7).
func connectSCTP(fd int, sockaddr unix.Sockaddr) error {
	level, option := unix.SOL_IP, unix.IP_RECVERR
	if _, six := sockaddr.(*unix.SockaddrInet6); six {
		level, option = unix.SOL_IPV6, unix.IPV6_RECVERR
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return err
	}
	if err := unix.Connect(fd, sockaddr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for deadline := time.Now().Add(exchange); ; {
		left := time.Until(deadline)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		switch n, err := unix.Poll(ready, int(left.Milliseconds())+1); {
		case errors.Is(err, unix.EINTR), n == 0 && err == nil:
			continue
		case err != nil:
			return err
		}
		code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil || code == 0 {
			return err
		}
		return syscall.Errno(code)
	}
}

// ask is one question to a server of serving, from a caller in the client's namespace.
func ask(network, address string) (string, error) {
	conn, err := connect(network, address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return askOn(conn, network, exchange)
}

func askOn(conn net.Conn, network string, timeout time.Duration) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	b := make([]byte, 256)
	if network == "udp" {
		if _, err := conn.Write([]byte("?")); err != nil {
			return "", err
		}
		n, err := conn.Read(b)
		return string(b[:n]), err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

// said is the answer, or what went wrong in a word.
func said(from *netns.Namespace, network, address string) (answer string) {
	from.Do(func() {
		var err error
		answer, err = ask(network, address)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EPERM): // a node's own UDP packet fails on its way out
			answer = "refused"
		case err != nil:
			answer = err.Error()
		}
	})
	return answer
}

// asker is a UDP client that keeps its socket. The returned function asks, and returns who
// answered.
func (f *siteFixture) asker(from *netns.Namespace, address string) (who func() string) {
	f.t.Helper()
	var client net.Conn
	from.Do(func() {
		var err error
		if client, err = connect("udp", address); err != nil {
			f.t.Fatal(err)
		}
	})
	f.t.Cleanup(func() { client.Close() })
	return func() string {
		answer, err := askOn(client, "udp", lost)
		if err != nil {
			return err.Error()
		}
		reached, _, _ := strings.Cut(answer, " ")
		return reached
	}
}

// eventually polls until the answer is the one.
func eventually(t *testing.T, what string, get func() string, want string) {
	t.Helper()
	var got string
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got = get(); got == want {
			return
		}
	}
	t.Errorf("%s: %q, want %q", what, got, want)
}

// load is a number of clients that connect again and again, until stop.
type load struct {
	done    []atomic.Int64
	stopped atomic.Bool
	failed  sync.Map
	clients sync.WaitGroup
}

// startLoad has each client ask over TCP.
func startLoad(from *netns.Namespace, address string, clients int) *load {
	l := &load{done: make([]atomic.Int64, clients)}
	for i := range clients {
		l.clients.Go(func() {
			from.Do(func() {
				for !l.stopped.Load() {
					if answer, err := ask("tcp", address); err != nil || answer == "" {
						l.failed.Store(fmt.Sprintf("client %d, connection %d", i, l.done[i].Load()), fmt.Sprintf("%q, %v", answer, err))
					}
					l.done[i].Add(1)
				}
			})
		})
	}
	return l
}

// total is how many connections have ended.
func (l *load) total() (n int64) {
	for i := range l.done {
		n += l.done[i].Load()
	}
	return n
}

// settle waits until every connection that is under way now has ended.
func (l *load) settle() {
	for i := range l.done {
		for before := l.done[i].Load(); l.done[i].Load() == before; {
			time.Sleep(time.Millisecond)
		}
	}
}

// stop ends the clients and returns what has failed.
func (l *load) stop() (failures []string) {
	l.stopped.Store(true)
	l.clients.Wait()
	l.failed.Range(func(key, value any) bool {
		failures = append(failures, fmt.Sprintf("%s: %s", key, value))
		return true
	})
	slices.Sort(failures)
	return failures
}
