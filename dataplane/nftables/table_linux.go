package nftables

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"sigs.k8s.io/knftables"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// Table is the nftables table of the caller's network namespace. The zero Table is ready to use. It
// is not safe for concurrent use.
type Table struct {
	nft knftables.Interface

	// known are the layouts that the kernel has, as far as this Table wrote them; nil if that is not
	// sure. counters and chains are how it has the maps, and which chains.
	known    map[Key]Layout
	counters bool
	chains   map[string]bool
	// sum is that of the elements of known, by seed.
	seed maphash.Seed
	sum  sums
	seen nft.Seen
	// conn writes elements.
	conn nft.Conn
	// slots is how many slots known has, and compared is when the kernel's were last compared with
	// them.
	slots    int
	compared time.Time
	// unswept are services that may have clients whose affinity is to an endpoint that is gone.
	unswept map[Key]bool
}

// Share has the writes to the table counted with those to other tables of this process, until Close:
// see nft.Seen.
func (t *Table) Share(w *nft.Writes) { t.seen.Share(w) }

// open looks for nft when it is first needed, and again after a failure.
func (t *Table) open() error {
	if t.nft != nil {
		return nil
	}
	n, err := knftables.New(knftables.InetFamily, TableName)
	if err != nil {
		return fmt.Errorf("starting nftables: %w", missing(err))
	}
	t.nft = n
	return nil
}

// Sync makes the table serve what want says, reading all of the kernel's, and returns what it
// changed. It is safe to repeat. An empty Config removes the table.
func (t *Table) Sync(ctx context.Context, want Config) (Change, error) {
	t.known = nil
	begin, err := t.seen.Mark()
	if err != nil {
		return Change{}, explain(err)
	}
	have, err := t.Read(ctx)
	if err != nil {
		return Change{}, err
	}
	layouts := want.layouts()
	var change Change
	if want.empty() {
		change = Diff(have, want)
	} else {
		change = diff(have, want, layouts)
	}
	change, err = t.Apply(ctx, change)
	if err != nil {
		return change, err
	}
	t.remember(want, layouts)
	t.seen.Settle(begin)
	return change, nil
}

// remember remembers the layouts as what the kernel has.
func (t *Table) remember(want Config, layouts map[Key]Layout) {
	if t.seed == (maphash.Seed{}) {
		t.seed = maphash.MakeSeed()
	}
	t.known, t.counters, t.chains, t.unswept = layouts, want.Counters, needed(layouts), map[Key]bool{}
	t.sum, t.slots = sums{}, 0
	for key, layout := range layouts {
		t.count(key, layout, 1)
	}
}

// Update makes the services with those keys what want says, and looks at no others. It assumes that
// the kernel has what this Table wrote. If the kernel disagrees, or there was no Sync yet, Update
// does a Sync. Services with a key that want does not have are deleted.
func (t *Table) Update(ctx context.Context, want Config, keys []Key) (Change, error) {
	if len(t.known) == 0 || want.empty() || want.Counters != t.counters {
		return t.Sync(ctx, want)
	}
	begin, err := t.seen.Mark()
	if err != nil {
		return Change{}, explain(err)
	}
	right := t.seen.WasRight(begin)
	change := t.changeOf(want, keys)
	applied, err := t.Apply(ctx, change)
	if err == nil {
		t.learn(applied)
		var swept []Client
		swept, err = t.sweep(ctx)
		applied.Forget = swept
	}
	if err != nil {
		if ctx.Err() != nil {
			t.known = nil
			return applied, err
		}
		return t.Sync(ctx, want)
	}
	if right {
		t.seen.Settle(begin)
	}
	return applied, nil
}

// changeOf is what Update does, without the affinities.
func (t *Table) changeOf(want Config, keys []Key) Change {
	have, layouts := map[Key]Layout{}, map[Key]Layout{}
	for _, key := range keys {
		if layout, ok := t.known[key]; ok {
			have[key] = layout
		}
		if service, ok := want.Services[key]; ok {
			layouts[key] = service.layout(key)
		}
	}
	change := Change{Services: diffServices(have, layouts), Counters: want.Counters}
	write, _ := diffChains(nil, layouts)
	for _, name := range write {
		if !t.chains[name] {
			change.Chains = append(change.Chains, name)
		}
	}
	return change
}

// learn remembers what was applied as what the kernel has.
func (t *Table) learn(applied Change) {
	for _, name := range applied.Chains {
		t.chains[name] = true
	}
	for _, s := range applied.Services {
		t.count(s.Key, s.Have, -1)
		t.count(s.Key, s.Want, 1)
		if s.Want.Chain == "" {
			delete(t.known, s.Key)
		} else {
			t.known[s.Key] = s.Want
		}
		if s.Have.Remember != "" && s.lost() {
			t.unswept[s.Key] = true
		}
	}
}

// lost reports whether clients may have affinity to an endpoint that they should no longer get.
func (s ServiceChange) lost() bool {
	if s.Want.Remember == "" {
		return true
	}
	for _, endpoint := range s.Have.Slots {
		if !s.Want.offers(endpoint) {
			return true
		}
	}
	return false
}

// sweep ends the affinity of clients to endpoints that are gone. It comes after the slots were
// written: a packet that was on its way may have had one of the old.
func (t *Table) sweep(ctx context.Context) (forget []Client, err error) {
	for _, f := range families {
		any := false
		for key := range t.unswept {
			any = any || key.Address.Is4() == f.is4
		}
		if !any {
			continue
		}
		affinity, err := readAffinity(f)
		if err != nil {
			return nil, err
		}
		for client := range affinity {
			if !t.unswept[client.Key] {
				delete(affinity, client)
			}
		}
		forget = append(forget, stale(affinity, t.known)...)
	}
	if err := t.forget(ctx, forget); err != nil {
		return nil, err
	}
	clear(t.unswept)
	return forget, nil
}

// Close frees what this process holds. The kernel stays as it is.
func (t *Table) Close() {
	t.seen.Close()
	t.conn.Close()
	*t = Table{}
}
