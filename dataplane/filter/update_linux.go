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

// Update makes the table do what want says, like Sync, but takes the kernel to have what Update gave it last: one run of
// nft instead of one for every chain. If nft disagrees, or Touched says that the table is another, it reads the kernel.
// The lists of want are kept and must not be changed afterwards.
func (t *Table) Update(ctx context.Context, want Config) (Change, error) {
	before, err := nft.Generation()
	if err != nil {
		return Change{}, err
	}
	want.Served, want.Hairpin = unique(want.Served, serviceport.Key.Compare), unique(want.Hairpin, netip.Addr.Compare)
	known, touched, begin := t.known, t.Touched(), t.transactions
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
	// If the generation is another one than this by now, somebody else wrote as well.
	t.remember(before+t.transactions-begin, read || change.Replace || !touched)
	return change, nil
}

// remember takes the table as it is for the one that Touched compares with, if it is sure to be right and nobody else has
// written meanwhile.
func (t *Table) remember(generation uint32, sure bool) {
	t.generation, t.print = generation, nil
	if !sure {
		return
	}
	if t.seed == (maphash.Seed{}) {
		t.seed = maphash.MakeSeed()
	}
	print, err := fingerprint(t.seed)
	if err != nil {
		return
	}
	if now, err := nft.Generation(); err == nil && now == generation {
		t.print = &print
	}
}

// Touched tells whether anybody has changed our table since the last Update, or might have. It costs one netlink request
// as long as nobody writes to nftables, and six if somebody writes to other tables.
func (t *Table) Touched() bool {
	generation, err := t.watch.Generation()
	switch {
	case err != nil || t.known == nil || t.print == nil:
		return true
	case generation == t.generation:
		return false
	}
	print, err := fingerprint(t.seed)
	if err != nil || print != *t.print {
		return true
	}
	t.generation = generation // nothing of ours was in it
	return false
}
