package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// scope says what a pass compares with the kernel though nothing has changed.
type scope int

const (
	none scope = iota
	services
	everything
)

// pass brings the kernel in step with what has changed, repairs what the scope says, and reports.
func (a *Agent) pass(ctx context.Context, repair scope) {
	work, started := a.dirty.take()
	if !started {
		return
	}
	a.waiting.Store(nil)
	begin, busy := time.Now(), !work.empty()
	if repair > none && a.node.routesTouched.Load() {
		work.network = true // a CNI may have routed other pods to a node
	}
	if work.network {
		if err := a.planNetwork(ctx, &work); err != nil {
			a.dirty.putBack(work)
			a.node.problems.set("network", err)
		}
	}
	err := a.planServices(ctx, work, begin)
	a.node.problems.set("cache", err)
	if err != nil {
		a.dirty.putBack(work)
	} else if a.node.planned {
		a.node.recalled = nil // all has been planned once
	}
	if a.node.planned {
		a.syncKernel(ctx, repair)
	}
	a.report(ctx, busy || repair == everything)
	if busy {
		a.cfg.Metrics.passDuration.Observe(time.Since(begin).Seconds())
	}
}

// planNetwork plans the routes and this node's place anew. An input that must not be acted on leaves them as they were.
func (a *Agent) planNetwork(ctx context.Context, work *work) error {
	n := a.node
	n.problems.set("network", nil)
	n.problems.set("clusterset", nil)
	var set v1alpha1.ClusterSet
	err := a.cfg.Client.Get(ctx, client.ObjectKey{Name: v1alpha1.ClusterSetName}, &set)
	if apierrors.IsNotFound(err) {
		// The cluster has left the clusterset, or has not joined yet.
		n.problems.set("clusterset", errNoClusterSet)
		return a.adopt(ctx, plan.Network{}, plan.Place{}, work)
	}
	if err != nil {
		return fmt.Errorf("reading the ClusterSet: %w", err)
	}
	in, err := a.networkInput(ctx, &set)
	if err != nil {
		return err
	}
	var network plan.Network
	if err = accepted(&set); err == nil {
		network, err = plan.NewNetwork(in)
	}
	place := plan.NewPlace(in, network.VIPs)
	if err != nil {
		n.problems.set("clusterset", err)
		if !n.planned {
			return nil
		}
		// All stays as it is, but for the clusters that come and go.
		network = n.network
		place = n.place.WithRemotes(in.Remotes, in.Gateways)
	} else {
		n.asked, n.counters = set.Spec.Dataplane.Backend, set.Spec.Dataplane.Counters
	}
	return a.adopt(ctx, network, place, work)
}

// adopt makes the plan the one to follow; all services are planned again if their place changed.
func (a *Agent) adopt(ctx context.Context, network plan.Network, place plan.Place, work *work) error {
	n := a.node
	if !n.planned {
		// What an earlier life of this agent served is ours, also if the VIP CIDR has changed since.
		have, err := route.Read(ctx)
		if err != nil {
			return err
		}
		n.ownVIPs(have.VIPs()...)
		earlier := newIPVSBackend(n.owned)
		defer earlier.close()
		n.recalled = earlier.recall(ctx)
	}
	if !n.planned || !n.place.Equal(place) {
		work.all = true
	}
	n.setNetwork(network)
	n.place, n.planned = place, true
	return nil
}

func (a *Agent) networkInput(ctx context.Context, set *v1alpha1.ClusterSet) (plan.NetworkInput, error) {
	in := plan.NetworkInput{Node: a.cfg.NodeName, ClusterSet: set}
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
	routed, err := route.Routed(ctx)
	if err != nil {
		return plan.NetworkInput{}, err
	}
	in.Routed = routed
	for _, node := range in.Nodes {
		if node.Name != a.cfg.NodeName {
			continue
		}
		mtu, err := route.UnderlayMTU(plan.InternalIPs(node))
		if err != nil {
			return plan.NetworkInput{}, err
		}
		in.UnderlayMTU = mtu
	}
	return in, nil
}

func pointers[T any](items []T) []*T {
	all := make([]*T, len(items))
	for i := range items {
		all[i] = &items[i]
	}
	return all
}

// planServices plans the ServiceImports that may have changed.
func (a *Agent) planServices(ctx context.Context, work work, now time.Time) error {
	if !a.node.planned {
		return nil // their place is not known; when it is, all of them will be planned
	}
	from, names, err := a.toPlan(ctx, work)
	if err != nil {
		return err
	}
	a.node.grow(len(names))
	for name := range names {
		in := a.inputOf(from, name, now)
		var planned plan.Output
		if in.Import != nil {
			planned = plan.Services(in)
		}
		a.node.take(name, planned)
		a.node.skips.take(name, planned)
	}
	return nil
}

