package agent

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// coalesce is how long the loop rests after a pass, so that events which come one after the other share one. The first
	// one after a rest is not kept waiting.
	coalesce = 2 * time.Millisecond
	// repairInterval is how often to look for what others did: kube-proxy may wipe the table.
	repairInterval = time.Second
	// auditInterval is how often all is compared, also that of whose changes the kernel tells.
	auditInterval = time.Minute
	// stuckAfter is how long a pass may take before the agent counts as dead.
	stuckAfter = time.Minute
)

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
	// Events are made with it.
	Events reporter // optional, default none
	// KubeProxy is where this node's kube-proxy tells its mode.
	KubeProxy KubeProxy // optional, default DefaultKubeProxy
}

// Agent is the dataplane on one node.
type Agent struct {
	cfg   Config
	dirty *dirty
	proxy *proxyWatch

	// waiting says what Watch waits for; nil if for nothing.
	waiting atomic.Pointer[string]

	// asked are questions that only the loop can answer.
	asked chan func()

	// node is used by the loop only.
	node *node
	// alive is when the loop last finished a round, in nanoseconds since 1970.
	alive atomic.Int64
	// problem is why the node is not ready; nil if it is.
	problem atomic.Pointer[string]
}

// New returns an Agent that does nothing yet.
func New(cfg Config) *Agent {
	if cfg.KubeProxy.Address == "" {
		cfg.KubeProxy.Address = DefaultKubeProxy
	}
	a := &Agent{cfg: cfg, dirty: newDirty(), asked: make(chan func()), node: &node{}}
	a.proxy = &proxyWatch{source: cfg.KubeProxy, changed: a.dirty.network}
	pending := "no pass yet"
	a.problem.Store(&pending)
	a.alive.Store(time.Now().UnixNano())
	return a
}

// Run works until ctx ends and leaves the kernel as it is. Nothing is done before Watch has returned.
func (a *Agent) Run(ctx context.Context) error {
	defer a.node.close()
	a.proxy.look(ctx)
	a.node.filter.Prepare() // while others read from the API server
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.proxy.run(ctx)
	}()
	defer func() { <-done }()
	stop, err := watchRoutes(func() { a.node.routesTouched.Store(true) })
	if err != nil {
		return err
	}
	defer stop()
	tick := time.NewTicker(repairInterval)
	defer tick.Stop()
	audited, passed := time.Now(), time.Time{}
	for {
		repair := none
		select {
		case <-ctx.Done():
			return nil
		case question := <-a.asked:
			question()
			continue
		case <-a.dirty.wake:
			if rest := coalesce - time.Since(passed); rest > 0 {
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(rest):
				}
			}
		case now := <-tick.C: // each look at the clock counts where it is a system call
			repair = services
			if now.Sub(audited) >= auditInterval {
				repair, audited = everything, now
			}
			for _, name := range a.node.due(now) {
				a.dirty.service(name)
			}
		}
		a.pass(ctx, repair)
		passed = time.Now()
		a.alive.Store(passed.UnixNano())
	}
}

// ask has the loop answer a question about the node.
func (a *Agent) ask(ctx context.Context, question func()) error {
	done := make(chan struct{})
	select {
	case a.asked <- func() { defer close(done); question() }:
		<-done
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Healthy is nil while the loop goes round.
func (a *Agent) Healthy() error {
	if since := time.Since(time.Unix(0, a.alive.Load())); since > stuckAfter {
		return fmt.Errorf("the loop has been in one pass for %s", since.Round(time.Second))
	}
	return nil
}

// Ready is nil if the last pass made the kernel what it should be.
func (a *Agent) Ready() error {
	if why := a.waiting.Load(); why != nil {
		return fmt.Errorf("waiting: %s", *why)
	}
	if why := a.problem.Load(); why != nil {
		return fmt.Errorf("%s", *why)
	}
	return nil
}

func (a *Agent) log(ctx context.Context) logr.Logger { return logr.FromContextOrDiscard(ctx) }
