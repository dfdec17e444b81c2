package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
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
	// round are the services whose destinations are still to be compared in this turn.
	round []ipvs.Key
	// sample is one of the services, of IPv6 if there are any; the zero Key if there are none.
	sample ipvs.Key
	// nextRepair is when to compare the whole table again, at the earliest.
	nextRepair time.Time
	// alarm is true if the number of services has changed since the last repair, and nextAlarm is when to do something about
	// it, at the earliest: where others' come and go, ours are mostly all there.
	alarm     bool
	nextAlarm time.Time
	// leaving is since when another backend serves; zero: this one does.
	leaving time.Time
}

func newIPVSBackend(owned []netip.Prefix) *ipvsBackend {
	return &ipvsBackend{owned: owned, wanted: ipvs.Config{Services: map[ipvs.Key]ipvs.Service{}}, pending: map[ipvs.Key]bool{}}
}

func (b *ipvsBackend) scope() ipvs.Scope { return ipvs.Scope{VIPs: b.owned, Wanted: b.wanted} }

func (b *ipvsBackend) sync(ctx context.Context, want servicesByKey, keys []plan.Key) (outcome, error) {
	b.take(want, keys)
	if !b.compared {
		result, err := b.table.Sync(ctx, b.scope())
		b.others = result.Foreign
		if err == nil {
			b.compared = true
			clear(b.pending)
		}
		return outcome{written: result.Done.Count}, err
	}
	if len(b.pending) == 0 {
		return outcome{}, nil
	}
	done, err := b.table.SyncKeys(ctx, b.scope(), slices.SortedFunc(maps.Keys(b.pending), ipvs.Key.Compare))
	if err == nil {
		clear(b.pending)
	}
	return outcome{written: done.Count}, err
}

// recall is what the kernel still serves of an earlier life of this agent; nothing if that cannot be read.
func (b *ipvsBackend) recall(ctx context.Context) servicesByKey {
	have, _, err := b.table.Read(ctx, b.scope())
	if err != nil {
		return nil
	}
	recalled := make(servicesByKey, len(have.Services))
	for k, service := range have.Services {
		for protocol, number := range protocols {
			if number != k.Protocol {
				continue
			}
			key := plan.Key{Address: k.Address, Protocol: protocol, Port: k.Port}
			recalled[key] = plan.VirtualService{Key: key, Destinations: planned(service.Destinations)}
		}
	}
	return recalled
}

func planned(destinations []ipvs.Destination) []plan.Destination {
	all := make([]plan.Destination, 0, len(destinations))
	for _, d := range destinations {
		all = append(all, plan.Destination{Address: d.Address, Port: d.Port, Weight: d.Weight})
	}
	return all
}

// take remembers what those keys should be now.
func (b *ipvsBackend) take(want servicesByKey, keys []plan.Key) {
	for _, key := range keys {
		k, ok := ipvsKey(key)
		if !ok {
			continue
		}
		b.pending[k] = true
		// Without destinations there is no virtual service: IPVS would refuse its connections by ICMP, which TCP over IPv6
		// notes only after a second, when it tries again. So the filter resets them.
		if service, exists := want[key]; exists && len(service.Destinations) > 0 {
			b.wanted.Services[k] = ipvsService(service)
			if !b.sample.Address.Is6() {
				b.sample = k
			}
			continue
		}
		delete(b.wanted.Services, k)
		if k == b.sample {
			b.sample = b.anyService()
		}
	}
}

// anyService is one of those that are wanted, of IPv6 if there are any; the zero Key if there are none.
func (b *ipvsBackend) anyService() (sample ipvs.Key) {
	for key := range b.wanted.Services {
		if sample = key; key.Address.Is6() {
			return sample
		}
	}
	return sample
}

const (
	// repairShare is how much of its time the loop may spend on comparing the whole table, one part in so many.
	repairShare = 5000
	// alarmShare is the same where the number of services has changed again and again, and ours were all there.
	alarmShare = 100
	// smallTable is how many services are compared in every repair, whatever that takes: as much as the rest of a repair.
	smallTable = 32
	// longestPause is how long the table is not compared at most.
	longestPause = 10 * time.Minute
	// auditRounds is in how many comparisons of the whole table the destinations of all services are compared once.
	auditRounds = 20
)

// touched tells whether it is time to compare the whole table: each time if it is small, else as often as repairShare
// allows. In between it only asks how many services there are. The kernel counts those of IPv4; for those of IPv6, and
// where others' come and go, one stands for all, which go together when somebody wipes the table.
func (b *ipvsBackend) touched(ctx context.Context) bool {
	now := time.Now()
	if b.timely(now) {
		return true
	}
	b.alarm = b.alarm || !b.table.Recount()
	if b.alarm && !now.Before(b.nextAlarm) {
		return true
	}
	if !b.alarm && !b.sample.Address.Is6() || b.pending[b.sample] {
		return false
	}
	well, err := b.table.Glance(ctx, b.wanted, []ipvs.Key{b.sample})
	return !well || err != nil
}

// timely tells whether to compare the whole table though nothing seems wrong.
func (b *ipvsBackend) timely(now time.Time) bool {
	return len(b.wanted.Services) <= smallTable || !now.Before(b.nextRepair)
}