// listShare is how many ServiceImports are looked up one by one at most, as one part in so many of all: to list all costs
// as much. fewNames are looked up always.
const fewNames, listShare = 16, 16

// toPlan are the names of the ServiceImports that are to be planned, with what they are planned from.
func (a *Agent) toPlan(ctx context.Context, work work) (objects, map[types.NamespacedName]bool, error) {
	if !work.all && len(work.services) <= max(fewNames, len(a.node.wanted)/listShare) {
		some, err := a.objectsOf(ctx, work.services)
		return some, work.services, err
	}
	all, err := a.allObjects(ctx)
	if err != nil || !work.all {
		return all, work.services, err
	}
	names := make(map[types.NamespacedName]bool, len(all.imports))
	for name := range all.imports {
		names[name] = true
	}
	for _, name := range a.node.table.Names() { // some may be gone
		names[name] = true
	}
	maps.Copy(names, work.services)
	return all, names, nil
}

// inputOf is what the plan for a ServiceImport follows from; its Import is nil if there is nothing to plan.
func (a *Agent) inputOf(from objects, name types.NamespacedName, now time.Time) plan.Input {
	si := from.imports[name]
	if si == nil || !clusterset.Served(si) {
		return plan.Input{}
	}
	return plan.Input{
		Import: si, Slices: from.slices[name], Policy: clusterset.PolicyFor(si, from.policies[name]),
		Place: a.node.place, Now: now, Memory: a.node.remembered(si),
	}
}

// syncKernel brings the parts of the kernel in step, services first: until they are there the filter refuses their
// ports, and until the routes are there nothing comes.
func (a *Agent) syncKernel(ctx context.Context, repair scope) {
	n := a.node
	if repair == everything || repair > none && n.noIPVS != nil || n.serving == nil { // a module may be loaded later, but not with every event
		n.noIPVS = ipvs.Available()
	}
	n.verdict = a.proxy.verdict(n.asked, n.place.VIPs, n.noIPVS)
	n.problems.set("backend", n.verdict.refusal)
	if n.verdict.refusal == nil {
		n.serve()
		a.part(ctx, "services", n.servicesDue(ctx, repair), func(ctx context.Context) (outcome, error) {
			return n.syncServices(ctx, repair)
		})
	} else {
		n.problems.set("services", nil)
	}
	a.part(ctx, "filter", n.filterDue(repair), n.syncFilter)
	a.part(ctx, "routes", n.routesDue(repair), n.syncRoutes)
	a.part(ctx, "sysctls", n.sysctlsDue(repair), n.syncSysctls)
}

// part runs one part of the pass.
func (a *Agent) part(ctx context.Context, name string, due bool, do func(context.Context) (outcome, error)) {
	if !due {
		return
	}
	m := a.cfg.Metrics
	begin := time.Now()
	did, err := do(ctx)
	m.syncDuration.WithLabelValues(name).Observe(time.Since(begin).Seconds())
	if did.written > 0 {
		m.kernelWrites.WithLabelValues(name).Add(float64(did.written))
		a.log(ctx).Info("kernel changed", "part", name, "objects", did.written, "mended", len(did.mended), "elapsed", time.Since(begin).String())
	}
	if len(did.mended) > 0 {
		m.repairs.WithLabelValues(name).Inc()
		a.event(corev1.EventTypeWarning, reasonRepaired, repairing[name], "mended what others had changed: "+someOf(did.mended))
	}
	if err != nil && !did.idle {
		m.syncErrors.WithLabelValues(name).Inc()
	}
	if fresh := a.node.problems.set(name, err); err != nil && fresh {
		a.log(ctx).Error(err, "kernel not in step", "part", name)
	}
}

var (
	errNoClusterSet = fmt.Errorf("there is no ClusterSet named %q: this cluster is in no clusterset", v1alpha1.ClusterSetName)
	errNoVerdict    = errors.New("the operator has not said yet whether the ClusterSet is accepted: is it running?")
)

// notAccepted is a ClusterSet that the operator refused.
type notAccepted struct{ reason, message string }

// Error is the operator's own reason and message.
func (e notAccepted) Error() string {
	return fmt.Sprintf("the ClusterSet is not accepted (%s): %s", e.reason, e.message)
}

// accepted is nil if the ClusterSet may be acted on. Only the operator can see what a VIP CIDR might take away, so its
// verdict on just this generation is waited for.
func accepted(set *v1alpha1.ClusterSet) error {
	c := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.ConditionAccepted)
	switch {
	case c == nil || c.ObservedGeneration < set.Generation:
		return errNoVerdict
	case c.Status != metav1.ConditionTrue:
		return notAccepted{reason: c.Reason, message: c.Message}
	}
	return nil
}
