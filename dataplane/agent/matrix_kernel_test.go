//go:build kernel

package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/kubeproxy"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// surrounding is a kube-proxy that the dataplane lives beside.
type surrounding struct {
	name  string
	proxy *kubeproxy.Config
	// auto is the backend that is safe.
	auto v1alpha1.DataplaneBackend
	// refuses is true where IPVS is not to be used.
	refuses bool
}

// excluded are all blocks that clusterset IPs come from in any of clustersets: IPv6 has one also where
// nobody asks for it.
var excluded = []string{string(ipv4.vips), string(ipv6.vips), clusterset.VIPBlock6(clusterSet().Spec.ClusterSetID).String()}

// surroundings in the order in which the node has them. NodePorts answer on every local address,
// which is the default but in mode nftables: the worst that can be.
var surroundings = []surrounding{
	{name: "none", auto: v1alpha1.BackendIPVS},
	{name: "iptables", proxy: &kubeproxy.Config{Mode: kubeproxy.IPTables}, auto: v1alpha1.BackendIPVS},
	{name: "nftables", proxy: &kubeproxy.Config{Mode: kubeproxy.NFTables, NodePortAddresses: []string{"0.0.0.0/0", "::/0"}}, auto: v1alpha1.BackendNFTables},
	{name: "ipvs that excludes", proxy: &kubeproxy.Config{Mode: kubeproxy.IPVS, ExcludeCIDRs: excluded}, auto: v1alpha1.BackendIPVS},
	{name: "ipvs", proxy: &kubeproxy.Config{Mode: kubeproxy.IPVS}, auto: v1alpha1.BackendNFTables, refuses: true},
}

var clustersets = []struct {
	name     string
	families []addresses
}{
	{"IPv4", []addresses{ipv4}},
	{"IPv6", []addresses{ipv6}},
	{"dual-stack", bothFamilies},
}

// TestBesideKubeProxy: every promise of a Service, by every backend, beside every mode of
// kube-proxy, in every family; and kube-proxy's own Services and state are as they were. Each mode
// has a node of its own, and takes the place of the mode before it.
//
// What is asked while nothing changes is asked in every cell. What changes is asked for where both
// families are served, of both: the clusterset IPs of one family do not depend on whether there are
// others.
func TestBesideKubeProxy(t *testing.T) {
	for i, around := range surroundings {
		t.Run(around.name, func(t *testing.T) {
			s := newSite(t)
			t.Cleanup(s.end)
			s.listen()
			s.countQuestions()
			if i > 0 {
				s.runProxy(t, surroundings[i-1].proxy)
				s.changeProxy(t, around)
			}
			s.beside(t, around)
		})
	}
}

// beside runs all cells of one mode of kube-proxy. What a cell changes for good of what is others'
// is reported by it alone.
func (s *site) beside(t *testing.T, around surrounding) {
	before := s.others()
	unchanged := func(t *testing.T) {
		t.Helper()
		now := s.others()
		if diff := cmp.Diff(before, now); diff != "" {
			t.Errorf("what is others' has changed (-before +now)\n%s", diff)
		}
		before = now
	}
	s.ordinary(t)
	t.Run("auto", func(t *testing.T) { s.in(t).choose(around.auto) })
	for _, backend := range []v1alpha1.DataplaneBackend{v1alpha1.BackendIPVS, v1alpha1.BackendNFTables} {
		if around.refuses && backend == v1alpha1.BackendIPVS {
			t.Run("ipvs/refused", func(t *testing.T) { s.in(t).refused(backend) })
			continue
		}
		for _, set := range clustersets {
			t.Run(fmt.Sprintf("%s/%s", backend, set.name), func(t *testing.T) {
				f := s.in(t).fixture(backend, set.families)
				defer f.leave()
				f.conform()
				if len(set.families) > 1 {
					f.conformUnderChange()
					unchanged(t)
				}
				s.ordinary(t)
			})
		}
		t.Run(fmt.Sprintf("%s/repairs", backend), func(t *testing.T) { s.in(t).repairs(backend) })
	}
	unchanged(t)
}

// in is the site for a part of the test.
func (s *site) in(t *testing.T) *site {
	part := *s
	part.t = t
	return &part
}

// port of the imports: its number in clusterset IPs, and what it is called in both clusters.
type port struct {
	name       string
	protocol   corev1.Protocol
	number     int
	west, east int
}

func (p port) network() string { return strings.ToLower(string(p.protocol)) }

