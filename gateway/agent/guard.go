package agent

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
)

// readCounters is how often the guard looks whether a firewall drops what must pass.
const readCounters = 5 * time.Second

// guard keeps the gateway's nftables table as a pass last wanted it, and knows which packets the
// firewalls of the node drop. It is safe for concurrent use.
type guard struct {
	metrics *metrics
	// mended tells that others had changed the table.
	mended func(ctx context.Context, p part, what ...string)
	// mu guards what follows.
	mu    sync.Mutex
	table guardTable
	// wanted is nil until a pass has wanted something: what an earlier run made stays until then.
	wanted *firewall.Config
	kept   kept
	// blocked is what firewalls dropped when the counters were last read, at that time.
	blocked error
	read    time.Time
}

// want makes the table hold what cfg says, now and whenever it is repaired.
func (g *guard) want(ctx context.Context, cfg firewall.Config) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	same := g.wanted != nil && reflect.DeepEqual(*g.wanted, cfg)
	g.wanted = &cfg
	return g.sync(ctx, same)
}

// repair makes the table again if somebody has changed it, and reads its counters when that is due.
// It reports whether firewalls drop something else than before. It costs one netlink request as
// long as nobody writes to nftables, and one more when it reads the counters.
func (g *guard) repair(ctx context.Context, now time.Time) (changed bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wanted == nil {
		return false, nil
	}
	if err := g.sync(ctx, true); err != nil {
		return false, err
	}
	if now.Sub(g.read) < readCounters {
		return false, nil
	}
	g.read = now
	blocked, err := g.table.Blocked(now, *g.wanted)
	if err != nil {
		return false, err
	}
	before := g.blocked
	g.blocked = errors.Join(blocked...)
	if changed = fmt.Sprint(before) != fmt.Sprint(g.blocked); changed {
		logr.FromContextOrDiscard(ctx).Info("firewalls of this node drop other packets than before", "now", fmt.Sprint(g.blocked), "before", fmt.Sprint(before))
	}
	return changed, nil
}

// dropping is an error while firewalls of this node drop what must pass.
func (g *guard) dropping() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.blocked
}

// sync is called with mu held. What is wanted may be the same as the last time.
func (g *guard) sync(ctx context.Context, same bool) error {
	change, mended, err := g.kept.sync(ctx, g.table, *g.wanted, same)
	if err != nil || change.Empty() {
		return err
	}
	if mended {
		g.mended(ctx, partTable, "the table inet "+firewall.GatewayTable)
	}
	g.metrics.changes.WithLabelValues(string(partTable)).Inc()
	logr.FromContextOrDiscard(ctx).Info("changed the nftables table", "table", firewall.GatewayTable)
	return nil
}
