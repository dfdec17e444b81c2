package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// ipvsDriver serves by IPVS.
type ipvsDriver struct {
	services *plan.Table
	table    ipvs.Table
	// owned are the VIP CIDRs in which marked services are ours: those of now, and those that were
	// served before.
	owned []netip.Prefix
	// refused are the VIP CIDRs in which nothing is served.
	refused []netip.Prefix
	// wanted is what IPVS should have.
	wanted ipvs.Config
	// pending are the keys that changed since the kernel was last in step with them.
	pending map[plan.Key]bool
	// compared is false until the kernel's table was once read and in step as a whole.
	compared bool
	others   []plan.Key
	// round are the services whose destinations are still to be compared in this turn.
	round []plan.Key
	// sample is one of the services, of IPv6 if there are any; the zero Key if there are none.
	sample plan.Key
	// nextRepair is when to compare the whole table again, at the earliest.
	nextRepair time.Time
	// alarm is true if the number of services has changed since the last repair. nextAlarm is when
	// to do something about it, at the earliest: where others' services come and go, ours are
	// mostly all there.
	alarm     bool
	nextAlarm time.Time
	// leaving is since when another backend serves; zero: this one does.
	leaving time.Time
}

func newIPVSDriver(services *plan.Table, owned, refused []netip.Prefix) *ipvsDriver {
	return &ipvsDriver{services: services, owned: owned, refused: refused, wanted: ipvs.Config{Services: map[plan.Key]ipvs.Service{}}, pending: map[plan.Key]bool{}}
}

func (d *ipvsDriver) scope() ipvs.Scope { return ipvs.Scope{VIPs: d.owned, Wanted: d.wanted} }

func (d *ipvsDriver) sync(ctx context.Context, changed Changed) (Change, error) {
	d.convert(changed)
	if !d.compared {
		result, err := d.table.Sync(ctx, d.scope())
		d.others = result.Foreign
		if err == nil {
			d.compared = true
			clear(d.pending)
		}
		return changeOf(result.Done), err
	}
	if len(d.pending) == 0 {
		return Change{}, nil
	}
	done, err := d.table.SyncKeys(ctx, d.scope(), slices.SortedFunc(maps.Keys(d.pending), plan.Key.Compare))
	if err == nil {
		clear(d.pending)
	}
	return changeOf(done), err
}

// changeOf is what was done, in words.
func changeOf(done ipvs.Done) Change {
	return Change{Written: done.Count, What: inWords(done.First[:min(len(done.First), firstFew)])}
}

