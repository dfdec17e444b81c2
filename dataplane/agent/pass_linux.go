package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
	"github.com/tombolo-net/tombolo/internal/node"
)

// pass plans what has changed, brings the kernel in step, repairs as much as the cause says, and
// reports. It returns no error: each part tries again by itself what failed.
func (a *Agent) pass(ctx context.Context, now time.Time, cause node.Cause) error {
	propagating := a.propagation.take()
	work, started := a.marks.collect()
	if !started {
		return nil
	}
	if cause != node.Marked {
		for _, name := range a.planner.due(now) {
			work.add(name)
		}
	}
	busy := !work.empty()
	if cause != node.Marked && a.routes.touched.Load() || cause == node.Audited && a.planner.network.Gateway {
		work.network = true // a CNI may lead to other pods on a node, or to a node in another way
	}
	a.failover(ctx, now)
	a.plan(ctx, work, now)
	synced := a.planner.known && a.syncParts(ctx, now, cause)
	a.propagated(propagating)
	calmed := a.others.calmed(now)
	if changed := busy || calmed || cause == node.Audited; changed || synced || a.reported.unwritten() {
		a.report(ctx, now, changed)
	}
	if busy {
		a.cfg.Metrics.passDuration.Observe(time.Since(now).Seconds())
	}
	return nil
}

// propagated counts these changes, if the kernel is as planned.
func (a *Agent) propagated(changes []propagating) {
	if !a.planner.known || a.problems.first() != nil {
		a.propagation.failed(changes)
		return
	}
	a.cfg.Metrics.propagated(changes, time.Now())
}

// plan plans what is marked. What it could not plan is marked again.
func (a *Agent) plan(ctx context.Context, work work, now time.Time) {
	if work.network {
		all, err := a.planNetwork(ctx)
		work.all = work.all || all
		if err != nil {
			a.marks.restore(work)
		}
		a.problems.set("network", err)
	}
	err := a.planServices(ctx, work, now)
	a.problems.set("cache", err)
	if err != nil {
		a.marks.restore(work)
	} else if a.planner.known {
		a.planner.recalled = nil // all has been planned once
	}
}

// planNetwork plans the routes and this node's place again. It reports whether all services are to
// be planned again. An input that must not be acted on leaves the routes as they were.
func (a *Agent) planNetwork(ctx context.Context) (all bool, err error) {
	a.problems.set("clusterset", nil)
	var set v1alpha1.ClusterSet
	err = a.cfg.Client.Get(ctx, client.ObjectKey{Name: v1alpha1.ClusterSetName}, &set)
	if apierrors.IsNotFound(err) {
		// The cluster has left the clusterset, or has not joined yet.
		a.problems.set("clusterset", errNoClusterSet)
		a.gateways.ask(nil, 0)
		a.gateways.in = plan.NetworkInput{}
		a.podnet.want(a.gateways.in)
		return a.adopt(ctx, plan.Network{}, plan.Place{})
	}
	if err != nil {
		return false, fmt.Errorf("reading the ClusterSet: %w", err)
	}
	in, err := a.networkInput(ctx, &set)
	if err != nil {
		return false, err
	}
	a.podnet.want(in)
	var network plan.Network
	refused := accepted(&set)
	if refused == nil {
		network, refused = a.planRoutes(ctx, in)
	}
	a.problems.set("clusterset", refused)
	switch {
	case refused == nil:
		a.planner.options = set.Spec.Dataplane
		return a.adopt(ctx, network, plan.NewPlace(a.gateways.in, network.VIPs))
	case !a.planner.known:
		return false, nil
	}
	// All stays as it is, except for the clusters that come and go.
	a.gateways.look(&in)
	return a.adopt(ctx, a.planner.network, a.planner.place.WithRemotes(in.Remotes, in.Live))
}

// adopt makes the plan the one to follow. It reports whether all services are to be planned again.
func (a *Agent) adopt(ctx context.Context, network plan.Network, place plan.Place) (all bool, err error) {
	if !a.planner.known {
		// What an earlier life of this agent served is ours, also if the VIP CIDR has changed
		// since.
		have, err := route.DataplaneOwner().Read(ctx)
		if err != nil {
			return false, err
		}
		a.services.backend.Own(plan.LocalVIPs(have)...)
		a.routes.gate.recall(have, firewall.FilterTable)
		a.services.before, a.planner.recalled = a.services.backend.Recall(ctx)
		var self corev1.Node
		if err := a.cfg.Client.Get(ctx, client.ObjectKey{Name: a.cfg.NodeName}, &self); client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("reading node %s: %w", a.cfg.NodeName, err)
		}
		a.services.recall(&self)
	}
	a.services.backend.Own(network.VIPs...)
	a.filter.setNetwork(network)
	a.firewall.setNetwork(network)
	a.routes.want(network)
	a.flows.network = network
	a.gateways.left.want(network, a.gateways.in.ClusterSet != nil)
	return a.planner.adopt(network, place), nil
}

