package agent

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/go-logr/logr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/transit"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// tunnelPass makes the kernel match the caches. It does not talk to the API server.
func (a *Agent) tunnelPass(ctx context.Context, begin time.Time) error {
	key, ok := a.privateKey()
	if !ok {
		return nil // the status loop gets it, and asks for a pass
	}
	r, err := a.syncTunnels(ctx, key)
	r.err = err
	a.settle(&r, time.Now())
	a.setResult(&r)
	a.metrics.pass(time.Since(begin), err)
	return err
}

// syncTunnels returns what it found before an error, too.
func (a *Agent) syncTunnels(ctx context.Context, key wireguard.PrivateKey) (tunnelResult, error) {
	o, err := a.readObjects(ctx)
	if err != nil {
		return tunnelResult{}, err
	}
	a.noteDraining(o.node)
	a.noteLabel(o.node, time.Now())
	userspace, err := a.cfg.Kernel.Tunnels.Check(o.wireGuardMode())
	if err != nil {
		return tunnelResult{}, err
	}
	if o.clusterSet == nil {
		a.prober.stop()
		a.metrics.links.set(nil, nil)
		return tunnelResult{pending: "this cluster has no ClusterSet"}, a.removeAll(ctx)
	}
	// What is there stays while something is missing: an object that was made again is no reason to
	// cut tunnels.
	if pending := o.pending(); pending != "" {
		return tunnelResult{pending: pending}, nil
	}
	in := o.input(key)
	in.Endpoints = a.candidates.endpoints()
	in.Userspace = userspace
	in.NoIPv6 = a.cfg.Kernel.Host.IPv6Off()
	a.noteIPv6(ctx, in.NoIPv6)
	in.Underlay = clusterset.UsableAddresses(in.Underlay, in.NoIPv6 == "")
	if in.MTU, err = a.cfg.Kernel.Host.UnderlayMTU(ctx, in.Underlay); err != nil {
		return tunnelResult{}, err
	}
	var portErr error
	in.BasePort, portErr = a.basePort(ctx, in.BasePort)
	r, err := a.planAndApply(ctx, in, o.linksUp(a.cfg.NodeName))
	if userspace {
		r.userspace = o.userspaceReason()
	}
	return r, errors.Join(portErr, err)
}

// planAndApply applies the first half of the plan, then the second: the links to probe do not
// depend on which of them are up, the routes do.
func (a *Agent) planAndApply(ctx context.Context, in plan.Input, reportedUp map[plan.LinkID]bool) (tunnelResult, error) {
	wanted, err := plan.NewTunnels(in)
	if err != nil {
		return tunnelResult{}, err
	}
	if err := a.shut(ctx); err != nil {
		return tunnelResult{}, err
	}
	if err := a.leaveOldKey(ctx, in.PrivateKey, wanted); err != nil {
		return tunnelResult{}, err
	}
	// Before the devices: what passes must not have been tracked.
	tableErr := a.guard.want(ctx, transit.Table(wanted.WireGuard, probe.Port))
	// The devices before the probes: the socket for probes needs the address on them.
	tunnels, tunnelsErr := a.applyTunnels(ctx, wanted.WireGuard)
	tunnelsErr = a.explainPort(ctx, in.BasePort, wanted.WireGuard, tunnelsErr)
	a.base = 0
	if tunnelsErr == nil {
		a.base = in.BasePort
	}
	handover, handoverErr := a.handoverChange(ctx, wanted.Handover)
	handoverErr = errors.Join(handoverErr, a.applyHandover(ctx, handover.Additions()))
	probeErr := a.probeLinks(ctx, in, wanted, reportedUp)
	routesErr := a.applyRoutes(ctx, &wanted)
	handoverErr = errors.Join(handoverErr, a.applyHandover(ctx, handover.Removals()))
	statuses := a.prober.statuses()
	a.metrics.links.set(wanted.Links, statuses)
	if tunnelsErr == nil {
		a.candidates.schedule(a.candidates.judge(wanted.Links, tunnels, statuses, time.Now()), a.tunnels.Mark)
	}
	r := tunnelResult{planned: true, plan: wanted, statuses: statuses, alive: aliveLinks(tunnels, wanted.Links), port: a.base}
	return r, errors.Join(tableErr, tunnelsErr, handoverErr, probeErr, routesErr, a.cfg.Kernel.Host.CheckForwarding(in.CarriesIPv6()))
}

// leaveOldKey takes this node's own packets off the tunnels if their key is about to change: all
// sessions end with it. Where there are siblings, the dataplane's routes over them remain, until links
// with the new key are up. Others do not use the tunnels meanwhile if this gateway drains.
func (a *Agent) leaveOldKey(ctx context.Context, key wireguard.PrivateKey, wanted plan.Tunnels) error {
	if a.prober.runsFor(key, wanted.TunnelAddresses[0]) {
		return nil // the devices have it
	}
	have, err := a.cfg.Kernel.Tunnels.Read(ctx)
	if err != nil {
		return fmt.Errorf("looking for another key in use: %w", err)
	}
	if !slices.ContainsFunc(have.Devices, func(d wireguard.DeviceState) bool {
		return d.PrivateKey != key && d.PrivateKey != (wireguard.PrivateKey{})
	}) {
		return nil
	}
	a.prober.stop() // what it knows is of the old key's links
	return a.applyRoutes(ctx, &wanted)
}

// noteIPv6 logs whether the node has IPv6, when that has changed.
func (a *Agent) noteIPv6(ctx context.Context, why string) {
	switch log := logr.FromContextOrDiscard(ctx); {
	case why == a.noIPv6:
	case why != "":
		log.Info("IPv6 is left out", "why", why)
	default:
		log.Info("IPv6 is back", "was", a.noIPv6)
	}
	a.noIPv6 = why
}