// recall returns what the kernel still serves from an earlier life of this agent; nothing if that
// cannot be read.
func (d *ipvsDriver) recall(ctx context.Context) map[plan.Key]plan.VirtualService {
	have, _, err := d.table.Read(ctx, d.scope())
	if err != nil {
		return nil
	}
	recalled := make(map[plan.Key]plan.VirtualService, len(have.Services))
	for key, service := range have.Services {
		if key.Protocol.Known() {
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

// convert makes of those keys what IPVS should have.
func (d *ipvsDriver) convert(changed Changed) {
	for key := range changed {
		d.pending[key] = true
		// A service without destinations gets no virtual service: IPVS would refuse its connections
		// by ICMP, which TCP over IPv6 notes only after a second, when it tries again. So the
		// filter resets them.
		if service, exists := d.services.Get(key); exists && len(service.Destinations) > 0 && !clusterset.Contains(d.refused, key.Address) {
			d.wanted.Services[key] = ipvsService(service)
			if !d.sample.Address.Is6() {
				d.sample = key
			}
			continue
		}
		delete(d.wanted.Services, key)
		if key == d.sample {
			d.sample = d.anyService()
		}
	}
}

// anyService returns one of the wanted services, of IPv6 if there are any; the zero Key if there
// are none.
func (d *ipvsDriver) anyService() (sample plan.Key) {
	for key := range d.wanted.Services {
		if sample = key; key.Address.Is6() {
			return sample
		}
	}
	return sample
}

const (
	// repairShare is how much of its time the loop may spend on comparing the whole table: one part
	// in so many.
	repairShare = 5000
	// alarmShare is the same where the number of services has changed again and again, and ours
	// were all there.
	alarmShare = 100
	// smallTable is how many services every repair compares, whatever that takes: as much as the
	// rest of a repair.
	smallTable = 32
	// longestPause is the longest time between two comparisons of the table.
	longestPause = 10 * time.Minute
	// auditRounds is how many comparisons of the whole table it takes to compare the destinations
	// of all services once.
	auditRounds = 20
)

// touched reports whether it is time to compare the whole table: each time if it is small, else as
// often as repairShare allows. In between it only asks how many services there are. The kernel
// counts those of IPv4. For those of IPv6, and where others' services come and go, one service
// stands for all: who wipes the table deletes them together.
func (d *ipvsDriver) touched(ctx context.Context, now time.Time) bool {
	if d.timely(now) {
		return true
	}
	d.alarm = d.alarm || !d.table.Recount()
	if d.alarm && !now.Before(d.nextAlarm) {
		return true
	}
	if !d.alarm && !d.sample.Address.Is6() || d.pending[d.sample] {
		return false
	}
	well, err := d.table.Glance(ctx, d.wanted, []plan.Key{d.sample})
	return !well || err != nil
}

// timely reports whether to compare the whole table though nothing seems wrong.
func (d *ipvsDriver) timely(now time.Time) bool {
	return len(d.wanted.Services) <= smallTable || !now.Before(d.nextRepair)
}

// repair compares the whole table with what is wanted, if it is time, and some services with their
// destinations. It is never more thorough than that.
func (d *ipvsDriver) repair(ctx context.Context, now time.Time, _ bool) (Change, error) {
	if !d.touched(ctx, now) {
		return Change{}, nil
	}
	timely, begin := d.timely(now), time.Now()
	result, err := d.table.Repair(ctx, d.scope(), d.next(len(d.wanted.Services)/auditRounds+1))
	took := time.Since(begin)
	if err == nil {
		d.others, d.alarm, d.nextAlarm = result.Foreign, false, time.Time{}
		if !timely && result.Done.Count == 0 {
			d.nextAlarm = now.Add(alarmShare * took)
		}
	}
	d.nextRepair = now.Add(min(repairShare*took, longestPause))
	return Change{Written: result.Done.Count, Mended: mendedServices(result.Done)}, err
}

// mendedServices returns what was not as it should be, in words.
func mendedServices(done ipvs.Done) []string {
	if done.Count > len(done.First) {
		return []string{fmt.Sprintf("%d entries of the IPVS table (%s first)", done.Count, done.First[0])}
	}
	return inWords(done.First)
}

// next returns up to n of the wanted keys: all of them in turn, in any order.
func (d *ipvsDriver) next(n int) []plan.Key {
	if len(d.round) == 0 {
		d.round = slices.AppendSeq(d.round[:0:0], maps.Keys(d.wanted.Services))
	}
	n = min(n, len(d.round))
	keys := slices.DeleteFunc(d.round[:n:n], func(key plan.Key) bool {
		_, wanted := d.wanted.Services[key]
		return !wanted || d.pending[key]
	})
	d.round = d.round[n:]
	return keys
}

// Lingering is how long flows that go through IPVS may go on once nftables serves.
const Lingering = 15 * time.Minute

// leave first makes sure that no new flow comes here, should the new backend not get it, and lets
// those under way end: to delete a virtual service ends its flows (net.ipv4.vs.expire_nodest_conn).
func (d *ipvsDriver) leave(ctx context.Context, now time.Time) (written int, gone bool, err error) {
	have, _, err := d.table.Read(ctx, d.scope())
	if errors.Is(err, ipvs.ErrNoModule) || err == nil && len(have.Services) == 0 {
		return 0, true, nil
	}
	if err != nil {
		return 0, false, err
	}
	if d.leaving.IsZero() {
		d.leaving = now
	}
	want := ipvs.Config{}
	over := now.Sub(d.leaving) >= Lingering
	if !over {
		want = drained(have)
	}
	done, err := d.table.Apply(ctx, ipvs.Diff(have, want))
	return done.Count, over && err == nil, err
}

// drained returns the same virtual services, whose destinations get no new flows.
func drained(have ipvs.Config) ipvs.Config {
	want := ipvs.Config{Services: make(map[plan.Key]ipvs.Service, len(have.Services))}
	for key, service := range have.Services {
		service.Destinations = slices.Clone(service.Destinations)
		for i := range service.Destinations {
			service.Destinations[i].Weight = 0
		}
		want.Services[key] = service
	}
	return want
}

func (d *ipvsDriver) close() { d.table.Close() }
