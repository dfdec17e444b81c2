package backend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// nftDriver serves by nftables.
type nftDriver struct {
	services *plan.Table
	table    nftables.Table
	// wanted is what the table should serve.
	wanted nftables.Config
	// pending are the keys that changed since the kernel was last in step with them.
	pending map[plan.Key]bool
	// behind is true if the last attempt failed, so that the kernel is not as wanted.
	behind bool
	// full are the families of which no more clients with affinity fit, as of the last thorough
	// repair.
	full []string
}

func newNFTDriver(services *plan.Table, writes *nft.Writes, counters bool) *nftDriver {
	d := &nftDriver{services: services, pending: map[plan.Key]bool{},
		wanted: nftables.Config{Services: map[plan.Key]nftables.Service{}, Counters: counters}}
	d.table.Share(writes)
	return d
}

func (d *nftDriver) sync(ctx context.Context, changed Changed) (Change, error) {
	d.convert(changed)
	change, err := d.table.Update(ctx, d.wanted, slices.SortedFunc(maps.Keys(d.pending), plan.Key.Compare))
	d.behind = err != nil
	if err != nil {
		return served(change), nftables.Diagnose(ctx, err)
	}
	clear(d.pending)
	return served(change), nil
}

// served is what was done, by the services that it was about.
func served(change nftables.Change) Change {
	did := Change{Written: change.Size()}
	for _, s := range change.Services[:min(len(change.Services), firstFew)] {
		did.What = append(did.What, s.Key.String())
	}
	return did
}

// convert makes of those keys what the table should serve.
func (d *nftDriver) convert(changed Changed) {
	for key := range changed {
		d.pending[key] = true
		if service, exists := d.services.Get(key); exists {
			d.wanted.Services[key] = nftService(service)
		} else {
			delete(d.wanted.Services, key)
		}
	}
}

// touched costs one netlink request as long as nobody writes to nftables. After an attempt that
// failed there is nothing to repair: the next sync compares all.
func (d *nftDriver) touched(context.Context, time.Time) bool { return !d.behind && d.table.Touched() }

func (d *nftDriver) repair(ctx context.Context, now time.Time, thorough bool) (did Change, err error) {
	if d.touched(ctx, now) {
		did, err = d.mend(ctx)
	}
	if thorough && !d.behind {
		d.full, err = d.table.Full(ctx, d.wanted)
	}
	return did, nftables.Diagnose(ctx, err)
}

func (d *nftDriver) mend(ctx context.Context) (Change, error) {
	change, err := d.table.Sync(ctx, d.wanted)
	d.behind = err != nil
	did := Change{Written: change.Size()}
	switch {
	case change.Replace || change.Create:
		did.Mended = []string{"the nftables table " + nftables.TableName}
	case !change.Empty():
		did.Mended = []string{fmt.Sprintf("%d elements of the nftables table %s", change.Size(), nftables.TableName)}
	}
	return did, err
}

// leave deletes the table at once: conntrack knows where the flows under way go.
func (d *nftDriver) leave(ctx context.Context, _ time.Time) (written int, gone bool, err error) {
	change, err := d.table.Sync(ctx, nftables.Config{})
	return change.Size(), err == nil, err
}

func (d *nftDriver) remarks() []string {
	if len(d.full) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("no room for more clients with session affinity (%s, %d of them): new ones go to any endpoint until the time of others is over; "+
		"shorten sessionAffinityConfig.clientIP.timeoutSeconds of the Services, or serve with IPVS", strings.Join(d.full, " and "), nftables.MaxAffinities)}
}

func (d *nftDriver) close() { d.table.Close() }
