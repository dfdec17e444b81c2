package agent

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/route"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// Kernel is this node's kernel, as the agent uses it. Node is the real one.
type Kernel interface {
	// Check tells whether tunnels can be made; the error names the remedy.
	Check() error
	// CheckForwarding tells whether the node forwards IPv4, and IPv6 too if asked; the error names the remedy.
	CheckForwarding(ipv6 bool) error
	// ReadTunnels and SyncTunnels are wireguard's Read and Sync.
	ReadTunnels(context.Context) (wireguard.State, error)
	SyncTunnels(context.Context, wireguard.Config) (wireguard.Change, error)
	// ReadRoutes and SyncRoutes are route's Read and Sync.
	ReadRoutes(context.Context) (route.State, error)
	SyncRoutes(context.Context, route.Config) (route.Change, error)
	// UnderlayMTU is the smallest MTU of the links that have these addresses.
	UnderlayMTU([]netip.Addr) (int, error)
	// Listen opens the socket for probes at this node's tunnel address.
	Listen(context.Context, netip.Addr) (probe.Conn, error)
}

// Config is what an Agent is made of.
type Config struct {
	// Client reads from caches and writes to this cluster's API server.
	Client client.Client // required
	// Secrets reads the Secret with the keys, not from a cache: the agent may not watch Secrets.
	Secrets client.Reader // required
	// Kernel of this node.
	Kernel Kernel // required
	// Metrics of this agent.
	Metrics *Metrics // required
	// NodeName is the name of this node, and of its GatewayNode.
	NodeName string // required
	// Namespace is the operator's and the agents'.
	Namespace string // required
}

// Agent is the gateway on one node.
type Agent struct {
	cfg     Config
	tunnels *runner
	status  *runner
	// prober is used by the loop of tunnels only.
	prober proberSlot

	// mu guards what follows.
	mu sync.Mutex
	// key is nil until the loop of status has read or made it.
	key *wireguard.PrivateKey
	// outcome of the last pass over the tunnels; nil before the first.
	outcome *outcome
}

// outcome is what a pass over the tunnels found. It is not changed once it is set.
type outcome struct {
	// planned is false while there is nothing to plan from.
	planned bool
	plan    plan.Config
	// pending says what is missing, if nothing is planned.
	pending string
	// err of the pass.
	err error
	// statuses of the links, by linkName, that the routes were made by: what is said of a link in the API is what the
	// kernel does.
	statuses map[string]probe.Status
	// alive are the links that have a WireGuard session.
	alive map[plan.LinkID]bool
}

// New returns an Agent that does nothing yet.
func New(cfg Config) *Agent {
	a := &Agent{cfg: cfg}
	a.tunnels = newRunner("tunnels", a.tunnelPass)
	a.status = newRunner("status", a.statusPass)
	return a
}

// Changed tells that an object or the kernel changed. It never blocks.
func (a *Agent) Changed() {
	a.tunnels.mark()
	a.status.mark()
}

// Run runs both loops until ctx ends, and leaves the kernel as it is: traffic goes on without the agent.
func (a *Agent) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { a.tunnels.run(ctx); return nil })
	group.Go(func() error { a.status.run(ctx); return nil })
	err := group.Wait()
	a.prober.stop()
	return err
}

// Ready is nil if the last pass over the tunnels made the kernel what it should be.
func (a *Agent) Ready() error {
	o := a.lastOutcome()
	switch {
	case o == nil:
		return fmt.Errorf("no pass yet: waiting for this cluster's API server and for the gateway's key")
	case o.err != nil:
		return o.err
	case o.pending != "":
		return fmt.Errorf("%s", o.pending)
	}
	return nil
}

func (a *Agent) lastOutcome() *outcome {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.outcome
}

func (a *Agent) privateKey() (wireguard.PrivateKey, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.key == nil {
		return wireguard.PrivateKey{}, false
	}
	return *a.key, true
}

// setKey remembers the key; a new one is reason for a pass.
func (a *Agent) setKey(key wireguard.PrivateKey) {
	a.mu.Lock()
	a.key = &key
	a.mu.Unlock()
	a.tunnels.mark()
}

// setOutcome remembers the outcome; the status loop writes what is new in it.
func (a *Agent) setOutcome(o *outcome) {
	a.mu.Lock()
	a.outcome = o
	a.mu.Unlock()
	a.status.mark()
}

// Cleanup removes from the node all that a gateway has made there, and nothing else. It needs no API server. The rule
// goes first, so that no packet meets a table that is half empty.
func Cleanup(ctx context.Context, kernel Kernel) error {
	log := logr.FromContextOrDiscard(ctx)
	routes, err := kernel.SyncRoutes(ctx, route.Config{})
	if err != nil {
		return err
	}
	tunnels, err := kernel.SyncTunnels(ctx, wireguard.Config{})
	if err != nil {
		return err
	}
	log.Info("removed what the gateway had made", "routes", len(routes.Remove), "rules", len(routes.RemoveRules)+len(routes.RemoveBypasses), "devices", tunnels.Remove)
	return nil
}
