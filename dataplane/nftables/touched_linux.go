package nftables

import (
	"hash/maphash"
	"maps"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// slotsASecond is how many slots are compared in a second at most while others write to nftables
// again and again: a hundredth of what one CPU can do.
const slotsASecond = 4000

// Touched reports whether the table is no longer what this Table made of it, or might not be. It
// costs one netlink request as long as nobody writes to nftables. After writes to other tables it
// reads all of this one once. While others write all the time, it compares the n slots of a large
// table only once in n/4000 seconds.
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

// same reports whether the kernel has what is known. It compares no affinities, and slots only if
// they are asked for.
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

// sumNow is the sum of the elements that the kernel has, without affinities, and with slots only if
// they are asked for.
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

// count adds the elements of a layout that is known from now on, or subtracts them if sign is -1.
func (t *Table) count(key Key, layout Layout, sign int) {
	t.slots += sign * len(layout.Slots)
	for _, e := range (ServiceChange{Key: key, Want: layout}).elements() {
		t.sum.add(e, t.seed, sign)
	}
}

// add adds the element, or subtracts it if sign is -1.
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
