package nftables

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"time"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// Table is the nftables table of the network namespace of whoever calls. The zero Table is ready to use; it is not
// safe for concurrent use.
type Table struct {
	nft knftables.Interface

	// known are the layouts that the kernel has, as far as this Table wrote them; nil if that is not sure. counters and
	// chains are how it has the maps, and which chains.
	known    map[Key]Layout
	counters bool
	chains   map[string]bool
	// sum is that of the elements of known, by seed.
	seed maphash.Seed
	sum  sums
	seen nft.Seen
	// slots is how many slots known has, and compared is when the kernel's were last compared with them.
	slots    int
	compared time.Time
	// unswept are services that may have clients whose affinity is to an endpoint that is gone.
	unswept map[Key]bool
}

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

// Sync makes the table serve what want says, reading all of the kernel's, and returns what it changed. It is safe to
// repeat. An empty Config removes the table.
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

// remember takes the layouts for what the kernel has.
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

// Update makes those services what want says, like Sync, and looks at no others; it takes the kernel to have what this
// Table gave it. If the kernel says otherwise, or there was no Sync yet, it is a Sync. keys may be of services that want
// does not have: they go.
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

// changeOf is what Update does, but for the affinities.
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

// learn takes what was applied for what the kernel has.
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

// lost tells whether clients may have affinity to an endpoint that they should no longer get.
func (s ServiceChange) lost() bool {
	if s.Want.Remember == "" {
		return true
	}
	for _, endpoint := range s.Have.Slots {
		if !s.Want.gives(endpoint) {
			return true
		}
	}
	return false
}

// sweep ends the affinity of clients to endpoints that are gone. It comes after the slots were written: a packet that was
// on its way may have had one of the old.
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

// slotsASecond is how many slots are compared in a second at most while others write to nftables again and again: a
// hundredth of what one CPU can do.
const slotsASecond = 4000

// Touched tells whether the table is no longer what this Table made of it, or might not be. It costs one netlink request
// as long as nobody writes to nftables; if somebody has written to other tables, it reads all of this one once. Where
// others write all the time it leaves the slots of a large table out, but for once in n/4000 seconds with n slots.
func (t *Table) Touched() bool {
	return t.known == nil || t.seen.Touched(func() (same, whole bool) {
		now := time.Now()
		whole = t.slots <= slotsASecond || now.Sub(t.compared) >= time.Duration(t.slots/slotsASecond)*time.Second
		same, err := t.same(whole)
		if err == nil && same && whole {
			t.compared = now
		}
		return err == nil && same, whole
	})
}

// same tells whether the kernel has what is known, affinities aside, and slots if they are not asked for.
func (t *Table) same(slots bool) (bool, error) {
	exists, err := tableExists()
	if err != nil || !exists {
		return err == nil && len(t.known) == 0, err
	}
	shapes, err := readMaps()
	if err != nil || !maps.Equal(shapes, wantedMaps(t.counters)) {
		return false, err
	}
	chains, err := readChains()
	if err != nil || len(chains) != len(t.chains) {
		return false, err
	}
	for name := range t.chains {
		if wanted, _ := wantedDigest(name); chains[name] != wanted {
			return false, nil
		}
	}
	// What was just added may be listed wrong, but seldom twice; see dumps.
	for range 3 {
		sum, err := t.sumNow(slots)
		if !slots {
			sum.slots = t.sum.slots
		}
		if err != nil || sum == t.sum {
			return err == nil, err
		}
	}
	return false, nil
}

// sums of the hashes of elements: they do not depend on the order, which is the kernel's.
type sums struct{ slots, others uint64 }

// sumNow is the sum of the elements that the kernel has, affinities aside, and slots if they are not asked for.
func (t *Table) sumNow(slots bool) (sum sums, err error) {
	for _, m := range mappings(t.counters) {
		kind, _ := kindOf(m.name)
		if m.dynamic || kind == "slots" && !slots {
			continue
		}
		messages, err := nft.Elements(TableName, m.name)
		if err != nil {
			return sums{}, err
		}
		for _, message := range messages {
			for _, attrs := range nft.Attributes(nft.Attribute(message, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
				sum.add(parseElement(m.name, attrs), t.seed, 1)
			}
		}
	}
	return sum, nil
}

// count adds the elements of a layout that is known from now on, or takes them away if sign is -1.
func (t *Table) count(key Key, layout Layout, sign int) {
	t.slots += sign * len(layout.Slots)
	for _, e := range (ServiceChange{Key: key, Want: layout}).elements() {
		t.sum.add(e, t.seed, sign)
	}
}

// add adds the element, or takes it away if sign is -1.
func (s *sums) add(e element, seed maphash.Seed, sign int) {
	h := maphash.String(seed, e.set)
	h = h*31 + maphash.Bytes(seed, e.key)
	h = h*31 + maphash.Bytes(seed, e.value)
	h = mix(h*31+maphash.String(seed, e.chain)) * uint64(sign)
	if e.chain == "" {
		s.slots += h
	} else {
		s.others += h
	}
}

// Close gives back what is held in this process; the kernel stays as it is.
func (t *Table) Close() {
	t.seen.Close()
	*t = Table{}
}
