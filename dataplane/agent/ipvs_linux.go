package agent

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// ipvsBackend serves by IPVS.
type ipvsBackend struct {
	table ipvs.Table
	// owned are the VIP CIDRs in which marked services are ours: those of now, and those that were served before.
	owned []netip.Prefix
	// wanted is what IPVS should have.
	wanted ipvs.Config
	// pending are the keys that changed since the kernel was last in step with them.
	pending map[ipvs.Key]bool
	// compared is false until the kernel's table was once read and in step as a whole.
	compared bool
	others   []ipvs.Key
}

func newIPVSBackend(owned []netip.Prefix) *ipvsBackend {
	return &ipvsBackend{owned: owned, wanted: ipvs.Config{Services: map[ipvs.Key]ipvs.Service{}}, pending: map[ipvs.Key]bool{}}
}

func (b *ipvsBackend) scope() ipvs.Scope { return ipvs.Scope{VIPs: b.owned, Wanted: b.wanted} }

func (b *ipvsBackend) sync(ctx context.Context, want servicesByKey, keys []plan.Key) (int, error) {
	b.take(want, keys)
	if !b.compared {
		result, err := b.table.Sync(ctx, b.scope())
		b.others = result.Foreign
		if err == nil {
			b.compared = true
			clear(b.pending)
		}
		return len(result.Change.Operations), err
	}
	if len(b.pending) == 0 {
		return 0, nil
	}
	change, err := b.table.SyncKeys(ctx, b.scope(), slices.SortedFunc(maps.Keys(b.pending), ipvs.Key.Compare))
	if err == nil {
		clear(b.pending)
	}
	return len(change.Operations), err
}

// take remembers what those keys should be now.
func (b *ipvsBackend) take(want servicesByKey, keys []plan.Key) {
	for _, key := range keys {
		k, ok := ipvsKey(key)
		if !ok {
			continue
		}
		b.pending[k] = true
		if service, exists := want[key]; exists {
			b.wanted.Services[k] = ipvsService(service)
		} else {
			delete(b.wanted.Services, k)
		}
	}
}

// auditRounds is in how many repairs every service's destinations are compared once.
const auditRounds = 60

func (b *ipvsBackend) repair(ctx context.Context, _ servicesByKey) (int, error) {
	result, err := b.table.Repair(ctx, b.scope(), len(b.wanted.Services)/auditRounds+1)
	if err == nil {
		b.others = result.Foreign
	}
	return len(result.Change.Operations), err
}

func (b *ipvsBackend) foreign() []string {
	names := make([]string, 0, len(b.others))
	for _, key := range b.others {
		names = append(names, key.String())
	}
	return names
}

func (b *ipvsBackend) close() { b.table.Close() }

var protocols = map[corev1.Protocol]ipvs.Protocol{
	corev1.ProtocolTCP: ipvs.TCP, corev1.ProtocolUDP: ipvs.UDP, corev1.ProtocolSCTP: ipvs.SCTP,
}

// ipvsKey is false for a protocol that IPVS does not know.
func ipvsKey(key plan.Key) (ipvs.Key, bool) {
	protocol, ok := protocols[key.Protocol]
	return ipvs.Key{Address: key.Address, Port: key.Port, Protocol: protocol}, ok
}

// schedulers of the kernel. It has none that draws lots.
var schedulers = map[v1alpha1.Scheduler]string{
	v1alpha1.SchedulerRoundRobin: "wrr", v1alpha1.SchedulerRandom: "wrr",
	v1alpha1.SchedulerLeastConnection: "wlc", v1alpha1.SchedulerConsistentHash: "mh",
}

func ipvsService(v plan.VirtualService) ipvs.Service {
	service := ipvs.Service{Scheduler: schedulers[v.Scheduler], Affinity: v.Affinity,
		Destinations: make([]ipvs.Destination, 0, len(v.Destinations))}
	for _, d := range v.Destinations {
		service.Destinations = append(service.Destinations, ipvs.Destination{Address: d.Address, Port: d.Port, Weight: d.Weight})
	}
	return service
}