var (
	http80   = port{"http", corev1.ProtocolTCP, 80, 9080, 8080}
	dns53    = port{"dns", corev1.ProtocolUDP, 53, 9053, 8053}
	sig90    = port{"sig", corev1.ProtocolSCTP, 90, 9090, 8090}
	likeTCP  = port{"like-tcp", corev1.ProtocolTCP, nodePortTCP, 9180, 8180}
	likeUDP  = port{"like-udp", corev1.ProtocolUDP, nodePortUDP, 9153, 8153}
	likeSCTP = port{"like-sctp", corev1.ProtocolSCTP, nodePortSCTP, 9190, 8190}
	allPorts = []port{http80, dns53, sig90, likeTCP, likeUDP, likeSCTP}

	many5000 = port{"many", corev1.ProtocolUDP, 5000, 9500, 8500}
	hold5001 = port{"hold", corev1.ProtocolTCP, 5001, 9501, 8501}
)

func servicePorts(ports ...port) (all []mcsv1beta1.ServicePort) {
	for _, p := range ports {
		all = append(all, mcsv1beta1.ServicePort{Name: p.name, Protocol: p.protocol, Port: int32(p.number)})
	}
	return all
}

func endpointPorts(cluster string, ports ...port) (all []discoveryv1.EndpointPort) {
	for _, p := range ports {
		number := p.east
		if cluster == "west" {
			number = p.west
		}
		all = append(all, discoveryv1.EndpointPort{Name: ptr.To(p.name), Protocol: ptr.To(p.protocol), Port: ptr.To(int32(number))})
	}
	return all
}

// listen has all pods answer.
func (s *site) listen() {
	echoOn(s.t, s.pod, hold5001.west)
	echoOn(s.t, s.neighbour, hold5001.west)
	echoOn(s.t, s.away, hold5001.east)
	for _, a := range bothFamilies {
		serving(s.t, s.neighbour, "tcp", at(a.neighbour, 7080))
		serving(s.t, s.neighbour, "udp", at(a.neighbour, 7053))
		serving(s.t, s.neighbour, "sctp", at(a.neighbour, 7090))
		for _, p := range a.westOf() {
			serving(s.t, s.west(p), "udp", at(p, many5000.west))
		}
		for _, address := range a.away {
			serving(s.t, s.away, "udp", at(address, many5000.east))
		}
		for _, p := range allPorts {
			serving(s.t, s.pod, p.network(), at(a.pod, p.west))
			serving(s.t, s.neighbour, p.network(), at(a.neighbour, p.west))
			for _, address := range a.away[:3] {
				serving(s.t, s.away, p.network(), at(address, p.east))
			}
		}
	}
}

// ordinary checks what kube-proxy serves.
func (s *site) ordinary(t *testing.T) {
	t.Helper()
	if s.proxy == nil {
		return
	}
	for _, a := range bothFamilies {
		for _, tt := range []struct {
			from                 *netns.Namespace
			network, to, reached string
		}{
			{s.pod, "tcp", at(a.service, 80), at(a.neighbour, 7080)},
			{s.pod, "udp", at(a.service, 53), at(a.neighbour, 7053)},
			{s.pod, "sctp", at(a.service, 90), at(a.neighbour, 7090)},
			{s.worker, "tcp", at(a.service, 80), at(a.neighbour, 7080)},
			{s.outside, "tcp", at(a.node, nodePortTCP), at(a.neighbour, 7080)},
			{s.outside, "udp", at(a.node, nodePortUDP), at(a.neighbour, 7053)},
			{s.outside, "sctp", at(a.node, nodePortSCTP), at(a.neighbour, 7090)},
		} {
			if got := said(tt.from, tt.network, tt.to); !strings.HasPrefix(got, tt.reached+" ") {
				t.Errorf("the ordinary Service at %s %s: %q, want an answer of %s", tt.network, tt.to, got, tt.reached)
			}
		}
	}
}

// choose: backend auto takes what is safe beside this kube-proxy, and says why.
func (s *site) choose(want v1alpha1.DataplaneBackend) {
	s.t.Helper()
	f := s.fixture(v1alpha1.BackendAuto, bothFamilies)
	defer f.leave()
	f.pass(node.Marked)
	if got := f.condition(); !strings.HasPrefix(strings.ToLower(got), "true ready "+string(want)+" serves clusterset ips (backend auto, ") ||
		s.proxy != nil && !strings.Contains(got, "kube-proxy mode "+s.mode) {
		s.t.Errorf("condition %q, want one that tells of %s", got, want)
	}
}

