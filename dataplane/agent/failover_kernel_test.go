//go:build kernel

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// pair is the cluster west with a worker and two gateways, each of which has a tunnel to the cluster
// east. All nodes have a strict rp_filter.
//
//	pod 10.2.1.5 - worker 192.0.2.1 ─┬─ g1 192.0.2.11 - east 10.1.0.5
//	                                 └─ g2 192.0.2.12 - east 10.1.0.5
//	                                          └─ pod2 10.2.12.5
type pair struct {
	*fixture
	wire            *netns.Wire
	ports           map[string]int
	worker, g1, g2  *netns.Namespace
	pod, pod2, east *netns.Namespace
	away            atomic.Bool // the API server
	heard           *events
	agents          []*fixture
	rpFilter        string
}

func newPair(t *testing.T, rpFilter string) *pair {
	p := &pair{wire: netns.NewWire(t), ports: map[string]int{}, worker: netns.New(t), g1: netns.New(t), g2: netns.New(t),
		pod: netns.New(t), pod2: netns.New(t), east: netns.New(t), heard: &events{}, rpFilter: rpFilter}
	for name, n := range map[string]*netns.Namespace{"worker": p.worker, "g1": p.g1, "g2": p.g2} {
		n.Sysctl("net/ipv4/conf/all/rp_filter", rpFilter)
		n.Sysctl("net/ipv4/conf/default/rp_filter", rpFilter)
		address := map[string]string{"worker": "192.0.2.1/24", "g1": "192.0.2.11/24", "g2": "192.0.2.12/24"}[name]
		p.ports[name] = p.wire.Connect(n, netip.MustParsePrefix(address))
	}
	p.worker.Join("pod0", "10.2.1.1/24", p.pod, "eth0", "10.2.1.5/24")
	p.pod.Route("0.0.0.0/0", "10.2.1.1")
	for i := range 16 {
		p.pod.Address("eth0", fmt.Sprintf("10.2.1.%d/24", 20+i))
	}
	p.g2.Join("pod0", "10.2.12.1/24", p.pod2, "eth0", "10.2.12.5/24")
	p.pod2.Route("0.0.0.0/0", "10.2.12.1")
	p.east.Address("lo", "10.1.0.5/32")
	for i, g := range []*netns.Namespace{p.g1, p.g2} {
		g.Join("tombolo0", fmt.Sprintf("198.51.100.%d/31", 2*i), p.east, fmt.Sprintf("g%d", i+1), fmt.Sprintf("198.51.100.%d/31", 2*i+1))
		g.Sysctl("net/ipv4/conf/tombolo0/rp_filter", "2") // as on every tunnel
		g.Run("ip", "route", "add", "10.1.0.0/16", "via", fmt.Sprintf("198.51.100.%d", 2*i+1), "dev", "tombolo0", "table", "7473")
		g.Run("ip", "rule", "add", "pref", "7473", "lookup", "7473")
	}
	p.answerBy("g1")
	p.east.Serve("east", 8080)
	p.pod2.Serve("pod2", 8080)
	p.build(t)
	return p
}

// answerBy has east send all to west by that gateway.
func (p *pair) answerBy(gateway string) {
	hop := map[string]string{"g1": "198.51.100.0", "g2": "198.51.100.2"}[gateway]
	p.east.Run("ip", "route", "replace", "10.2.0.0/18", "via", hop, "src", "10.1.0.5")
}

// build makes the objects and an agent for each node; those of the gateways have done their work.
func (p *pair) build(t *testing.T) {
	set := clusterSet()
	set.Status.Index = 2
	withTransit := func(n *corev1.Node, address string) *corev1.Node {
		n.Annotations = map[string]string{v1alpha1.AnnotationTransitAddress: address}
		return n
	}
	p.fixture = newFixture(t, p.worker, gatewayNode("g1", "192.0.2.11", 0), gatewayNode("g2", "192.0.2.12", 1), remote("east", "10.1.0.0/16"),
		withTransit(nodeObject("g1", "192.0.2.11", "10.2.11.0/24"), "245.0.32.65"), withTransit(nodeObject("g2", "192.0.2.12", "10.2.12.0/24"), "245.0.32.66"))
	p.applyStatus(set)
	worker := nodeObject("worker", "192.0.2.1", "10.2.1.0/24")
	p.apply(withTransit(worker, "245.0.32.64"))
	for name, n := range map[string]*netns.Namespace{"g1": p.g1, "g2": p.g2} {
		gateway := p.on(name, n)
		gateway.pass(node.Marked)
		p.agents = append(p.agents, gateway)
	}
	p.client = interceptor.NewClient(p.client.(client.WithWatch), interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if p.away.Load() {
				return errors.New("the API server is away")
			}
			return c.List(ctx, list, opts...)
		}})
}

