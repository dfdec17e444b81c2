package filter

import (
	"context"
	"net/netip"
)

// Update makes the table do what want says, like Sync, but takes the kernel to have what Update gave it last: one run of
// nft instead of one for every chain. If nft disagrees, or nothing is to be changed though somebody wrote to nftables,
// it reads the kernel.
func (t *Table) Update(ctx context.Context, want Config) (Change, error) {
	before, err := Generation()
	if err != nil {
		return Change{}, err
	}
	known, generation := t.known, t.generation
	t.known = nil
	var change Change
	if known != nil {
		change = Diff(*known, want)
	}
	switch {
	case known == nil || change.Empty() && before != generation:
		change, err = t.Sync(ctx, want)
	case !change.Empty():
		if change, err = t.Apply(ctx, change); err != nil {
			change, err = t.Sync(ctx, want)
		}
	}
	if err != nil {
		return change, err
	}
	t.known = &State{Digest: want.wantedDigest(), Served: unique(want.Served, Port.Compare),
		Hairpin: unique(want.Hairpin, netip.Addr.Compare)}
	t.generation = before
	if !change.Empty() {
		t.generation++ // by our transaction; if it is more by now, somebody else wrote as well
	}
	return change, nil
}

// Touched tells whether anybody has written to nftables since the last Update, or might have. It costs one netlink
// request.
func (t *Table) Touched() bool {
	generation, err := Generation()
	return err != nil || t.known == nil || generation != t.generation
}
