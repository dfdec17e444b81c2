//go:build kernel

package agent

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// programmed is what the kernel has for one port of a clusterset IP, as the backend's own tool
// lists it.
type programmed struct {
	// scheduler in the words of the backend: wrr, wlc, mh; inc, random, hash.
	scheduler string
	// affinity in seconds, zero: none.
	affinity int
	// weights of the endpoints; with nftables, how many slots each has.
	weights map[string]int
}

func (p programmed) sum() (sum int) {
	for _, weight := range p.weights {
		sum += weight
	}
	return sum
}

// key of a port in what programmed returns.
func key(network, address string) string { return network + " " + address }

func (f *siteFixture) programmed() map[string]*programmed {
	f.t.Helper()
	all := byKey{}
	if f.backend == v1alpha1.BackendIPVS {
		all.readIPVS(f.site.worker.Run("ipvsadm", "-Sn"))
	} else {
		all.readNFT(f.site.worker.Run("nft", "list", "table", "inet", "tombolo-services"))
	}
	return all
}

type byKey map[string]*programmed

func (all byKey) of(key string) *programmed {
	if all[key] == nil {
		all[key] = &programmed{weights: map[string]int{}}
	}
	return all[key]
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err) // of what a regular expression has found
	}
	return n
}

var (
	ipvsServices     = regexp.MustCompile(`(?m)^-A -(\S+) (\S+) -s (\w+)(?: -p (\d+))?`)
	ipvsDestinations = regexp.MustCompile(`(?m)^-a -(\S+) (\S+) -r (\S+) -m -w (\d+)`)
	ipvsNetworks     = map[string]string{"t": "tcp", "u": "udp", "-sctp-service": "sctp"}

	nftSlot      = regexp.MustCompile(`([0-9a-f.:]+) \. (\w+) \. (\d+) \. \d+ : ([0-9a-f.:]+) \. (\d+)`)
	nftScheduler = regexp.MustCompile(`([0-9a-f.:]+) \. (\w+) \. (\d+) : goto (random|inc|hash)\d-`)
	nftAffinity  = regexp.MustCompile(`([0-9a-f.:]+) \. (\w+) \. (\d+) : goto remember\d-(\d+)`)
)

func (all byKey) readIPVS(text string) {
	for _, m := range ipvsServices.FindAllStringSubmatch(text, -1) {
		p := all.of(key(ipvsNetworks[m[1]], m[2]))
		if p.scheduler = m[3]; m[4] != "" {
			p.affinity = number(m[4])
		}
	}
	for _, m := range ipvsDestinations.FindAllStringSubmatch(text, -1) {
		all.of(key(ipvsNetworks[m[1]], m[2])).weights[m[3]] = number(m[4])
	}
}

func (all byKey) readNFT(text string) {
	for _, m := range nftScheduler.FindAllStringSubmatch(text, -1) {
		all.of(key(m[2], net.JoinHostPort(m[1], m[3]))).scheduler = m[4]
	}
	for _, m := range nftAffinity.FindAllStringSubmatch(text, -1) {
		all.of(key(m[2], net.JoinHostPort(m[1], m[3]))).affinity = number(m[4])
	}
	for _, m := range nftSlot.FindAllStringSubmatch(text, -1) {
		all.of(key(m[2], net.JoinHostPort(m[1], m[3]))).weights[net.JoinHostPort(m[4], m[5])]++
	}
}

// fair fails the test unless flows are shared as programmed: each endpoint's number of them within
// three sigma of its part. A fair draw is outside of that once in 370 times, so that a third one
// may decide.
func (f *siteFixture) fair(name string, p *programmed, draw func(n int) map[string]int) {
	f.t.Helper()
	if p == nil {
		f.t.Errorf("%s: not programmed", name)
		return
	}
	var why string
	for range 3 {
		if why = unfair(p, draw(150)); why == "" {
			return
		}
	}
	f.t.Errorf("%s: %s", name, why)
}

