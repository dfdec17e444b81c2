package conntrack

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// fewKeys is up to how many ports are asked for one by one. The kernel then looks through its table
// for each, and tells only of their flows. To list the whole table costs as much as a hundred such
// questions.
const fewKeys = 16

// Delete is Conn.Delete in the caller's network namespace.
func Delete(ctx context.Context, flows []Flow) (deleted int, err error) {
	return (&Conn{}).Delete(ctx, flows)
}

// Delete deletes the entries of those flows and returns how many there were. It asks the kernel for
// the flows to each of their ports. If there are many ports it lists the kernel's table once for each
// family. An entry that has gone meanwhile counts as deleted. The error is EPERM without the
// capability NET_ADMIN.
//
// The kernel looks at each bucket of its table for each question, even if the table is empty: 5 ms
// where it has 262,144.
func (c *Conn) Delete(ctx context.Context, flows []Flow) (deleted int, err error) {
	wanted, keys := map[Flow]bool{}, map[serviceport.Key]bool{}
	for _, flow := range flows {
		wanted[flow], keys[flow.Key] = true, true
	}
	match := func(e entry) bool { return wanted[e.flow] }
	var errs []error
	if len(keys) <= fewKeys {
		for key := range keys {
			n, err := c.deleteEntries(ctx, familyOf(key.Address), &key, match)
			deleted, errs = deleted+n, append(errs, err)
		}
		return deleted, errors.Join(errs...)
	}
	for _, family := range families(func(yield func(netip.Addr)) {
		for key := range keys {
			yield(key.Address)
		}
	}) {
		n, err := c.deleteEntries(ctx, family, nil, match)
		deleted, errs = deleted+n, append(errs, err)
	}
	return deleted, errors.Join(errs...)
}

// DeleteStale deletes the entries of stale flows in the caller's network namespace, and returns how
// many there were. It lists the kernel's table once for each family of the blocks. Its errors are
// those of Delete.
func DeleteStale(ctx context.Context, stale Stale) (deleted int, err error) {
	return deleteInside(ctx, slices.Concat(stale.Services, stale.Remote), stale.holds)
}

// DeleteInside deletes the entries of all flows to addresses inside the blocks, as DeleteStale does
// with those that are stale.
func DeleteInside(ctx context.Context, blocks []netip.Prefix) (deleted int, err error) {
	return deleteInside(ctx, blocks, func(e entry) bool { return inside(blocks, e.flow.Address) })
}

func deleteInside(ctx context.Context, blocks []netip.Prefix, match func(entry) bool) (deleted int, err error) {
	var errs []error
	for _, family := range families(func(yield func(netip.Addr)) {
		for _, p := range blocks {
			yield(p.Addr())
		}
	}) {
		n, err := (&Conn{}).deleteEntries(ctx, family, nil, match)
		deleted, errs = deleted+n, append(errs, err)
	}
	return deleted, errors.Join(errs...)
}

// families are those of the addresses.
func families(each func(yield func(netip.Addr))) (all []uint8) {
	each(func(a netip.Addr) {
		if family := familyOf(a); !slices.Contains(all, family) {
			all = append(all, family)
		}
	})
	return all
}

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