// removeAll removes tunnels and routes, the routes first, so that none leads to a device that is
// gone.
func (a *Agent) removeAll(ctx context.Context) error {
	if err := a.applyRoutes(ctx, nil); err != nil {
		return err
	}
	if _, err := a.applyTunnels(ctx, wireguard.Config{}); err != nil {
		return err
	}
	handover, err := a.handoverChange(ctx, vxlan.Config{})
	if err != nil {
		return err
	}
	if err := a.applyHandover(ctx, handover); err != nil {
		return err
	}
	return a.guard.want(ctx, firewall.Config{})
}

// applyTunnels returns the devices after the change, by which planAndApply knows which sessions are
// alive.
func (a *Agent) applyTunnels(ctx context.Context, want wireguard.Config) (wireguard.State, error) {
	applied := a.applied
	a.applied = nil
	change, err := a.cfg.Kernel.Tunnels.Sync(ctx, want)
	if !change.Empty() {
		a.metrics.changes.WithLabelValues(string(partTunnels)).Inc()
		logr.FromContextOrDiscard(ctx).Info("changed WireGuard devices", "devices", describeTunnels(change), "removed", change.Remove)
	}
	if err != nil {
		return wireguard.State{}, err
	}
	a.applied = &want
	if change.ChangesLinks() {
		a.routeWriter.forget()
	}
	if others := change.WithoutEndpoints(); applied != nil && reflect.DeepEqual(*applied, want) && !others.Empty() {
		a.mended(ctx, partTunnels, append(describeTunnels(others), others.Remove...)...)
	}
	return a.cfg.Kernel.Tunnels.Read(ctx)
}

// probeLinks makes the prober probe the plan's links. A link that was up when the agent ended, and
// that the kernel's routes still use when it starts, counts as up until probes show otherwise: a
// restart interrupts no flow.
func (a *Agent) probeLinks(ctx context.Context, in plan.Input, wanted plan.Tunnels, reportedUp map[plan.LinkID]bool) error {
	if a.prober.runsFor(in.PrivateKey, wanted.TunnelAddresses[0]) {
		return a.prober.setPeers(wanted, nil, route.Config{})
	}
	routes, err := a.cfg.Kernel.Routes.Read(ctx)
	if err != nil {
		return fmt.Errorf("reading the routes in use: %w", err)
	}
	if carries(routes) {
		a.settled.Store(true) // an agent before this one knew how the links are
	}
	if len(wanted.Links)+len(wanted.Siblings) == 0 {
		a.prober.stop()
		return nil
	}
	conn, err := a.cfg.Kernel.Host.Listen(ctx, wanted.TunnelAddresses[0])
	if err != nil {
		return fmt.Errorf("opening the socket for probes: %w", err)
	}
	p := probe.New(probe.Config{PrivateKey: in.PrivateKey, Conn: conn, OnChange: a.routes.Mark})
	a.prober.start(ctx, p, in.PrivateKey, wanted.TunnelAddresses[0])
	return a.prober.setPeers(wanted, linksInUse(routes, wanted, reportedUp), routes)
}

// carries reports whether the routes lead to some cluster.
func carries(routes route.Config) bool {
	return slices.ContainsFunc(routes.Routes, func(r route.Route) bool { return r.Type == route.Unicast && !r.Destination.IsSingleIP() })
}

// linksInUse are the links that were reported as up and that the kernel's routes send by: those of
// a cluster whose prefixes, more than the single address of the remote gateway, go to the link's
// device.
func linksInUse(have route.Config, wanted plan.Tunnels, reportedUp map[plan.LinkID]bool) map[plan.LinkID]bool {
	inUse := map[plan.LinkID]bool{}
	for _, link := range wanted.Links {
		peer, _ := peerOf(wanted.WireGuard, link)
		for _, r := range have.Routes {
			if r.Type == route.Unicast && !r.Destination.IsSingleIP() && slices.Contains(r.Links(), link.Device) &&
				slices.Contains(peer.AllowedIPs, r.Destination) {
				inUse[link.LinkID] = reportedUp[link.LinkID]
			}
		}
	}
	return inUse
}

// peerOf is the peer behind the link.
func peerOf(cfg wireguard.Config, link plan.Link) (wireguard.Peer, bool) {
	for _, d := range cfg.Devices {
		for _, p := range d.Peers {
			if d.Name == link.Device && p.PublicKey == link.PublicKey {
				return p, true
			}
		}
	}
	return wireguard.Peer{}, false
}

// aliveLinks are the links that have a WireGuard session.
func aliveLinks(have wireguard.State, links []plan.Link) map[plan.LinkID]bool {
	alive := map[plan.LinkID]bool{}
	for _, l := range links {
		device, _ := have.Device(l.Device)
		peer, _ := device.Peer(l.PublicKey)
		alive[l.LinkID] = peer.Alive
	}
	return alive
}

// linkName is the name of a link at the prober.
func linkName(id plan.LinkID) string { return string(id.Cluster) + "/" + id.Gateway }

// linksByStatus is how the links are, by their statuses: those that are up carry traffic.
// While the agent starts, those on which no probe was answered yet are new, for a while.
func linksByStatus(links []plan.Link, statuses map[string]probe.Status, starts bool, now time.Time) map[plan.LinkID]plan.LinkView {
	views := make(map[plan.LinkID]plan.LinkView, len(links))
	for _, l := range links {
		s := statuses[linkName(l.LinkID)]
		known := s.State == v1alpha1.LinkUp || s.State == v1alpha1.LinkDown || !s.Since.IsZero() && now.Sub(s.Since) >= settleTime
		views[l.LinkID] = plan.LinkView{Up: s.State == v1alpha1.LinkUp, Draining: s.Draining, New: starts && !known}
	}
	return views
}
