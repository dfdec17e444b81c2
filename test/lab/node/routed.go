package node

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
)

// routed connects pods by routes to each node, and masquerades as Config.CNI says.
type routed struct {
	cfg         Config
	log         *slog.Logger
	masquerades bool // the rules are there
}

func (r *routed) plugin() object {
	plugin := object{"type": "ptp"}
	if r.cfg.MTU != 0 {
		plugin["mtu"] = r.cfg.MTU
	}
	return plugin
}

func (r *routed) sync(ctx context.Context, _ *corev1.Node, others []*corev1.Node) error {
	if !r.masquerades {
		if err := masquerade(ctx, r.cfg.CNI, r.cfg.PodCIDRs); err != nil {
			return err
		}
		r.masquerades = true
	}
	want := map[netip.Prefix]netip.Addr{}
	for _, n := range others {
		maps.Copy(want, routesTo(n))
	}
	change, err := syncRoutes(want, nil)
	if !change.empty() {
		r.log.Info("routes to other nodes changed", "added", change.added, "removed", change.removed)
	}
	return err
}
