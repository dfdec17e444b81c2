package backend

import (
	"context"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/conntrack"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// ended are the flows to endpoints that are gone, until conntrack has forgotten them. Otherwise a
// UDP client would stay with such an endpoint for as long as it sends.
type ended []conntrack.Flow

// add takes note of the destinations that services had and have no longer. Those that drain keep
// their flows. IPVS ends its own flows, but not those that began while nftables served: conntrack
// translates them before IPVS sees them. Of these, connections notice by themselves.
func (e *ended) add(changed Changed, wanted *plan.Table, by v1alpha1.DataplaneBackend) {
	for key, had := range changed {
		if by == v1alpha1.BackendIPVS && key.Protocol != serviceport.UDP {
			continue
		}
		service, _ := wanted.Get(key)
		*e = append(*e, gone(key, had, service.Destinations)...)
	}
}

// forget deletes the entries, and returns how many there were. Until the kernel serves without the
// endpoints, it is too early: a new flow may still get one of them.
func (e *ended) forget(ctx context.Context) (deleted int, err error) {
	if len(*e) == 0 {
		return 0, nil
	}
	if deleted, err = conntrack.Delete(ctx, *e); err == nil {
		*e = nil
	}
	return deleted, err
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
	stale.Services, stale.Keep = b.owned, map[conntrack.Flow]bool{}
	for _, key := range b.wanted.Keys() {
		service, _ := b.wanted.Get(key)
		for _, d := range service.Destinations {
			stale.Keep[flow(key, d)] = true
		}
	}
	if d, ok := b.serving.(*ipvsDriver); ok {
		stale.Others = d.others
	}
	return conntrack.DeleteStale(ctx, stale)
}
