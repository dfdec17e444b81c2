package backend

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/conntrack"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// ended are the flows to endpoints that are gone, until conntrack has forgotten them. Otherwise a
// UDP client would stay with such an endpoint for as long as it sends. To look for them takes the
// kernel milliseconds, or a second where its table is large. So it happens beside the passes: the
// next change must not wait for it. The zero ended is ready to use.
type ended struct {
	// gone are those that the kernel may still serve. Only the loop uses them.
	gone []conntrack.Flow
	// deleting ends when no goroutine deletes.
	deleting sync.WaitGroup

	// conn stays open, since to close it may keep nftables waiting (see nft.Conn). The loop opens it,
	// because the goroutine's thread may be of another network namespace, and only while no goroutine
	// deletes.
	conn *conntrack.Conn

	// mu guards what follows.
	mu sync.Mutex
	// pending are those that the kernel no longer serves.
	pending map[conntrack.Flow]bool
	// running is true while a goroutine deletes, and failed if the last one could not.
	running, failed bool
	// deleted is how many entries went that were not counted yet.
	deleted int
	// next is when to look again, at the earliest.
	next time.Time
}

// endedShare is how much of the time may be spent on this: one part in so many.
const endedShare = 10

// add takes note of the destinations that services had and have no longer. Those that drain keep
// their flows. IPVS ends its own flows, but not those that began while nftables served: conntrack
// translates them before IPVS sees them. Of these, connections notice by themselves.
func (e *ended) add(changed Changed, wanted *plan.Table, by v1alpha1.DataplaneBackend) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for key, had := range changed {
		if by == v1alpha1.BackendIPVS && key.Protocol != serviceport.UDP {
			continue
		}
		service, _ := wanted.Get(key)
		e.gone = append(e.gone, gone(key, had, service.Destinations)...)
		if len(e.pending) == 0 {
			continue
		}
		for _, d := range service.Destinations { // some may be back
			delete(e.pending, flow(key, d))
		}
	}
}

// forget begins to delete the entries, and returns how many went since it was last asked. Until the
// kernel serves without the endpoints, it is too early: a new flow may still get one of them. After
// a failure it deletes them itself and returns the error.
func (e *ended) forget(ctx context.Context) (deleted int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pending == nil {
		e.pending = map[conntrack.Flow]bool{}
	}
	for _, f := range e.gone {
		e.pending[f] = true
	}
	e.gone = nil
	deleted, e.deleted = e.deleted, 0
	if len(e.pending) == 0 || e.running {
		return deleted, nil
	}
	if e.failed {
		n, err := conntrack.Delete(ctx, slices.Collect(maps.Keys(e.pending)))
		if err == nil {
			clear(e.pending)
			e.failed = false
		}
		return deleted + n, err
	}
	if e.conn == nil {
		if e.conn, err = conntrack.Open(); err != nil {
			e.failed = true
			return deleted, err
		}
	}
	e.running = true
	e.deleting.Go(func() {
		for e.deleteOnce(ctx) {
		}
	})
	return deleted, nil
}

// deleteOnce deletes what is pending, when it is time. It returns false if nothing more is.
func (e *ended) deleteOnce(ctx context.Context) (more bool) {
	e.mu.Lock()
	pause := time.Until(e.next)
	e.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
	e.mu.Lock()
	flows := slices.Collect(maps.Keys(e.pending))
	clear(e.pending)
	e.mu.Unlock()
	begin := time.Now()
	n, err := e.conn.Delete(ctx, flows)
	took := time.Since(begin)

	e.mu.Lock()
	defer e.mu.Unlock()
	e.deleted += n
	e.next = time.Now().Add(endedShare * took)
	if err != nil {
		for _, f := range flows {
			e.pending[f] = true
		}
		e.conn.Close() // it may hold more answers
		e.conn = nil
	}
	e.failed = err != nil
	e.running = err == nil && len(e.pending) > 0
	return e.running
}

// hasFailed reports whether entries could not be deleted.
func (e *ended) hasFailed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failed
}

// gone returns the flows to destinations that a service had and has no longer.
func gone(key plan.Key, had, have []plan.Destination) []conntrack.Flow {
	var flows []conntrack.Flow
	for _, old := range had {
		if _, still := slices.BinarySearchFunc(have, old, plan.Destination.Compare); !still {
			flows = append(flows, flow(key, old))
		}
	}
	return flows
}

func flow(key plan.Key, d plan.Destination) conntrack.Flow {
	return conntrack.Flow{Key: key, Endpoint: netip.AddrPortFrom(d.Address, d.Port)}
}

// EndStale ends the flows to clusterset IPs, and to other clusters, that began under other rules:
// before there were any, while others had taken them away, or while no agent ran. It returns how
// many there were. It is for when the kernel is in step: it lists all that conntrack has. What
// others serve inside our VIP CIDRs goes on. The caller says what it knows of sources, and whether
// rules have come.
func (b *Backend) EndStale(ctx context.Context, stale conntrack.Stale) (ended int, err error) {
	stale.Services, stale.Keep = b.owned, b.serves
	if d, ok := b.serving.(*ipvsDriver); ok {
		stale.Others = d.others
	}
	return conntrack.DeleteStale(ctx, stale)
}

// serves reports whether the flow goes to an endpoint of a wanted service.
func (b *Backend) serves(f conntrack.Flow) bool {
	service, _ := b.wanted.Get(f.Key)
	_, found := slices.BinarySearchFunc(service.Destinations, plan.Destination{Address: f.Endpoint.Addr(), Port: f.Endpoint.Port()}, plan.Destination.Compare)
	return found
}
