package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// driver makes the kernel serve virtual services in one way. Its errors name what was not done. The
// rest was done, and the next call tries again what was not.
type driver interface {
	// sync brings the kernel in step with the wanted services that changed. At first and after an
	// error it does so with all services that it was ever given.
	sync(ctx context.Context, changed Changed) (Change, error)
	// touched reports whether others may have done something that repair should mend. It is asked
	// once a second, and costs next to nothing as long as they have not.
	touched(ctx context.Context, now time.Time) bool
	// repair mends it, if they have. A thorough repair looks at more.
	repair(ctx context.Context, now time.Time, thorough bool) (Change, error)
	// leave deletes what this driver, or one like it before it, has in the kernel, once another one
	// serves. It is called again until all has gone: flows that are under way may be given time to
	// end.
	leave(ctx context.Context, now time.Time) (written int, gone bool, err error)
	// close releases what this process holds; the kernel stays as it is.
	close()
}

// Changed are the keys of services that changed, with the destinations that they had before.
type Changed map[plan.Key][]plan.Destination

// Change is what was done to the kernel.
type Change struct {
	// Written is how many objects were written.
	Written int
	// What are the first few of them, in words; nil if that is not told.
	What []string
	// Mended names what others had changed and is again as it should be, in words.
	Mended []string
}

// And returns both changes as one.
func (c Change) And(other Change) Change {
	return Change{Written: c.Written + other.Written, What: append(c.What, other.What...), Mended: append(c.Mended, other.Mended...)}
}

// Backend makes the kernel serve what a plan.Table has. It is not safe for concurrent use.
type Backend struct {
	wanted *plan.Table
	// writes counts the agent's writes to nftables.
	writes *nft.Writes
	// owned are the VIP CIDRs that are ours: those of now, and those that were served before.
	owned []netip.Prefix
	// refused are the VIP CIDRs in which IPVS serves nothing.
	refused []netip.Prefix

	// by is what serving is, and counters whether it counts flows.
	by       v1alpha1.DataplaneBackend
	counters bool
	// serving is what serves clusterset IPs; nil while nothing may.
	serving driver
	// leaving is the other one, until nothing of it is left in the kernel.
	leaving driver
	// inStep is false until serving has once brought the kernel in step with all wanted services.
	inStep bool
	// ended are the flows to endpoints that are gone.
	ended ended
}

// New returns a Backend that serves what the table has, once Serve says by what. Its writes to nftables
// are counted.
func New(wanted *plan.Table, writes *nft.Writes) *Backend {
	return &Backend{wanted: wanted, writes: writes}
}

// Own makes VIP CIDRs ours. They stay ours, so that what is served there goes when it is no longer
// wanted.
func (b *Backend) Own(vips ...netip.Prefix) {
	for _, p := range vips {
		if !slices.Contains(b.owned, p) {
			b.owned = append(b.owned, p)
			b.Close() // the next drivers know all of them
		}
	}
}

// Refuse makes IPVS serve nothing inside those VIP CIDRs, and everything inside the others.
func (b *Backend) Refuse(vips []netip.Prefix) {
	if !slices.Equal(b.refused, vips) {
		b.refused = vips
		b.Close() // the next drivers know
	}
}

// Recall returns by what an earlier life of this agent serves in our VIP CIDRs, empty if it does not,
// and what IPVS still has of it; nothing if that cannot be read. (nftables keeps the flows to endpoints
// that drain by itself.)
func (b *Backend) Recall(ctx context.Context) (by v1alpha1.DataplaneBackend, served map[plan.Key]plan.VirtualService) {
	d := newIPVSDriver(b.wanted, b.owned, nil)
	defer d.close()
	if served = d.recall(ctx); len(served) > 0 {
		by = v1alpha1.BackendIPVS
	}
	// Where both are there, nftables translates a packet before IPVS sees it.
	if exists, err := nft.TableExists(nftables.TableName); err == nil && exists {
		by = v1alpha1.BackendNFTables
	}
	return by, served
}

// Serve says what serves from now on, and reports whether that is new. The other backend leaves as
// soon as the kernel is in step with this one, also if it is from an earlier life of this agent: so
// established flows go on, and no new flow comes to a place where nothing serves.
func (b *Backend) Serve(by v1alpha1.DataplaneBackend, counters bool) (switched bool) {
	if b.serving != nil && b.by == by && b.counters == counters {
		return false
	}
	b.Close()
	b.by, b.counters, b.inStep = by, counters, false
	b.serving, b.leaving = newIPVSDriver(b.wanted, slices.Clone(b.owned), b.refused), newNFTDriver(b.wanted, b.writes, counters)
	if by == v1alpha1.BackendNFTables {
		b.serving, b.leaving = b.leaving, b.serving
	}
	return true
}

