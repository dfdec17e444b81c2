package agent

import (
	"context"
	"sync"

	"github.com/go-logr/logr"

	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
)

// guard keeps the gateway's nftables table as a pass last wanted it. It is safe for concurrent use.
type guard struct {
	metrics *metrics
	// mu guards what follows.
	mu    sync.Mutex
	table table
	// wanted is nil until a pass has wanted something: what an earlier run made stays until then.
	wanted *firewall.Config
}

// want makes the table hold what cfg says, now and whenever it is repaired.
func (g *guard) want(ctx context.Context, cfg firewall.Config) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wanted = &cfg
	_, err := g.sync(ctx)
	return err
}

// repair makes the table again if somebody has changed it. It reports whether it did. That costs
// one netlink request as long as nobody writes to nftables.
func (g *guard) repair(ctx context.Context) (mended bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wanted == nil {
		return false, nil
	}
	return g.sync(ctx)
}

// sync is called with mu held.
func (g *guard) sync(ctx context.Context) (changed bool, err error) {
	change, err := g.table.Sync(ctx, *g.wanted)
	if err != nil || change.Empty() {
		return false, err
	}
	g.metrics.changes.WithLabelValues("nftables").Inc()
	logr.FromContextOrDiscard(ctx).Info("changed the nftables table", "table", firewall.GatewayTable, "chains", len(change.Want.Chains))
	return true, nil
}
