package agent

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/liveness"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/node"
)

// repairInterval is how often a pass looks for what others did: kube-proxy may wipe the table.
const repairInterval = time.Second

// Config is what an Agent is made of.
type Config struct {
	// Client reads from the caches of NewCluster and writes to the API server.
	Client client.Client // required
	// NodeName is the name of this node.
	NodeName string // required
	// Namespace is the operator's, which holds the GatewayNodes.
	Namespace string // required
	// Metrics of this agent.
	Metrics *Metrics // required
	// Events records events about this node.
	Events recorder // optional, default none
	// KubeProxy is host:port of the metrics server of this node's kube-proxy, which says its mode.
	KubeProxy string // optional, default backend.DefaultKubeProxy
}

// Agent is the dataplane on one node.
type Agent struct {
	cfg   Config
	marks marks
	// propagation measures how long changes take; events and passes use it.
	propagation propagation
	loop        *node.Loop
	proxy       *backend.ProxyWatch
	// cluster is what Watch watches; nil before.
	cluster atomic.Pointer[node.Cluster]
	// begun is when the node has been ready for the first time.
	begun moment
	// problem is why the node is not ready; nil if it is.
	problem atomic.Pointer[string]

	// What follows is used by passes, and by questions between them.
	planner  *planner
	services *services
	filter   *filterTable
	routes   *routes
	sysctls  *sysctls
	firewall *hostFirewall
	flows    *flows
	podnet   podNetwork
	gateways gateways
	problems problems
	others   others
	skips    skips
	reported reported
}

// New returns an Agent that does nothing yet.
func New(cfg Config) *Agent {
	if cfg.KubeProxy == "" {
		cfg.KubeProxy = backend.DefaultKubeProxy
	}
	a := &Agent{cfg: cfg, planner: &planner{}, begun: newMoment(), podnet: podNetwork{retry: newRetry()}}
	writes := &nft.Writes{}
	a.services = newServices(&a.planner.table, writes)
	gate := &vipGate{}
	a.filter = newFilterTable(&a.planner.table, gate, writes)
	a.routes = newRoutes(gate)
	a.gateways.left = newLeftovers(a.routes)
	a.sysctls = &sysctls{services: a.services}
	a.firewall = newHostFirewall(a.services, writes)
	a.flows = newFlows(a.services, gate)
	a.loop = node.NewLoop("dataplane", node.Timing{
		Tick:  repairInterval,
		Audit: time.Minute,      // compares also those parts whose changes the kernel announces
		Rest:  time.Millisecond, // so that events which come one after the other share a pass
		Alarm: node.KernelAlarm(),
	}, a.pass)
	a.proxy = &backend.ProxyWatch{Address: cfg.KubeProxy, Changed: a.markNetwork}
	pending := "no pass yet"
	a.problem.Store(&pending)
	return a
}

// parts are the parts of the kernel in the order in which a pass brings them in step. Services come
// first: until they are there the filter refuses their ports, and until the routes are there no
// packet comes. What the filter guarded goes after the routes that led to it. The sysctls are
// IPVS's, which is known to serve only then. What a gateway left goes when the routes are there. Flows
// that began under other rules end when all rules are there.
func (a *Agent) parts() [9]part {
	return [...]part{a.services, a.filter, a.routes, filterAfterRoutes{a.filter}, a.gateways.left, a.sysctls, a.firewall, a.flows, &a.podnet}
}

// Run works until ctx ends, and leaves the kernel as it is. It does nothing to the kernel before
// Watch has read all there is.
func (a *Agent) Run(ctx context.Context) error {
	defer a.close()
	a.proxy.Ask(ctx)
	a.filter.table.Prepare() // while others read from the API server
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.proxy.Run(ctx)
	}()
	defer func() { <-done }()
	watch, err := rtnl.Subscribe()
	if err != nil {
		return err
	}
	if a.gateways.prober, err = liveness.New(a.verdictChanged); err != nil {
		return err
	}
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		a.gateways.prober.Run(ctx)
	}()
	defer func() { <-asked }()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if err := watch.Run(ctx, rtnl.Interest{}, func() { a.routes.touched.Store(true) }); err != nil {
			a.log(ctx).Error(err, "the kernel announces no more changes of routes: audits find them")
		}
	}()
	defer func() { <-watched }()
	gaveBack := make(chan struct{})
	go func() {
		defer close(gaveBack)
		a.giveBack(ctx)
	}()
	defer func() { <-gaveBack }()
	a.loop.Run(ctx)
	return nil
}

// Watch marks what events are about. It returns when all that is watched has been read once, or ctx
// ends. While the API server is away or lacks the CRDs it keeps trying, and Ready says what it
// waits for.
func (a *Agent) Watch(ctx context.Context, c *node.Cluster) error {
	a.cluster.Store(c)
	if err := c.Watch(ctx, observed{node.OnEvent(a.mark, alike), &a.propagation}); err != nil || ctx.Err() != nil {
		return err
	}
	a.start()
	return nil
}

// start lets passes work.
func (a *Agent) start() {
	a.marks.start()
	a.loop.Mark()
}

// mark asks for a pass that looks at what the object is about.
func (a *Agent) mark(o client.Object) {
	if a.marks.object(o) {
		a.loop.Mark()
	}
}

// markNetwork asks for a pass that looks at what all services depend on.
func (a *Agent) markNetwork() {
	if a.marks.network() {
		a.loop.Mark()
	}
}

// Healthy returns an error if the loop is stuck in a pass.
func (a *Agent) Healthy() error { return a.loop.Healthy() }

// Ready returns nil if the last pass made the kernel as planned.
func (a *Agent) Ready() error {
	if c := a.cluster.Load(); c != nil {
		if err := c.Ready(); err != nil {
			return err
		}
	}
	if why := a.problem.Load(); why != nil {
		return fmt.Errorf("%s", *why)
	}
	return nil
}

// close releases what this process holds; the kernel stays as it is.
func (a *Agent) close() {
	a.services.backend.Wait()
	a.services.backend.Close()
	a.sysctls.settings.Close()
}

func (a *Agent) log(ctx context.Context) logr.Logger { return logr.FromContextOrDiscard(ctx) }
