package agent

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-logr/logr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// handoverChange is what the hand-over device needs.
func (a *Agent) handoverChange(ctx context.Context, want vxlan.Config) (vxlan.Change, error) {
	have, err := a.cfg.Kernel.Handover.Read(ctx)
	if err != nil {
		return vxlan.Change{}, fmt.Errorf("reading the device for hand-over: %w", err)
	}
	return vxlan.Diff(have, want), nil
}

func (a *Agent) applyHandover(ctx context.Context, change vxlan.Change) error {
	if change.Empty() {
		return nil
	}
	done, err := a.cfg.Kernel.Handover.Apply(ctx, change)
	if !done.Empty() {
		a.metrics.changes.WithLabelValues(string(partHandover)).Inc()
		logr.FromContextOrDiscard(ctx).Info("changed the device for hand-over", "devices", len(done.AddDevices)+len(done.SetDevices),
			"siblings", len(done.SetForwards), "removedDevices", len(done.DeleteDevices), "removedSiblings", len(done.DeleteForwards))
	}
	return err
}

// siblingName is the name of a sibling at the prober. No link has such a name.
func siblingName(gateway string) string { return "/" + gateway }

// siblingPeers are the siblings as the prober takes them, the ones that the kernel's routes hand
// over to among them.
func siblingPeers(t plan.Tunnels, have route.Config) []probe.Peer {
	peers := make([]probe.Peer, 0, len(t.Siblings))
	for _, s := range t.Siblings {
		p := probe.Peer{Name: siblingName(s.Name), Address: s.NextHops[0], PublicKey: s.PublicKey, Sibling: true}
		for _, c := range t.Clusters {
			if handsOver(have, c, s) {
				p.InUse = true
				p.Reached.Add(c.Index)
			}
		}
		peers = append(peers, p)
	}
	return peers
}

// handsOver reports whether the routes lead the cluster's prefixes over the sibling.
func handsOver(have route.Config, c plan.Cluster, s plan.Sibling) bool {
	return slices.ContainsFunc(have.Routes, func(r route.Route) bool {
		return r.Type == route.Unicast && slices.Contains(c.Prefixes, r.Destination) && slices.ContainsFunc(r.Hops, func(h route.NextHop) bool {
			return h.Link == vxlan.HandoverName && slices.Contains(s.NextHops, h.Gateway)
		})
	})
}

// siblingsOf is how the siblings are, by what they answer.
func siblingsOf(t plan.Tunnels, statuses map[string]probe.Status) map[string]plan.SiblingView {
	views := make(map[string]plan.SiblingView, len(t.Siblings))
	for _, s := range t.Siblings {
		status := statuses[siblingName(s.Name)]
		view := plan.SiblingView{
			Up: status.State == v1alpha1.LinkUp, Draining: status.Draining, Reaches: make(map[v1alpha1.ClusterID]bool, len(t.Clusters)),
		}
		for _, c := range t.Clusters {
			view.Reaches[c.ID] = status.Reached.Has(c.Index)
		}
		views[s.Name] = view
	}
	return views
}
