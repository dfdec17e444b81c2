package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/route"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// tunnelPass makes the kernel what the caches say. It does not talk to the API server.
func (a *Agent) tunnelPass(ctx context.Context) error {
	begin := time.Now()
	key, ok := a.privateKey()
	if !ok {
		return nil // the status loop gets it, and asks for a pass
	}
	o := &outcome{}
	o.err = a.syncTunnels(ctx, key, o)
	a.setOutcome(o)
	a.cfg.Metrics.pass(time.Since(begin), o.err)
	return o.err
}

func (a *Agent) syncTunnels(ctx context.Context, key wireguard.PrivateKey, o *outcome) error {
	if err := a.cfg.Kernel.Check(); err != nil {
		return err
	}
	v, err := a.observe(ctx)
	if err != nil {
		return err
	}
	if v.clusterSet == nil {
		o.pending = "this cluster has no ClusterSet"
		a.prober.stop()
		return a.apply(ctx, plan.Config{})
	}
	// What is there stays while something is missing: an object that was made anew is no reason to cut tunnels.
	if o.pending = v.pending(); o.pending != "" {
		return nil
	}
	in := v.input(key)
	if in.MTU, err = a.cfg.Kernel.UnderlayMTU(in.Underlay); err != nil {
		return err
	}
	return a.planAndApply(ctx, in, v.linksUp(a.cfg.NodeName), o)
}

// planAndApply plans twice: the links to probe do not depend on which of them are up, the routes do.
func (a *Agent) planAndApply(ctx context.Context, in plan.Input, reportedUp map[plan.LinkID]bool, o *outcome) error {
	wanted, err := plan.New(in)
	if err != nil {
		return err
	}
	// The devices first: the socket for probes needs the address on them.
	tunnels, tunnelsErr := a.applyTunnels(ctx, wanted.WireGuard)
	probeErr := a.probeLinks(ctx, in, wanted, reportedUp)
	o.statuses = a.prober.statuses()
	in.Usable = usableLinks(wanted.Links, o.statuses)
	if o.plan, err = plan.New(in); err != nil {
		return err
	}
	o.planned = true
	o.alive = aliveLinks(tunnels, o.plan.Links)
	a.cfg.Metrics.observe(o.plan.Links, tunnels, o.statuses)
	return errors.Join(tunnelsErr, probeErr, a.applyRoutes(ctx, o.plan.Routes), a.cfg.Kernel.CheckForwarding(carriesIPv6(in)))
}

// carriesIPv6 tells whether another cluster has IPv6 addresses beside those of the tunnels.
func carriesIPv6(in plan.Input) bool {
	return slices.ContainsFunc(in.Remotes, func(r plan.Remote) bool {
		return slices.ContainsFunc(r.CIDRs, func(c v1alpha1.CIDR) bool { return strings.Contains(string(c), ":") })
	})
}

// apply makes the kernel what the plan wants, routes first: it is for a plan that removes.
func (a *Agent) apply(ctx context.Context, wanted plan.Config) error {
	if err := a.applyRoutes(ctx, wanted.Routes); err != nil {
		return err
	}
	_, err := a.applyTunnels(ctx, wanted.WireGuard)
	return err
}

// applyTunnels returns the state before the change, which is good enough to tell which sessions are alive.
func (a *Agent) applyTunnels(ctx context.Context, want wireguard.Config) (wireguard.State, error) {
	change, err := a.cfg.Kernel.SyncTunnels(ctx, want)
	if !change.Empty() {
		a.cfg.Metrics.changes.WithLabelValues("wireguard").Inc()
		logr.FromContextOrDiscard(ctx).Info("changed WireGuard devices", "devices", describeTunnels(change), "removed", change.Remove)
	}
	if err != nil {
		return wireguard.State{}, err
	}
	return a.cfg.Kernel.ReadTunnels(ctx)
}

func (a *Agent) applyRoutes(ctx context.Context, want route.Config) error {
	change, err := a.cfg.Kernel.SyncRoutes(ctx, want)
	if !change.Empty() {
		a.cfg.Metrics.changes.WithLabelValues("route").Inc()
		logr.FromContextOrDiscard(ctx).Info("changed routes", "table", route.Table, "set", describeRoutes(change.Set),
			"removed", describeRoutes(change.Remove))
	}
	return err
}

