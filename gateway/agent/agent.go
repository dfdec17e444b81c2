package agent

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/keyfile"
	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
	"github.com/tombolo-net/tombolo/internal/node"
)

const (
	// resync is how often a pass runs when nothing happened: it finds what no event told.
	resync = 30 * time.Second
	// repair is how often the agent looks whether somebody has changed its nftables tables: one netlink
	// request each.
	repair = time.Second
	// lookDropped is how often the agent looks what the filter on the way in has dropped.
	lookDropped = 5 * time.Second
	// settle is how long a pass waits for the events that come with the first one.
	settle = 10 * time.Millisecond
	// retryFirst and retryLast bound the wait after a pass with an error; it doubles from one to
	// the other.
	retryFirst = 500 * time.Millisecond
	retryLast  = 30 * time.Second
)

// Config is what an Agent is made of.
type Config struct {
	// Client reads from caches and writes to this cluster's API server.
	Client client.Client // required
	// Secrets reads the Secret with the keys of older versions, not from a cache: the agent may not
	// watch Secrets.
	Secrets client.Reader // required
	// Key is the file with this gateway's private key.
	Key keyFile // required
	// Kernel of this node.
	Kernel Kernel // required
	// Registry takes the agent's metrics.
	Registry prometheus.Registerer // optional, default none
	// NodeName is the name of this node, and of its GatewayNode.
	NodeName string // required
	// Namespace is the operator's and the agents'.
	Namespace string // required
	// Events records events about other clusters.
	Events recorder // optional, default none
}

// recorder records events (client-go's events.EventRecorder). It does not send the API server those
// that come too often.
type recorder interface {
	Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any)
}

// Agent is the gateway on one node.
type Agent struct {
	cfg     Config
	metrics *metrics
	tunnels *node.Loop
	routes  *node.Loop
	status  *node.Loop
	lease   *node.Loop
	// repairs looks after the nftables table.
	repairs *node.Loop
	guard   guard
	// ingress looks after the filter on the way in.
	ingress   *node.Loop
	admission admission
	// dropped is used by the ingress loop only.
	dropped watchDropped
	// prober is used by the tunnels loop only, its statuses by all.
	prober      proberSlot
	routeWriter routeWriter
	// candidates are used by the tunnels loop only.
	candidates candidates
	// applied is what the last pass has made of the devices; nil if that is not known. The tunnels loop
	// uses it only.
	applied *wireguard.Config
	// noIPv6 is why this node has no IPv6; empty if it has. The tunnels loop uses it only.
	noIPv6 string
	// base is the base port that all devices got; 0 if that is not known. The tunnels loop uses it
	// only.
	base v1alpha1.Port
	// stopping is true when this agent is about to end, settled when it knows how its first links are.
	stopping, settled atomic.Bool
	// leaving is true when the node is no gateway any more, and others have left it.
	leaving atomic.Bool
	// unlabelled is since when the node lacks the label. The tunnels loop uses it only.
	unlabelled time.Time
	// keySettled is true when the key is in its file and nowhere else; toldOfKey when an event said
	// that the file was damaged. The status loop uses them only.
	keySettled, toldOfKey bool

	// mu guards what follows.
	mu sync.Mutex
	// key is nil until the status loop has read or made it.
	key *wireguard.PrivateKey
	// result of the last pass over the tunnels; nil before the first.
	result *tunnelResult
}

// tunnelResult is what a pass over the tunnels found. It is not changed once it is set.
type tunnelResult struct {
	// planned is false while there is nothing to plan from.
	planned bool
	plan    plan.Tunnels
	// pending says what is missing, if nothing is planned.
	pending string
	// err of the pass.
	err error
	// port is the base port at which others reach the devices; 0 if they have not got it.
	port v1alpha1.Port
	// statuses of the links by linkName, just after the routes were made from them.
	statuses map[string]probe.Status
	// alive are the links that have a WireGuard session.
	alive map[plan.LinkID]bool
	// userspace says why this process serves the devices; empty if the kernel does.
	userspace string
}

// New returns an Agent that does nothing yet.
func New(cfg Config) *Agent {
	timing := node.Timing{Tick: resync, Settle: settle, Backoff: node.Backoff{First: retryFirst, Last: retryLast}}
	often := func() node.Timing {
		t := node.Timing{Tick: repair, Backoff: timing.Backoff}
		if cfg.Kernel.Alarm != nil {
			t.Alarm = cfg.Kernel.Alarm()
		}
		return t
	}
	a := &Agent{
		cfg: cfg, metrics: newMetrics(cfg.Registry, cfg.Kernel.Traffic), routeWriter: routeWriter{kernel: cfg.Kernel.Routes},
	}
	a.tunnels = node.NewLoop("tunnels", timing, func(ctx context.Context, now time.Time, _ node.Cause) error {
		return a.tunnelPass(ctx, now)
	})
	at := timing
	at.Settle = 0 // a link that is down loses packets
	a.routes = node.NewLoop("routes", at, func(ctx context.Context, _ time.Time, cause node.Cause) error {
		if cause != node.Marked {
			return nil // the tunnels loop looks for what no event told
		}
		return a.routePass(ctx)
	})
	a.status = node.NewLoop("status", timing, func(ctx context.Context, _ time.Time, _ node.Cause) error {
		return a.statusPass(ctx)
	})
	a.guard = guard{metrics: a.metrics, table: cfg.Kernel.Table, mended: a.mended}
	a.repairs = node.NewLoop("nftables", often(), func(ctx context.Context, now time.Time, _ node.Cause) error {
		changed, err := a.guard.repair(ctx, now)
		if changed {
			a.status.Mark()
		}
		return err
	})
	a.admission.table = cfg.Kernel.Ingress
	a.admission.marks.network()
	if cfg.Registry != nil {
		cfg.Registry.MustRegister(newDroppedCollector(cfg.Kernel.Ingress))
	}
	a.ingress = node.NewLoop("ingress", often(), func(ctx context.Context, now time.Time, cause node.Cause) error {
		err := a.ingressPass(ctx)
		if cause == node.Ticked && now.Sub(a.dropped.looked) >= lookDropped {
			a.dropped.looked = now
			err = errors.Join(err, a.reportDropped(ctx, now))
		}
		return err
	})
	a.lease = a.newLeaseLoop()
	return a
}