// unfair says which endpoint got too many or too few flows.
func unfair(p *programmed, count map[string]int) string {
	flows := 0
	for endpoint, n := range count {
		if p.weights[endpoint] == 0 {
			return fmt.Sprintf("%d flows got %s, who is none of %v", n, endpoint, p.weights)
		}
		flows += n
	}
	for endpoint, weight := range p.weights {
		share := float64(weight) / float64(p.sum())
		mean := share * float64(flows)
		if sigma := math.Sqrt(mean * (1 - share)); math.Abs(float64(count[endpoint])-mean) > 3*sigma {
			return fmt.Sprintf("%d of %d flows reached %s, whose weight is %d of %d", count[endpoint], flows, endpoint, weight, p.sum())
		}
	}
	return ""
}

// connections are n TCP connections of the pod, by who answered.
func (f *siteFixture) connections(to string, n int) map[string]int {
	count := map[string]int{}
	f.site.pod.Do(func() {
		for range n {
			answer, err := ask("tcp", to)
			if err != nil {
				answer = err.Error()
			}
			reached, _, _ := strings.Cut(answer, " ")
			count[reached]++
		}
	})
	return count
}

// flows are n flows of UDP from ports that had none for a while, by who answered. They begin before
// the first is answered, which is what makes them cheap; few at a time, so that no server's buffer
// is full.
func (f *siteFixture) flows(from string, to string, n int) map[string]int {
	const atOnce = 50
	count := map[string]int{}
	f.site.pod.Do(func() {
		for ; n > 0; n -= atOnce {
			var conns []net.Conn
			for range min(n, atOnce) {
				conn, err := f.site.begin(from, to)
				if err != nil {
					count[err.Error()]++
					continue
				}
				conns = append(conns, conn)
			}
			for _, conn := range conns {
				count[answerOf(conn)]++
				conn.Close()
			}
		}
	})
	return count
}

// begin sends the first packet of a UDP flow.
func (s *site) begin(from, to string) (net.Conn, error) {
	const first, ports = 1024, 31744 // below those that the kernel chooses from
	local := netip.AddrPortFrom(netip.MustParseAddr(from), uint16(first+*s.flown%ports))
	*s.flown++
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(local), net.UDPAddrFromAddrPort(netipOf(to)))
	if err != nil {
		return nil, err
	}
	_, err = conn.Write([]byte("?"))
	return conn, err
}

func answerOf(conn net.Conn) string {
	b := make([]byte, 256)
	if err := conn.SetReadDeadline(time.Now().Add(exchange)); err != nil {
		return err.Error()
	}
	n, err := conn.Read(b)
	if err != nil {
		return err.Error()
	}
	reached, _, _ := strings.Cut(string(b[:n]), " ")
	return reached
}

// readyIn is how many of each cluster's endpoints are ready.
type readyIn struct{ west, east int }

// westOf are the pods of the site, as endpoints.
func (a addresses) westOf() []string { return []string{a.neighbour, a.pod} }

// west is the namespace of a pod of this cluster.
func (s *site) west(address string) *netns.Namespace {
	if address == ipv4.pod || address == ipv6.pod {
		return s.pod
	}
	return s.neighbour
}

// populate makes so many endpoints of a service ready.
func (f *siteFixture) populate(service string, a addresses, n readyIn, ports ...port) {
	f.t.Helper()
	var west, east []discoveryv1.Endpoint
	for _, address := range a.westOf()[:n.west] {
		west = append(west, onNode(ready(address), "worker"))
	}
	for _, address := range a.away[:n.east] {
		east = append(east, ready(address))
	}
	f.endpoints(service, "west", a, endpointPorts("west", ports...), west...)
	f.endpoints(service, "east", a, endpointPorts("east", ports...), east...)
}

func (f *siteFixture) policy(service string, scheduler v1alpha1.Scheduler, weights ...v1alpha1.ClusterWeight) {
	f.t.Helper()
	f.apply(&v1alpha1.TrafficPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: service},
		Spec: v1alpha1.TrafficPolicySpec{TargetRef: v1alpha1.TrafficPolicyTarget{Name: service}, Weights: weights, Scheduler: scheduler}})
}

// wish is what is wanted of a service's flows, and what is to come of it.
type wish struct {
	name      string
	ready     readyIn
	scheduler v1alpha1.Scheduler // empty: no policy
	weights   []v1alpha1.ClusterWeight
	// west is this cluster's share of the flows.
	west float64
	// ipvs and nft are the schedulers that the kernel is to have.
	ipvs, nft string
}

var canary = []v1alpha1.ClusterWeight{{Cluster: "east", Weight: 95}, {Cluster: "west", Weight: 5}}