// wantsAll serves one Service with all ports in both families, as far as the agent can.
func (f *siteFixture) wantsAll() {
	f.serve("web", 1, servicePorts(allPorts...)...)
	for _, a := range bothFamilies {
		f.endpoints("web", "east", a, endpointPorts("east", allPorts...), ready(a.away[0]))
	}
	f.pass(node.Marked)
	f.pass(node.Audited)
}

// refused: IPVS beside a kube-proxy that would delete what is ours.
func (s *site) refused(backend v1alpha1.DataplaneBackend) {
	s.t.Helper()
	f := s.fixture(backend, bothFamilies)
	defer f.leave()
	f.wantsAll()
	const want = "False KubeProxyConflict this node's kube-proxy runs in ipvs mode and would delete tombolo's virtual services: add 244.0.0.0/16 to ipvs.excludeCIDRs"
	if got := f.condition(); !strings.HasPrefix(got, want) {
		s.t.Errorf("condition %q, want %q", got, want)
	}
	for _, a := range bothFamilies {
		for _, p := range []port{http80, likeTCP} {
			if got := said(s.pod, "tcp", a.to(1, p.number)); got != "refused" {
				s.t.Errorf("%s port %d: %q, want a refusal", a.name, p.number, got)
			}
		}
	}
	if got := s.worker.Run("ipvsadm", "-Sn"); strings.Contains(got, " "+ipv4.vip) || strings.Contains(got, ipv6.vip) {
		s.t.Errorf("ipvsadm: %s", got)
	}
}

// leave takes the cluster out of the clusterset.
func (f *siteFixture) leave() {
	f.t.Helper()
	f.delete(f.clusterSet())
	f.pass(node.Marked)
	f.agent.close()
}

// conform checks what stands still.
func (f *siteFixture) conform() {
	f.t.Helper()
	f.serve("web", 1, servicePorts(allPorts...)...)
	f.serve("own", 2, servicePorts(http80, dns53, sig90)...)
	f.serve("empty", 7, servicePorts(http80, dns53, sig90)...)
	for _, a := range bothFamilies { // also of a family that is not served
		f.endpoints("web", "west", a, endpointPorts("west", allPorts...), onNode(ready(a.neighbour), "worker"))
		f.endpoints("web", "east", a, endpointPorts("east", allPorts...), ready(a.away[0]), ready(a.away[1]))
		f.endpoints("own", "west", a, endpointPorts("west", http80, dns53, sig90), onNode(ready(a.pod), "worker"))
	}
	f.pass(node.Marked)
	f.quiet()
	if got := f.condition(); !strings.HasPrefix(got, "True Ready ") {
		f.t.Errorf("condition %q", got)
	}
	for _, a := range f.families {
		for _, p := range allPorts {
			all := []string{at(a.neighbour, p.west), at(a.away[0], p.east), at(a.away[1], p.east)}
			f.reaches(f.site.pod, "a pod", p.network(), a.to(1, p.number), a.pod, all...)
			f.reaches(f.site.worker, "the node", p.network(), a.to(1, p.number), a.node, all...)
		}
		for _, p := range []port{http80, dns53, sig90} {
			f.reaches(f.site.pod, "a pod that is its own backend", p.network(), a.to(2, p.number), a.podGateway, at(a.pod, p.west))
		}
		f.refuses(a)
	}
}

// reaches fails the test unless all of these answer, nobody else does, and each sees that source.
func (f *siteFixture) reaches(from *netns.Namespace, who, network, address, source string, all ...string) {
	f.t.Helper()
	seen := map[string]bool{}
	for range 60 * len(all) {
		got := said(from, network, address)
		reached, client, _ := strings.Cut(got, " ")
		if !slices.Contains(all, reached) || client != source {
			f.t.Fatalf("%s from %s to %s: %q, want an answer of %v to %s", network, who, address, got, all, source)
		}
		if seen[reached] = true; len(seen) == len(all) {
			return
		}
	}
	f.t.Errorf("%s from %s to %s: only %v of %v answered", network, who, address, seen, all)
}