// Changed says that an object or the kernel changed. It never blocks.
func (a *Agent) Changed() {
	a.admission.marks.network()
	a.ingress.Mark()
	a.tunnels.Mark()
	a.status.Mark()
}

// Run runs the loops until ctx ends, and leaves the kernel as it is: traffic goes on without the
// agent. Before it returns, which then takes up to leaveWrite, others are told to leave this
// gateway. Only userspace devices end with it, after the loops.
func (a *Agent) Run(ctx context.Context) error {
	var serving, loops errgroup.Group
	servingCtx, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	serving.Go(func() error { return a.cfg.Kernel.Tunnels.Run(servingCtx) })
	loopsCtx, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	loops.Go(func() error { return a.runLoops(loopsCtx) })
	<-ctx.Done()
	a.leave(loopsCtx)
	stopLoops()
	err := loops.Wait()
	stopServing()
	return errors.Join(err, serving.Wait())
}

func (a *Agent) runLoops(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { a.ingress.Run(ctx); return nil })
	group.Go(func() error { a.tunnels.Run(ctx); return nil })
	group.Go(func() error { a.routes.Run(ctx); return nil })
	group.Go(func() error { a.status.Run(ctx); return nil })
	group.Go(func() error { a.repairs.Run(ctx); return nil })
	group.Go(func() error { a.lease.Run(ctx); return nil })
	err := group.Wait()
	a.prober.stop()
	return err
}

// Healthy returns an error if a pass over the tunnels does not end: the agent should be restarted.
func (a *Agent) Healthy() error { return a.tunnels.Healthy() }

// Ready is nil if the last pass over the tunnels made the kernel what it should be.
func (a *Agent) Ready() error {
	r := a.lastResult()
	switch {
	case r == nil:
		return errors.New("no pass yet: waiting for this cluster's API server and for the gateway's key")
	case r.err != nil:
		return r.err
	case r.pending != "":
		return errors.New(r.pending)
	}
	return nil
}

// lastResult is nil before the first pass. That firewalls drop what must pass is an error of a pass
// that has no other.
func (a *Agent) lastResult() *tunnelResult {
	dropping := a.guard.dropping()
	a.mu.Lock()
	defer a.mu.Unlock()
	if dropping == nil || a.result == nil || a.result.err != nil || !a.result.planned {
		return a.result
	}
	r := *a.result
	r.err = dropping
	return &r
}

// setResult remembers the result; the status loop writes what is new in it.
func (a *Agent) setResult(r *tunnelResult) {
	a.mu.Lock()
	a.result = r
	a.mu.Unlock()
	a.status.Mark()
}

func (a *Agent) privateKey() (wireguard.PrivateKey, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.key == nil {
		return wireguard.PrivateKey{}, false
	}
	return *a.key, true
}

// setKey remembers the key; a new one is reason for a pass over the tunnels.
func (a *Agent) setKey(key wireguard.PrivateKey) {
	a.mu.Lock()
	a.key = &key
	a.mu.Unlock()
	a.tunnels.Mark()
}

// Cleanup removes everything that a gateway has made on the node, and nothing else. It needs no API
// server. It removes the rule first, so that no packet meets a table that is half empty, and the
// nftables tables when nothing passes through any more. The key file goes last.
func Cleanup(ctx context.Context, kernel Kernel, key keyfile.File) error {
	writer := routeWriter{kernel: kernel.Routes}
	removed, _, err := writer.sync(ctx, nil, nil)
	if err != nil {
		return err
	}
	tunnels, err := kernel.Tunnels.Sync(ctx, wireguard.Config{})
	if err != nil {
		return err
	}
	device, err := kernel.Handover.Read(ctx)
	if err != nil {
		return err
	}
	if _, err := kernel.Handover.Apply(ctx, vxlan.Diff(device, vxlan.Config{})); err != nil {
		return err
	}
	for _, t := range []table{kernel.Table, kernel.Ingress} {
		if _, err := t.Sync(ctx, firewall.Config{}); err != nil {
			return err
		}
	}
	if err := key.Remove(); err != nil {
		return err
	}
	logr.FromContextOrDiscard(ctx).Info("removed what the gateway had made", "routes", len(removed.DeleteRoutes),
		"rules", len(removed.DeleteRules), "devices", tunnels.Remove)
	return nil
}