// start runs an agent on the worker, as a new process would, until the returned function ends it.
func (p *pair) start(t *testing.T) (stop func()) {
	p.restart()
	p.agent.cfg.Events = p.heard
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	p.worker.Go(func() { done <- p.agent.Run(ctx) })
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// hops are the gateways that the worker's route to east leads to.
func (p *pair) hops() string {
	out, _ := p.worker.Try("ip", "route", "show", "10.1.0.0/16", "table", "7474") // there may be no table yet
	var all []string
	for name, address := range map[string]string{"g1": "192.0.2.11", "g2": "192.0.2.12"} {
		if strings.Contains(out, "via "+address+" ") {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// expect asks from every address of the pod, so that the flows spread.
func (p *pair) expect(t *testing.T, when string) {
	t.Helper()
	for i := range 16 {
		source := fmt.Sprintf("10.2.1.%d", 20+i)
		var answer string
		var err error
		p.pod.Do(func() { answer, err = askFrom(source, "10.1.0.5:8080") })
		if err != nil || answer != "east "+source {
			t.Errorf("%s, from %s: %q, %v", when, source, answer, err)
		}
	}
}

// TestTwoGateways: a question may go by one gateway and its answer by the other, and what comes for a
// pod of a gateway by its sibling arrives. Without the address of the VXLAN device it does not.
func TestTwoGateways(t *testing.T) {
	for _, rpFilter := range []string{"1", "2"} {
		t.Run("rp_filter "+rpFilter, func(t *testing.T) {
			p := newPair(t, rpFilter)
			p.start(t)
			eventually(t, "the worker's route", p.hops, "g1 g2")
			for _, g := range []*netns.Namespace{p.g1, p.g2} {
				g.Run("nft", "add table inet count; add chain inet count fwd0 { type filter hook forward priority 0; };"+
					"add rule inet count fwd0 iifname tombolo-vx ip daddr 10.1.0.5 counter")
			}
			for _, gateway := range []string{"g1", "g2"} {
				p.answerBy(gateway)
				p.expect(t, "answers by "+gateway)
			}
			for _, g := range []*netns.Namespace{p.g1, p.g2} {
				if got := g.Run("nft", "list", "table", "inet", "count"); strings.Contains(got, "packets 0 ") {
					t.Errorf("a gateway gets no flows: %s", got)
				}
			}
			p.answerBy("g1")
			if answer, err := p.east.Ask("tcp", "10.2.12.5:8080"); err != nil || answer != "pod2 10.1.0.5" {
				t.Errorf("by g1 to a pod of g2: %q, %v", answer, err)
			}
			p.g2.Run("ip", "address", "flush", "dev", vxlan.Name)
			if answer, err := p.east.Ask("tcp", "10.2.12.5:8080"); err == nil {
				t.Errorf("by g1 to a pod of g2, whose VXLAN device has no address: %q; this test shows nothing", answer)
			}
		})
	}
}

// TestFailover: a gateway that cannot be reached gets no flows within a second, though the API server
// is away, and its flows go on by the other. It comes back. If none can be reached, all are kept.
func TestFailover(t *testing.T) {
	p := newPair(t, "1")
	p.start(t)
	p.answerBy("g2")
	eventually(t, "the worker's route", p.hops, "g1 g2")
	eventually(t, "the gateways' answers", func() string { return p.gateways(t) }, "g1 alive used, g2 alive used")
	p.away.Store(true)
	cut := func(what, want string, cut ...string) {
		t.Helper()
		for _, name := range cut {
			p.wire.Cut(p.ports[name])
		}
		begin := time.Now()
		eventually(t, what, p.hops, want)
		took := time.Since(begin)
		t.Logf("%s: the route followed after %s", what, took.Round(time.Millisecond))
		if took > 3*time.Second { // about half a second on a quiet machine
			t.Errorf("%s: the route took %s", what, took)
		}
	}
	cut("g1 is cut off", "g2", "g1")
	p.expect(t, "without g1")
	p.away.Store(false)
	eventually(t, "the gateways' answers", func() string { return p.gateways(t) }, "g1 dead, g2 alive used")
	eventually(t, "the condition names it", func() string {
		return fmt.Sprint(strings.Contains(p.condition(), "do not answer this node get no flows: g1"))
	}, "true")
	p.wire.Heal(p.ports["g1"])
	eventually(t, "g1 is back", p.hops, "g1 g2")
	p.expect(t, "with both again")
	p.away.Store(true)
	for _, name := range []string{"g1", "g2"} {
		p.wire.Cut(p.ports[name])
	}
	p.away.Store(false)
	eventually(t, "the condition without gateways", func() string { return strings.Join(strings.Fields(p.condition())[:2], " ") }, "False NoLiveGateway")
	if got := p.hops(); got != "g1 g2" {
		t.Errorf("no gateway answers, and the route leads to %q", got)
	}
	if err := p.agent.Ready(); err != nil {
		t.Errorf("the agent itself is not ready: %v", err)
	}
	for _, name := range []string{"g1", "g2"} {
		p.wire.Heal(p.ports[name])
	}
	eventually(t, "the condition with gateways again", func() string { return strings.Fields(p.condition())[0] }, "True")
	eventually(t, "the gateways' answers", func() string { return p.gateways(t) }, "g1 alive used, g2 alive used")
	p.expect(t, "after all")
	p.heard.mu.Lock()
	defer p.heard.mu.Unlock()
	for _, want := range []string{"Warning GatewayLost worker: gateway g1 does not answer", "Normal GatewayBack worker: gateway g1 answers again"} {
		if !slices.ContainsFunc(p.heard.told, func(event string) bool { return strings.HasPrefix(event, want) }) {
			t.Errorf("no event %q among %v", want, p.heard.told)
		}
	}
}

// gateways is what the agent says of them.
func (p *pair) gateways(t *testing.T) string {
	var words []string
	if err := p.agent.loop.Ask(t.Context(), func() {
		for _, e := range p.agent.gateways.verdicts.explain(p.agent.gateways.in, p.agent.planner.network) {
			said := e.Name + " " + e.Answers
			if e.Used {
				said += " used"
			}
			words = append(words, said)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(words, ", ")
}

// TestRestartWithADeadGateway: a new agent does not lead flows to the gateway that its predecessor had
// left.
func TestRestartWithADeadGateway(t *testing.T) {
	p := newPair(t, "1")
	stop := p.start(t)
	p.answerBy("g2")
	eventually(t, "the worker's route", p.hops, "g1 g2")
	eventually(t, "the gateways' answers", func() string { return p.gateways(t) }, "g1 alive used, g2 alive used")
	p.wire.Cut(p.ports["g1"])
	eventually(t, "g1 is cut off", p.hops, "g2")
	stop()
	log := t.TempDir() + "/routes"
	p.worker.Start("sh", "-c", "stdbuf -oL ip monitor route > "+log)
	eventually(t, "the monitor", func() string {
		p.worker.Run("ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.12", "table", "99")
		p.worker.Run("ip", "route", "del", "203.0.113.0/24", "table", "99")
		return fmt.Sprint(strings.Contains(p.worker.Run("cat", log), "203.0.113.0/24"))
	}, "true")
	p.start(t)
	eventually(t, "the gateways' answers", func() string { return p.gateways(t) }, "g1 unknown, g2 alive used")
	time.Sleep(2 * time.Second) // time enough for a mistake
	if got := p.worker.Run("cat", log); strings.Contains(got, "10.1.0.0/16") {
		t.Errorf("the new agent changed the route:\n%s", got)
	}
	p.expect(t, "after the restart")
	p.wire.Heal(p.ports["g1"])
	eventually(t, "g1 is back", p.hops, "g1 g2")
}

// askFrom asks a server made by Serve from one of several addresses. It does not wait long: many who ask
// should get no answer.
func askFrom(source, address string) (string, error) {
	dialer := net.Dialer{Timeout: 3 * time.Second, LocalAddr: &net.TCPAddr{IP: netip.MustParseAddr(source).AsSlice()}}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return askOn(conn, "tcp", 3*time.Second)
}