// refuses: what no Service has is refused at once, also where a NodePort has that number, and a
// Service without endpoints.
func (f *siteFixture) refuses(a addresses) {
	f.t.Helper()
	unknown := map[string][]string{
		"tcp":  {a.to(1, 81), a.to(2, nodePortTCP), a.to(9, nodePortTCP), a.to(9, nodePortEmpty), a.to(9, 10250), a.to(7, 80)},
		"udp":  {a.to(1, 54), a.to(2, nodePortUDP), a.to(9, nodePortUDP), a.to(7, 53)},
		"sctp": {a.to(1, 91), a.to(2, nodePortSCTP), a.to(9, nodePortSCTP), a.to(7, 90)},
	}
	f.site.unanswered() // to begin with
	for network, all := range unknown {
		for _, to := range all {
			for _, tt := range []struct {
				who  string
				from *netns.Namespace
			}{{"a pod", f.site.pod}, {"the node", f.site.worker}} {
				if got := said(tt.from, network, to); got != "refused" {
					f.t.Errorf("%s from %s to %s: %q, want a refusal", network, tt.who, to, got)
				}
			}
		}
	}
	if n := f.site.unanswered(); n != 0 {
		f.t.Errorf("%s: %d questions over TCP were not answered before they were asked again", a.name, n)
	}
}

// countQuestions counts, at the node, the segments that ask for a connection to a clusterset IP and
// what refuses one. That is a reset with an acknowledgment (RFC 9293, 3.5.2). A reset without one
// answers a segment of a connection that has ended before. A retransmission proves nothing by itself:
// on a busy machine its timer goes off before the refusal is looked at.
func (s *site) countQuestions() {
	s.t.Helper()
	script := "add table inet asked\nadd counter inet asked asked\nadd counter inet asked refused\n"
	for _, tt := range []struct {
		hook  string
		which string
	}{{"prerouting", "iifname != lo"}, {"output", ""}} { // the node's own come in by lo as well
		script += fmt.Sprintf("add chain inet asked %s { type filter hook %[1]s priority -400; }\n", tt.hook)
		for _, a := range bothFamilies {
			script += fmt.Sprintf("add rule inet asked %s %s %s daddr %s tcp flags & (syn | ack) == syn counter name asked\n", tt.hook, tt.which, a.nft, a.vips)
		}
	}
	for _, a := range bothFamilies {
		script += fmt.Sprintf("add rule inet asked output %s saddr %s tcp flags & (rst | ack) == rst | ack counter name refused\n", a.nft, a.vips)
	}
	// IPVS refuses by ICMP what has no destination. The header that it repeats says that it was
	// TCP.
	script += "add rule inet asked output icmp type destination-unreachable @th,136,8 6 counter name refused\n" +
		"add rule inet asked output icmpv6 type destination-unreachable @th,112,8 6 counter name refused\n"
	s.worker.Run("nft", script)
}

// unanswered is how many of the segments that asked for a connection, since the last call, were not
// refused.
func (s *site) unanswered() int {
	s.t.Helper()
	counts := map[string]int{}
	name := ""
	for line := range strings.Lines(s.worker.Run("nft", "reset", "counters", "table", "inet", "asked")) {
		switch fields := strings.Fields(line); {
		case len(fields) > 1 && fields[0] == "counter":
			name = fields[1]
		case len(fields) > 1 && fields[0] == "packets":
			counts[name] = number(fields[1])
		}
	}
	return counts["asked"] - counts["refused"]
}

// conformUnderChange checks what happens when endpoints come and go, and policies.
func (f *siteFixture) conformUnderChange() {
	f.t.Helper()
	programmed := f.programmed()
	for _, a := range f.families {
		f.fair(a.name, programmed[key("tcp", a.to(1, http80.number))], func(int) map[string]int {
			return f.connections(a.to(1, http80.number), 150)
		})
	}
	f.follows()
	f.affinity()
	f.movesUDP()
	forgets := f.forgets() // meanwhile
	defer forgets()
	f.rolls()
}

// affinity: a client stays with its endpoint, and moves when that drains or goes.
func (f *siteFixture) affinity() {
	f.t.Helper()
	sticky := f.serve("sticky", 3, servicePorts(http80)...)
	sticky.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	f.apply(sticky)
	for _, a := range f.families {
		f.endpoints("sticky", "east", a, endpointPorts("east", http80), ready(a.away[0]), ready(a.away[1]), ready(a.away[2]))
	}
	f.pass(node.Marked)
	programmed := f.programmed()
	for _, a := range f.families {
		const hours = 3 * 60 * 60 // Kubernetes' default
		if got := programmed[key("tcp", a.to(3, 80))].affinity; got != hours {
			f.t.Errorf("%s: affinity for %d seconds, want %d", a.name, got, hours)
		}
		for _, tt := range []struct {
			who  string
			from *netns.Namespace
		}{{"a pod", f.site.pod}, {"the node", f.site.worker}} {
			first := said(tt.from, "tcp", a.to(3, 80))
			for range 12 {
				if got := said(tt.from, "tcp", a.to(3, 80)); got != first {
					f.t.Errorf("%s: %s first got %q, then %q", a.name, tt.who, first, got)
					break
				}
			}
		}
		first := f.leavesClients(a, terminating)
		if second := f.leavesClients(a, nil); second == first {
			f.t.Errorf("%s: while it drains %s gets a client", a.name, first)
		}
	}
}