// probeLinks makes the prober probe the plan's links. A link that was up when the agent ended, and that the kernel's
// routes still use when it starts, counts as up until probes tell otherwise: a restart interrupts no flow.
func (a *Agent) probeLinks(ctx context.Context, in plan.Input, wanted plan.Config, reportedUp map[plan.LinkID]bool) error {
	if a.prober.isFor(in.PrivateKey, wanted.TunnelAddresses[0]) {
		return a.prober.setLinks(wanted.Links, nil)
	}
	routes, err := a.cfg.Kernel.ReadRoutes(ctx)
	if err != nil {
		return fmt.Errorf("reading the routes in use: %w", err)
	}
	if len(wanted.WireGuard.Devices) == 0 {
		a.prober.stop()
		return nil
	}
	conn, err := a.cfg.Kernel.Listen(ctx, wanted.TunnelAddresses[0])
	if err != nil {
		return fmt.Errorf("opening the socket for probes: %w", err)
	}
	p := probe.New(probe.Config{PrivateKey: in.PrivateKey, Conn: conn, OnChange: a.Changed})
	a.prober.start(ctx, p, in.PrivateKey, wanted.TunnelAddresses[0])
	return a.prober.setLinks(wanted.Links, linksInUse(routes, wanted, reportedUp))
}

// linksInUse are the links that were reported as up and that the kernel's routes send by: those of a cluster whose
// prefixes, more than the single address of the remote gateway, go to the link's device.
func linksInUse(have route.State, wanted plan.Config, reportedUp map[plan.LinkID]bool) map[plan.LinkID]bool {
	inUse := map[plan.LinkID]bool{}
	for _, link := range wanted.Links {
		device, _ := deviceOf(wanted.WireGuard, link)
		for _, r := range have.Routes {
			if r.Type == route.Unicast && !r.Destination.IsSingleIP() && slices.Contains(r.Links, link.Device) &&
				slices.Contains(device.AllowedIPs, r.Destination) {
				inUse[link.LinkID] = reportedUp[link.LinkID]
			}
		}
	}
	return inUse
}

func deviceOf(cfg wireguard.Config, link plan.Link) (wireguard.Peer, bool) {
	for _, d := range cfg.Devices {
		for _, p := range d.Peers {
			if d.Name == link.Device && p.PublicKey == link.PublicKey {
				return p, true
			}
		}
	}
	return wireguard.Peer{}, false
}

func aliveLinks(have wireguard.State, links []plan.Link) map[plan.LinkID]bool {
	alive := map[plan.LinkID]bool{}
	for _, l := range links {
		device, _ := have.Device(l.Device)
		peer, _ := device.Peer(l.PublicKey)
		alive[l.LinkID] = peer.Alive
	}
	return alive
}

func describeTunnels(change wireguard.Change) []string {
	var lines []string
	for _, d := range change.Devices {
		what := []string{d.Name}
		if d.Create {
			what = append(what, "created")
		}
		for _, p := range d.Peers {
			switch {
			case p.Add:
				what = append(what, "added "+p.PublicKey.String())
			case p.Remove:
				what = append(what, "removed "+p.PublicKey.String())
			default:
				what = append(what, "changed "+p.PublicKey.String())
			}
		}
		lines = append(lines, strings.Join(what, " "))
	}
	return lines
}

func describeRoutes(routes []route.Route) []string {
	var lines []string
	for _, r := range routes {
		how := strings.Join(r.Links, ",")
		if r.Type == route.Unreachable {
			how = "unreachable"
		}
		lines = append(lines, r.Destination.String()+" "+how)
	}
	return lines
}

// linkName is the name of a link at the prober.
func linkName(id plan.LinkID) string { return string(id.Cluster) + "/" + id.Gateway }

// usableLinks are the links that are up.
func usableLinks(links []plan.Link, statuses map[string]probe.Status) map[plan.LinkID]bool {
	usable := map[plan.LinkID]bool{}
	for _, l := range links {
		usable[l.LinkID] = carriesTraffic(statuses[linkName(l.LinkID)].State)
	}
	return usable
}

// carriesTraffic tells whether a link in that state carries traffic.
func carriesTraffic(s v1alpha1.LinkState) bool { return s == v1alpha1.LinkUp }
