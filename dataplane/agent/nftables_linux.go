package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/conntrack"
)

// nftBackend serves by nftables.
type nftBackend struct {
	table nftables.Table
	// wanted is what the table should serve.
	wanted nftables.Config
	// pending are the keys that changed since the kernel was last in step with them.
	pending map[nftables.Key]bool
	// behind is true if the last attempt failed, so that the kernel is not as wanted.
	behind bool
	// full are the families of which no more clients with affinity fit, as of the last thorough repair.
	full []string
	// ended are the flows to endpoints that are gone, until conntrack has forgotten them.
	ended []conntrack.Flow
	// owned are the VIP CIDRs in which flows to other endpoints than those wanted are from an earlier life of this agent;
	// nil once they have ended.
	owned []netip.Prefix
}

func newNFTBackend(counters bool) *nftBackend {
	return &nftBackend{wanted: nftables.Config{Services: map[nftables.Key]nftables.Service{}, Counters: counters}, pending: map[nftables.Key]bool{}}
}

func (b *nftBackend) sync(ctx context.Context, want servicesByKey, keys []plan.Key) (outcome, error) {
	for _, key := range keys {
		k := nftKey(key)
		b.pending[k] = true
		b.ended = append(b.ended, gone(k, b.wanted.Services[k].Destinations, want[key].Destinations)...)
		if service, exists := want[key]; exists {
			b.wanted.Services[k] = nftService(service)
		} else {
			delete(b.wanted.Services, k)
		}
	}
	pending := make([]nftables.Key, 0, len(b.pending))
	for key := range b.pending {
		pending = append(pending, key)
	}
	slices.SortFunc(pending, nftables.Key.Compare)
	change, err := b.table.Update(ctx, b.wanted, pending)
	b.behind = err != nil
	if err != nil {
		return outcome{written: change.Size()}, nftables.Diagnose(ctx, err)
	}
	clear(b.pending)
	stale, err := b.endStale(ctx)
	if err != nil || len(b.ended) == 0 {
		return outcome{written: change.Size() + stale}, err
	}
	// Only now: until the slots are written, a new flow may still get the endpoint.
	ended, err := conntrack.Delete(ctx, b.ended)
	if err == nil {
		b.ended = nil
	}
	return outcome{written: change.Size() + stale + ended}, err
}

// endStale ends, once, the flows of packets to endpoints that went while no agent ran: their clients would stay with them
// for as long as they send. Connections notice by themselves, and those to endpoints that drain are to go on.
func (b *nftBackend) endStale(ctx context.Context) (ended int, err error) {
	if len(b.owned) == 0 {
		return 0, nil
	}
	keep := map[conntrack.Flow]bool{}
	for key, service := range b.wanted.Services {
		for _, d := range service.Destinations {
			keep[conntrack.Flow{Address: key.Address, Protocol: key.Protocol, Port: key.Port, Endpoint: netip.AddrPortFrom(d.Address, d.Port)}] = true
		}
	}
	ended, err = conntrack.DeleteStale(ctx, conntrack.Stale{Inside: b.owned, Keep: keep, Protocol: "udp"})
	if err == nil {
		b.owned = nil
	}
	return ended, err
}

// gone are the flows to destinations that a service had and has no longer; those that drain keep theirs.
func gone(key nftables.Key, had []nftables.Destination, have []plan.Destination) []conntrack.Flow {
	var flows []conntrack.Flow
	for _, old := range had {
		d := plan.Destination{Address: old.Address, Port: old.Port}
		if _, still := slices.BinarySearchFunc(have, d, plan.Destination.Compare); !still {
			flows = append(flows, conntrack.Flow{Address: key.Address, Protocol: key.Protocol, Port: key.Port,
				Endpoint: netip.AddrPortFrom(old.Address, old.Port)})
		}
	}
	return flows
}

// touched costs one netlink request as long as nobody writes to nftables. Where the last attempt failed there is nothing
// to repair: the next sync compares all.
func (b *nftBackend) touched(context.Context) bool { return !b.behind && b.table.Touched() }

func (b *nftBackend) repair(ctx context.Context, thorough bool) (did outcome, err error) {
	if b.touched(ctx) {
		did, err = b.mend(ctx)
	}
	if thorough && !b.behind {
		b.full, err = b.table.Full(ctx, b.wanted)
	}
	return did, nftables.Diagnose(ctx, err)
}

func (b *nftBackend) mend(ctx context.Context) (outcome, error) {
	change, err := b.table.Sync(ctx, b.wanted)
	b.behind = err != nil
	did := outcome{written: change.Size()}
	switch {
	case change.Replace || change.Create:
		did.mended = []string{"the nftables table " + nftables.TableName}
	case !change.Empty():
		did.mended = []string{fmt.Sprintf("%d elements of the nftables table %s", change.Size(), nftables.TableName)}
	}
	return did, err
}

// leave takes the table away at once: conntrack knows where the flows under way go.
func (b *nftBackend) leave(ctx context.Context, _ time.Time) (outcome, bool, error) {
	change, err := b.table.Sync(ctx, nftables.Config{})
	return outcome{written: change.Size()}, err == nil, err
}

// foreign: the table is tombolo's alone.
func (b *nftBackend) foreign() []string { return nil }

func (b *nftBackend) remarks() []string {
	if len(b.full) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("no room for more clients with session affinity (%s, %d of them): new ones go to any endpoint until the time of others is over; "+
		"shorten sessionAffinityConfig.clientIP.timeoutSeconds of the Services, or serve with IPVS", strings.Join(b.full, " and "), nftables.MaxAffinities)}
}

func (b *nftBackend) close() { b.table.Close() }

func nftKey(key plan.Key) nftables.Key {
	return nftables.Key{Address: key.Address, Protocol: strings.ToLower(string(key.Protocol)), Port: key.Port}
}

// nftSchedulers are those of nftables.
var nftSchedulers = map[v1alpha1.Scheduler]nftables.Scheduler{
	v1alpha1.SchedulerRoundRobin: nftables.RoundRobin, v1alpha1.SchedulerRandom: nftables.Random,
	v1alpha1.SchedulerConsistentHash: nftables.ConsistentHash,
}

func nftService(v plan.VirtualService) nftables.Service {
	service := nftables.Service{Scheduler: nftSchedulers[clusterset.SchedulerOn(v1alpha1.BackendNFTables, v.Scheduler)], Affinity: v.Affinity,
		Destinations: make([]nftables.Destination, 0, len(v.Destinations))}
	for _, d := range v.Destinations {
		service.Destinations = append(service.Destinations, nftables.Destination{Address: d.Address, Port: d.Port, Weight: d.Weight})
	}
	return service
}
