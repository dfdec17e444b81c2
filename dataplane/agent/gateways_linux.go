package agent

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/liveness"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/node"
)

// firstAnswers is how long the first plan waits for the gateways' answers. What an earlier life of
// this agent left leads to the gateways that lived then, and nothing better is known before.
const firstAnswers = 250 * time.Millisecond

// gateways are what a node knows of the gateways of its cluster.
type gateways struct {
	// prober asks them; nil until Run.
	prober *liveness.Prober
	// changed is set when a verdict has changed.
	changed atomic.Bool

	// What follows is used by passes, and by questions between them.

	// in is what the routes were last planned from; the zero value if there is no plan.
	in plan.NetworkInput
	// verdicts are those that the routes follow, and reported those of the last report.
	verdicts, reported verdicts
	// failure is why a gateway cannot be asked; nil if all can.
	failure error
	// left is what a gateway agent left on this node.
	left *leftovers
}

// look takes the verdicts that there are by now into the input of the plan.
func (g *gateways) look(in *plan.NetworkInput) {
	if g.prober != nil {
		g.verdicts = g.prober.Verdicts()
	}
	in.Live = g.verdicts.live(in.Gateways, in.Node)
}

// ask asks these gateways from now on, in a cluster of that many nodes.
func (g *gateways) ask(probes []plan.Probe, nodes int) {
	if g.prober == nil {
		return
	}
	targets := make([]liveness.Target, 0, len(probes))
	for _, p := range probes {
		targets = append(targets, liveness.Target{Gateway: p.Gateway, Source: p.Source,
			Address: netip.AddrPortFrom(p.Target, plan.ProbePort)})
	}
	g.failure = g.prober.Watch(liveness.Interval(nodes), targets)
}

// planRoutes plans the network by what is known of the gateways, and asks those from now on that the
// plan names.
func (a *Agent) planRoutes(ctx context.Context, in plan.NetworkInput) (plan.Network, error) {
	g := &a.gateways
	g.look(&in)
	network, err := plan.NewNetwork(in)
	if err != nil {
		return network, err
	}
	g.ask(network.Probes, len(in.Nodes))
	if !a.planner.known && g.prober != nil && len(network.Probes) > 0 && ledBefore(ctx) {
		g.prober.Wait(ctx, firstAnswers)
		g.look(&in)
		network, err = plan.NewNetwork(in)
	}
	g.in = in
	return network, err
}

// ledBefore reports whether an earlier life of this agent led packets to gateways.
func ledBefore(ctx context.Context) bool {
	have, err := route.DataplaneOwner().Read(ctx)
	if err != nil {
		return false // adopt reads them, too, and says so
	}
	for _, r := range have.Routes {
		if r.Table == route.TableRemote {
			return true
		}
	}
	return false
}

// failover writes the routes at once when a gateway has died or come back. It plans them from what
// was read last. The plan that follows reads all again, and finds out what services follow from it.
func (a *Agent) failover(ctx context.Context, now time.Time) {
	g := &a.gateways
	if !g.changed.Swap(false) || g.in.ClusterSet == nil || !a.planner.known {
		return
	}
	begin, in := time.Now(), g.in
	g.look(&in)
	network, err := plan.NewNetwork(in)
	if err != nil {
		return // the plan that follows says so
	}
	g.in, a.planner.network = in, network
	a.routes.want(network)
	if a.routes.due(ctx, now, node.Marked) {
		a.syncPart(ctx, a.routes, now, node.Marked)
	}
	a.log(ctx).Info("gateways have changed", "used", network.Via, "silent", g.verdicts.silent(), "elapsed", time.Since(begin).String())
}

// verdictChanged asks for a pass that looks at the gateways first.
func (a *Agent) verdictChanged() {
	a.gateways.changed.Store(true)
	a.markNetwork()
}

// reportGateways sets the metric and makes an event for every gateway that has died or come back.
func (a *Agent) reportGateways() {
	g := &a.gateways
	a.cfg.Metrics.gatewayUp.Reset()
	for name, verdict := range g.verdicts {
		before := g.reported[name].State
		switch verdict.State {
		case liveness.Alive:
			a.cfg.Metrics.gatewayUp.WithLabelValues(name).Set(1)
			if before == liveness.Dead {
				a.tell(gatewayRef(a.cfg.Namespace, name), corev1.EventTypeNormal, reasonGatewayBack, "Probe",
					fmt.Sprintf("gateway %s answers again: flows to other clusters use %s", name, someOf(a.planner.network.Via)))
			}
		case liveness.Dead:
			a.cfg.Metrics.gatewayUp.WithLabelValues(name).Set(0)
			if before != liveness.Dead {
				a.warnAbout(gatewayRef(a.cfg.Namespace, name), reasonGatewayLost, "Probe", fmt.Sprintf(
					"gateway %s does not answer this node: flows to other clusters use %s", name, someOf(a.planner.network.Via)))
			}
		case liveness.Unknown:
		}
	}
	g.reported = g.verdicts
}

// gatewayRef returns as much of a GatewayNode as it takes to refer to it.
func gatewayRef(namespace, name string) *v1alpha1.GatewayNode {
	return &v1alpha1.GatewayNode{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "GatewayNode"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
	}
}