// leavesClients has the endpoint drain or go that the pod's affinity is with, and fails the test
// unless the pod moves and then stays. It returns that endpoint.
func (f *siteFixture) leavesClients(a addresses, drain func(string) discoveryv1.Endpoint) (left string) {
	f.t.Helper()
	left, _, _ = strings.Cut(said(f.site.pod, "tcp", a.to(3, 80)), " ")
	var rest []discoveryv1.Endpoint
	for _, address := range a.away[:3] {
		switch {
		case at(address, http80.east) != left:
			rest = append(rest, ready(address))
		case drain != nil:
			rest = append(rest, drain(address))
		}
	}
	f.endpoints("sticky", "east", a, endpointPorts("east", http80), rest...)
	f.pass(node.Marked)
	moved := said(f.site.pod, "tcp", a.to(3, 80))
	if strings.HasPrefix(moved, left+" ") || !strings.HasSuffix(moved, " "+a.pod) {
		f.t.Errorf("%s: after %s has gone: %q", a.name, left, moved)
	}
	if got := said(f.site.pod, "tcp", a.to(3, 80)); got != moved {
		f.t.Errorf("%s: the client has moved to %q, then to %q", a.name, moved, got)
	}
	return left
}

// movesUDP: a client that keeps its socket reaches another endpoint when its own has gone.
func (f *siteFixture) movesUDP() {
	f.t.Helper()
	f.serve("names", 4, servicePorts(dns53)...)
	for _, a := range f.families {
		for _, tt := range []struct {
			name string
			from *netns.Namespace
		}{{"a pod", f.site.pod}, {"the node", f.site.worker}} {
			f.endpoints("names", "east", a, endpointPorts("east", dns53), ready(a.away[0]))
			f.pass(node.Marked)
			who := f.asker(tt.from, a.to(4, 53))
			eventually(f.t, a.name+": the first endpoint, from "+tt.name, who, at(a.away[0], dns53.east))
			f.endpoints("names", "east", a, endpointPorts("east", dns53), ready(a.away[1]))
			f.pass(node.Marked)
			eventually(f.t, a.name+": the second endpoint, from "+tt.name, who, at(a.away[1], dns53.east))
		}
	}
}

// rolls: no connection fails while every endpoint is replaced in turn, each as Kubernetes does it:
// the new one is ready, the old one terminates, then it is gone.
func (f *siteFixture) rolls() {
	f.t.Helper()
	const clients, rounds = 4, 3
	enough := int64(1000 / len(f.families))
	f.serve("rolling", 5, servicePorts(http80)...)
	for _, a := range f.families {
		ports := endpointPorts("east", http80)
		roll := a.away[3:]
		stop := serving(f.t, f.site.away, "tcp", at(roll[0], http80.east))
		f.endpoints("rolling", "east", a, ports, ready(roll[0]))
		f.pass(node.Marked)
		l := startLoad(f.site.pod, a.to(5, 80), clients)
		defer l.stop() // should a step end the test
		done := 0
		for i := 1; done < rounds || l.total() < enough; i = (i + 1) % len(roll) {
			old := roll[(i+len(roll)-1)%len(roll)]
			next := serving(f.t, f.site.away, "tcp", at(roll[i], http80.east))
			for _, endpoints := range [][]discoveryv1.Endpoint{
				{ready(old), ready(roll[i])}, {terminating(old), ready(roll[i])},
			} {
				f.endpoints("rolling", "east", a, ports, endpoints...)
				f.pass(node.Marked)
			}
			l.settle() // what it has, it ends
			f.endpoints("rolling", "east", a, ports, ready(roll[i]))
			f.pass(node.Marked)
			stop()
			stop = next
			done++
		}
		if failed := l.stop(); len(failed) > 0 {
			f.t.Errorf("%s: %d of %d connections failed while endpoints were replaced %d times: %q", a.name, len(failed), l.total(), done, failed[:min(3, len(failed))])
		}
		stop()
	}
}