// Serves returns what serves; empty before the first Serve.
func (b *Backend) Serves() v1alpha1.DataplaneBackend { return b.by }

// Ready reports whether something serves: Serve was called after the last Own of a new VIP CIDR.
func (b *Backend) Ready() bool { return b.serving != nil }

// InStep reports whether the kernel has been in step with all wanted services since the last
// switch.
func (b *Backend) InStep() bool { return b.inStep }

// Leaving reports whether the other backend may still have something in the kernel.
func (b *Backend) Leaving() bool { return b.leaving != nil }

// Sync brings the kernel in step with the wanted services that changed; with all of them until the
// kernel was once in step. It may be given less after an error: what it could not do, it tries
// again. Flows to endpoints that are gone end soon after: see Wait.
func (b *Backend) Sync(ctx context.Context, changed Changed) (Change, error) {
	if !b.inStep {
		changed = b.all(changed)
	}
	b.ended.add(changed, b.wanted, b.by)
	did, err := b.serving.sync(ctx, changed)
	if err != nil {
		return did, err
	}
	b.inStep = true
	ended, err := b.ended.forget(ctx)
	return did.And(endedFlows(ended)), err
}

// endedFlows is the change by so many flows that ended.
func endedFlows(n int) Change {
	if n == 0 {
		return Change{}
	}
	return Change{Written: n, What: []string{fmt.Sprintf("%d flows to endpoints that are gone", n)}}
}

// all returns all wanted services, and those that went since a first attempt that failed.
func (b *Backend) all(changed Changed) Changed {
	all := make(Changed, b.wanted.Len())
	for _, key := range b.wanted.Keys() {
		all[key] = nil
	}
	maps.Copy(all, changed)
	return all
}

// Touched reports whether Repair may find something. It costs next to nothing while nobody else
// writes.
func (b *Backend) Touched(ctx context.Context, now time.Time) bool {
	return b.ended.hasFailed() || b.serving.touched(ctx, now)
}

// Repair mends what others did, and tries again to end flows that could not be ended. A thorough
// repair looks at more.
func (b *Backend) Repair(ctx context.Context, now time.Time, thorough bool) (Change, error) {
	did, err := b.serving.repair(ctx, now, thorough)
	if err != nil || !b.ended.hasFailed() {
		return did, err
	}
	ended, err := b.ended.forget(ctx)
	return did.And(endedFlows(ended)), err
}

// Wait returns when the flows to endpoints that are gone have ended, or could not be ended.
func (b *Backend) Wait() { b.ended.deleting.Wait() }

// Leave deletes what the other backend has in the kernel, or a part of it: flows that are under way
// may be given time to end.
func (b *Backend) Leave(ctx context.Context, now time.Time) (Change, error) {
	if b.leaving == nil {
		return Change{}, nil
	}
	written, gone, err := b.leaving.leave(ctx, now)
	if gone {
		b.leaving.close()
		b.leaving = nil
	}
	return Change{Written: written}, err
}

// Foreign returns the virtual services of others inside our VIP CIDRs, in words, as of the last
// repair or full sync. nftables has none: its table is ours alone.
func (b *Backend) Foreign() []string {
	if d, ok := b.serving.(*ipvsDriver); ok {
		return inWords(d.others)
	}
	return nil
}

// Remarks returns what one should know, with the remedy, though the kernel is as wanted; as of the
// last thorough repair. IPVS has none: it has no limits of its own.
func (b *Backend) Remarks() []string {
	if d, ok := b.serving.(*nftDriver); ok {
		return d.remarks()
	}
	return nil
}

// Close releases what this process holds; the kernel stays as it is.
func (b *Backend) Close() {
	for _, d := range []driver{b.serving, b.leaving} {
		if d != nil {
			d.close()
		}
	}
	b.serving, b.leaving = nil, nil
}

// Remove deletes from the kernel what both backends have made inside those VIP CIDRs. It tries
// both.
func Remove(ctx context.Context, vips []netip.Prefix) error {
	var errs []error
	var services ipvs.Table
	defer services.Close()
	if _, err := services.Sync(ctx, ipvs.Scope{VIPs: vips}); err != nil && !errors.Is(err, ipvs.ErrNoModule) {
		errs = append(errs, fmt.Errorf("removing virtual services: %w", err))
	}
	var slots nftables.Table
	defer slots.Close()
	if _, err := slots.Sync(ctx, nftables.Config{}); err != nil {
		errs = append(errs, fmt.Errorf("removing what nftables serves: %w", err))
	}
	return errors.Join(errs...)
}