// wishes that have a service, and a clusterset IP, of their own. One with the scheduler
// ConsistentHash is asked for its clients, not for its flows.
var wishes = []wish{
	{"2 and 8 endpoints", readyIn{2, 8}, "", nil, 0.2, "wrr", "random"},
	{"a canary, in turn", readyIn{2, 8}, v1alpha1.SchedulerRoundRobin, canary, 0.05, "wrr", "inc"},
	{"a canary, by connections", readyIn{2, 8}, v1alpha1.SchedulerLeastConnection, canary, 0.05, "wlc", "random"},
	{"a canary without endpoints, by lot", readyIn{0, 8}, v1alpha1.SchedulerRandom, canary, 0, "wrr", "random"},
	{"a cluster drained", readyIn{2, 8}, v1alpha1.SchedulerRandom, []v1alpha1.ClusterWeight{{Cluster: "east", Weight: 0}}, 1, "wrr", "random"},
	{"by hash", readyIn{1, 3}, v1alpha1.SchedulerConsistentHash, nil, 0.25, "mh", "hash"},
}

// wishVIP is the number of the first wish's clusterset IP.
const wishVIP = 10

// follows: weights and schedulers are programmed as they are wanted, and flows go where they are
// programmed to.
func (f *siteFixture) follows() {
	f.t.Helper()
	for i, w := range wishes {
		service := fmt.Sprint("wish-", i)
		f.serve(service, wishVIP+i, servicePorts(many5000)...)
		for _, a := range f.families {
			f.populate(service, a, w.ready, many5000)
		}
		if w.scheduler != "" {
			f.policy(service, w.scheduler, w.weights...)
		}
	}
	f.pass(node.Marked)
	programmed := f.programmed()
	for i, w := range wishes {
		for _, a := range f.families {
			to := a.to(wishVIP+i, many5000.number)
			p := f.fulfils(w, a, programmed[key("udp", to)])
			switch name := a.name + ", " + w.name; {
			case p == nil:
			case w.scheduler == v1alpha1.SchedulerConsistentHash:
				f.followsClients(name, i, a, p)
			case w.scheduler == v1alpha1.SchedulerRoundRobin:
				f.inTurn(name, p, f.flows(a.pod, to, 2*p.sum()))
			default:
				f.fair(name, p, func(n int) map[string]int { return f.flows(a.pod, to, n) })
			}
		}
	}
	f.scales()
	f.drains()
}

// fulfils fails the test unless what is programmed is what was wished for: each share within 5 %.
// It returns what is programmed, nil if that is wrong.
func (f *siteFixture) fulfils(w wish, a addresses, p *programmed) *programmed {
	f.t.Helper()
	if p == nil {
		f.t.Errorf("%s, %s: not programmed", a.name, w.name)
		return nil
	}
	scheduler := w.ipvs
	if f.backend == v1alpha1.BackendNFTables {
		scheduler = w.nft
	}
	if p.scheduler != scheduler {
		f.t.Errorf("%s, %s: scheduler %q, want %q", a.name, w.name, p.scheduler, scheduler)
	}
	want := map[string]float64{}
	for _, address := range a.westOf()[:w.ready.west] {
		want[at(address, many5000.west)] = w.west / float64(w.ready.west)
	}
	for _, address := range a.away[:w.ready.east] {
		want[at(address, many5000.east)] = (1 - w.west) / float64(w.ready.east)
	}
	for endpoint, share := range want {
		if got := float64(p.weights[endpoint]) / float64(p.sum()); math.Abs(got-share) > 0.05*share {
			f.t.Errorf("%s, %s: %s has %v of the weight, want %v: %v", a.name, w.name, endpoint, got, share, p.weights)
			return nil
		}
	}
	for endpoint, weight := range p.weights {
		if weight > 0 && want[endpoint] == 0 {
			f.t.Errorf("%s, %s: %s is to get flows", a.name, w.name, endpoint)
			return nil
		}
	}
	return p
}

// inTurn fails the test unless whole turns gave each endpoint its weight's number of flows.
func (f *siteFixture) inTurn(name string, p *programmed, count map[string]int) {
	f.t.Helper()
	for endpoint, weight := range p.weights {
		if count[endpoint] != 2*weight {
			f.t.Errorf("%s: in two turns %d flows reached %s, whose weight is %d: %v of %v", name, count[endpoint], endpoint, weight, count, p.weights)
		}
	}
}