// repair compares the whole table with what is wanted, if it is time, and some services with their destinations. It is
// never more thorough than that.
func (b *ipvsBackend) repair(ctx context.Context, _ bool) (outcome, error) {
	if !b.touched(ctx) {
		return outcome{}, nil
	}
	begin := time.Now()
	timely := b.timely(begin)
	result, err := b.table.Repair(ctx, b.scope(), b.next(len(b.wanted.Services)/auditRounds+1))
	took := time.Since(begin)
	if err == nil {
		b.others, b.alarm, b.nextAlarm = result.Foreign, false, time.Time{}
		if !timely && result.Done.Count == 0 {
			b.nextAlarm = begin.Add(alarmShare * took)
		}
	}
	b.nextRepair = begin.Add(min(repairShare*took, longestPause))
	return outcome{written: result.Done.Count, mended: mendedServices(result.Done)}, err
}

// mendedServices is what was not as it should be, in words.
func mendedServices(done ipvs.Done) []string {
	if done.Count > len(done.First) {
		return []string{fmt.Sprintf("%d entries of the IPVS table (%s first)", done.Count, done.First[0])}
	}
	return inWords(done.First)
}

// next are up to n keys of those that are wanted, all of them in turn and in any order.
func (b *ipvsBackend) next(n int) []ipvs.Key {
	if len(b.round) == 0 {
		b.round = slices.AppendSeq(b.round[:0:0], maps.Keys(b.wanted.Services))
	}
	n = min(n, len(b.round))
	keys := slices.DeleteFunc(b.round[:n:n], func(key ipvs.Key) bool {
		_, wanted := b.wanted.Services[key]
		return !wanted || b.pending[key]
	})
	b.round = b.round[n:]
	return keys
}

// lingering is how long flows that go through IPVS may go on once nftables serves.
const lingering = 15 * time.Minute

// leave first sees to it that no new flow comes here, should the new backend not take it, and lets those under way end:
// a virtual service that is deleted ends its flows (net.ipv4.vs.expire_nodest_conn).
func (b *ipvsBackend) leave(ctx context.Context, now time.Time) (outcome, bool, error) {
	have, _, err := b.table.Read(ctx, b.scope())
	if errors.Is(err, ipvs.ErrNoModule) || err == nil && len(have.Services) == 0 {
		return outcome{}, true, nil
	}
	if err != nil {
		return outcome{}, false, err
	}
	if b.leaving.IsZero() {
		b.leaving = now
	}
	want := ipvs.Config{}
	gone := now.Sub(b.leaving) >= lingering
	if !gone {
		want = drained(have)
	}
	done, err := b.table.Apply(ctx, ipvs.Diff(have, want))
	return outcome{written: done.Count}, gone && err == nil, err
}

// drained is the same virtual services, whose destinations get no new flows.
func drained(have ipvs.Config) ipvs.Config {
	want := ipvs.Config{Services: make(map[ipvs.Key]ipvs.Service, len(have.Services))}
	for key, service := range have.Services {
		service.Destinations = slices.Clone(service.Destinations)
		for i := range service.Destinations {
			service.Destinations[i].Weight = 0
		}
		want.Services[key] = service
	}
	return want
}

func (b *ipvsBackend) foreign() []string {
	names := make([]string, 0, len(b.others))
	for _, key := range b.others {
		names = append(names, key.String())
	}
	return names
}

// remarks: IPVS has no limits of its own.
func (b *ipvsBackend) remarks() []string { return nil }

func (b *ipvsBackend) close() { b.table.Close() }

var protocols = map[corev1.Protocol]ipvs.Protocol{
	corev1.ProtocolTCP: ipvs.TCP, corev1.ProtocolUDP: ipvs.UDP, corev1.ProtocolSCTP: ipvs.SCTP,
}

// ipvsKey is false for a protocol that IPVS does not know.
func ipvsKey(key plan.Key) (ipvs.Key, bool) {
	protocol, ok := protocols[key.Protocol]
	return ipvs.Key{Address: key.Address, Port: key.Port, Protocol: protocol}, ok
}

// ipvsSchedulers by their names in the kernel.
var ipvsSchedulers = map[v1alpha1.Scheduler]string{
	v1alpha1.SchedulerRoundRobin: "wrr", v1alpha1.SchedulerLeastConnection: "wlc", v1alpha1.SchedulerConsistentHash: "mh",
}

func ipvsService(v plan.VirtualService) ipvs.Service {
	service := ipvs.Service{Scheduler: ipvsSchedulers[clusterset.SchedulerOn(v1alpha1.BackendIPVS, v.Scheduler)], Affinity: v.Affinity,
		Destinations: make([]ipvs.Destination, 0, len(v.Destinations))}
	for _, d := range v.Destinations {
		service.Destinations = append(service.Destinations, ipvs.Destination{Address: d.Address, Port: d.Port, Weight: d.Weight})
	}
	return service
}

// inWords is a sentence for each item.
func inWords[T fmt.Stringer](items []T) []string {
	words := make([]string, 0, len(items))
	for _, item := range items {
		words = append(words, item.String())
	}
	return words
}