// networkInput reads what the plan of the network follows from.
func (a *Agent) networkInput(ctx context.Context, set *v1alpha1.ClusterSet) (in plan.NetworkInput, err error) {
	in = plan.NetworkInput{Node: a.cfg.NodeName, ClusterSet: set}
	var nodes corev1.NodeList
	var gateways v1alpha1.GatewayNodeList
	var remotes v1alpha1.RemoteClusterList
	if err := errors.Join(
		a.cfg.Client.List(ctx, &nodes),
		a.cfg.Client.List(ctx, &gateways, client.InNamespace(a.cfg.Namespace)),
		a.cfg.Client.List(ctx, &remotes),
	); err != nil {
		return plan.NetworkInput{}, fmt.Errorf("reading nodes, gateways and remote clusters: %w", err)
	}
	in.Nodes, in.Gateways, in.Remotes = pointers(nodes.Items), pointers(gateways.Items), pointers(remotes.Items)
	if in.Routed, err = route.ReadRouted(ctx); err != nil {
		return plan.NetworkInput{}, err
	}
	if in.Tunnels, err = vxlan.ReadEntries(ctx, linksOf(in.Routed)...); err != nil {
		return plan.NetworkInput{}, err
	}
	in.NoIPv6 = rtnl.IPv6Off(vxlan.Name)
	a.noteIPv6(ctx, in.NoIPv6)
	for _, node := range in.Nodes {
		if node.Name != a.cfg.NodeName {
			continue
		}
		mtu, err := rtnl.UnderlayMTU(ctx, clusterset.UsableAddresses(clusterset.InternalIPs(node), in.NoIPv6 == ""))
		if err != nil {
			return plan.NetworkInput{}, err
		}
		in.UnderlayMTU = mtu
	}
	return in, nil
}

// linksOf are the names of the devices that the next hops are on.
func linksOf(routed []route.Routed) []string {
	var names []string
	for _, r := range routed {
		names = append(names, r.Link)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// noteIPv6 logs whether the node has IPv6, when that has changed.
func (a *Agent) noteIPv6(ctx context.Context, why string) {
	switch log := a.log(ctx); {
	case why == a.planner.noIPv6:
	case why != "":
		log.Info("IPv6 is left out", "why", why)
	default:
		log.Info("IPv6 is back", "was", a.planner.noIPv6)
	}
	a.planner.noIPv6 = why
}

// planServices plans the ServiceImports that may have changed.
func (a *Agent) planServices(ctx context.Context, work work, now time.Time) error {
	if !a.planner.known {
		return nil // their place is not known; when it is, all of them will be planned
	}
	if !work.all && len(work.services) == 0 {
		return nil
	}
	from, names, err := a.toPlan(ctx, work)
	if err != nil {
		return err
	}
	if a.planner.grow(len(names)) {
		a.services.changed = make(backend.Changed, len(names))
	}
	for name := range names {
		in := a.planner.input(from, name, now)
		var planned plan.Output
		if in.Import != nil {
			planned = plan.Services(in)
		}
		replaced := a.planner.put(name, planned)
		a.services.replace(replaced)
		a.filter.replace(replaced)
		a.filter.putImport(name, plan.UDPOf(a.planner.place.Cluster, from.slices[name]), plan.ExternalOf(a.planner.place.Cluster, from.slices[name]))
		a.skips.put(name, planned)
	}
	return nil
}

// Up to one part in listShare of all ServiceImports are looked up one by one: to list all costs as
// much. Up to fewNames are always looked up.
const fewNames, listShare = 16, 16

// toPlan returns the names of the ServiceImports that are to be planned, with what they are planned
// from.
func (a *Agent) toPlan(ctx context.Context, work work) (objects, map[types.NamespacedName]bool, error) {
	if !work.all && len(work.services) <= max(fewNames, a.planner.table.Len()/listShare) {
		some, err := objectsOf(ctx, a.cfg.Client, work.services)
		return some, work.services, err
	}
	all, err := allObjects(ctx, a.cfg.Client)
	if err != nil || !work.all {
		return all, work.services, err
	}
	names := make(map[types.NamespacedName]bool, len(all.imports))
	for name := range all.imports {
		names[name] = true
	}
	for _, name := range a.planner.table.Names() { // some may be gone
		names[name] = true
	}
	maps.Copy(names, work.services)
	return all, names, nil
}

// serviceInput returns what the plan for one ServiceImport follows from; its Import is nil if there
// is nothing to plan.
func (a *Agent) serviceInput(ctx context.Context, name types.NamespacedName, now time.Time) (plan.Input, error) {
	found, err := objectsOf(ctx, a.cfg.Client, map[types.NamespacedName]bool{name: true})
	if err != nil {
		return plan.Input{}, err
	}
	return a.planner.input(found, name, now), nil
}