// followsClients: by hash, a client's flows all go to one endpoint; the clients are shared as
// programmed; and when an endpoint goes, its clients move and few others do.
func (f *siteFixture) followsClients(name string, i int, a addresses, p *programmed) {
	f.t.Helper()
	to := a.to(wishVIP+i, many5000.number)
	before, count := f.perClient(name, a, to), map[string]int{}
	for _, endpoint := range before {
		count[endpoint]++
	}
	if why := unfair(p, count); why != "" {
		f.t.Errorf("%s: of clients: %s", name, why)
	}
	f.populate(fmt.Sprint("wish-", i), a, readyIn{1, 2}, many5000)
	f.pass(node.Marked)
	gone, moved := at(a.away[2], many5000.east), 0
	for client, endpoint := range f.perClient(name, a, to) {
		if endpoint == gone {
			f.t.Errorf("%s: client %d gets %s, which is gone", name, client, gone)
		}
		if before[client] != gone && endpoint != before[client] {
			moved++
		}
	}
	if moved > clients/10 {
		f.t.Errorf("%s: %d of %d clients moved that had no reason to", name, moved, clients)
	}
}

// perClient is which endpoint each of the pod's addresses gets, with any of its flows.
func (f *siteFixture) perClient(name string, a addresses, to string) (reached [clients]string) {
	f.t.Helper()
	for i := range reached {
		count := f.flows(a.client(i), to, 3)
		for endpoint := range count {
			reached[i] = endpoint
		}
		if len(count) != 1 {
			f.t.Errorf("%s: the flows of one client went to %v", name, count)
		}
	}
	return reached
}

// scales: when a cluster's deployment is scaled, its share of the flows is another one.
func (f *siteFixture) scales() {
	f.t.Helper()
	scaled := wishes[0]
	scaled.name, scaled.ready.east, scaled.west = "8 endpoints scaled to 2", 2, 0.5
	for _, a := range f.families {
		f.populate("wish-0", a, scaled.ready, many5000)
	}
	f.pass(node.Marked)
	programmed := f.programmed()
	for _, a := range f.families {
		to := a.to(wishVIP, many5000.number)
		if p := f.fulfils(scaled, a, programmed[key("udp", to)]); p != nil {
			f.fair(a.name+", "+scaled.name, p, func(n int) map[string]int { return f.flows(a.pod, to, n) })
		}
	}
}

// drains: when a policy drains a cluster, its connections go on, UDP flows move, and new
// connections go elsewhere.
func (f *siteFixture) drains() {
	f.t.Helper()
	f.serve("drained", 8, servicePorts(many5000, hold5001)...)
	for _, a := range f.families {
		f.populate("drained", a, readyIn{0, 1}, many5000, hold5001)
	}
	f.pass(node.Marked)
	held, asked := map[string]longLived{}, map[string]func() string{}
	for _, a := range f.families {
		held[a.name] = dialFrom(f.t, f.site.pod, a.to(8, hold5001.number))
		if err := held[a.name].works(); err != nil {
			f.t.Errorf("%s: before its cluster is drained, a connection: %v", a.name, err)
		}
		asked[a.name] = f.asker(f.site.pod, a.to(8, many5000.number))
		eventually(f.t, a.name+": before its cluster is drained, a UDP flow", asked[a.name], at(a.away[0], many5000.east))
		f.populate("drained", a, readyIn{1, 1}, many5000, hold5001)
	}
	f.policy("drained", v1alpha1.SchedulerRoundRobin, v1alpha1.ClusterWeight{Cluster: "east", Weight: 0})
	f.pass(node.Marked)
	for _, a := range f.families {
		if err := held[a.name].works(); err != nil {
			f.t.Errorf("%s: after its cluster was drained, a connection: %v", a.name, err)
		}
		west := at(a.neighbour, many5000.west)
		eventually(f.t, a.name+": after its cluster was drained, a UDP flow", asked[a.name], west)
		if count := f.flows(a.pod, a.to(8, many5000.number), 20); count[west] != 20 {
			f.t.Errorf("%s: after its cluster was drained, new flows reach %v, want %s", a.name, count, west)
		}
	}
}
