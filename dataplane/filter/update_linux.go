package filter

import (
	"context"
	"hash/maphash"
	"net/netip"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// fingerprint changes with every rule and element of the table.
func fingerprint(seed maphash.Seed) (uint64, error) {
	return nft.Fingerprint(seed, TableName, "served4", "hairpin4", "served6", "hairpin6")
}

// Update makes the table do what want says, like Sync, but assumes that the kernel has what the
// last Update wrote. That costs one run of nft instead of one for every chain. If nft disagrees, or
// Touched says that the table differs, Update reads the kernel. It keeps the lists of want: they
// must not be changed afterwards.
func (t *Table) Update(ctx context.Context, want Config) (Change, error) {
	begin, err := t.seen.Mark()
	if err != nil {
		return Change{}, err
	}
	want.Served, want.Hairpin = unique(want.Served, serviceport.Key.Compare), unique(want.Hairpin, netip.Addr.Compare)
	known, touched := t.known, t.Touched()
	var change Change
	if known != nil {
		change = Diff(*known, want)
		if change.Empty() && !touched {
			return change, nil
		}
	}
	t.known = nil
	read := known == nil || change.Empty()
	if !read {
		change, err = t.Apply(ctx, change)
		read = err != nil
	}
	if read {
		change, err = t.Sync(ctx, want)
	}
	if err != nil {
		return change, err
	}
	t.known = &State{Digest: want.wantedDigest(), Served: want.Served, Hairpin: want.Hairpin}
	t.settle(begin, read || change.Replace || !touched)
	return change, nil
}

// settle remembers the table as it is, if it is sure to be right and nobody else has written since
// the mark.
func (t *Table) settle(begin nft.Mark, sure bool) {
	t.print = nil
	t.seen.Forget()
	if !sure {
		return
	}
	if t.seed == (maphash.Seed{}) {
		t.seed = maphash.MakeSeed()
	}
	if print, err := fingerprint(t.seed); err == nil && t.seen.Settle(begin) {
		t.print = &print
	}
}

// Touched reports whether anybody has changed our table since the last Update, or might have. It
// costs one netlink request as long as nobody writes to nftables, and six if somebody writes to
// other tables.
func (t *Table) Touched() bool {
	return t.known == nil || t.print == nil || t.seen.Touched(func() (same, whole bool) {
		print, err := fingerprint(t.seed)
		return err == nil && print == *t.print, true
	})
}
