package firewall

import "slices"

// Elements are what several owners want in the sets of a table. An element is in its set as long as
// one of them wants it. What they are depends on what was last put in for each owner, not on the order.
// The zero Elements are ready to use. They are not safe for concurrent use.
type Elements[Owner comparable] struct {
	// wanted are the keys that each owner wants, by the names of the sets.
	wanted map[Owner]map[string][]string
	sets   map[string]*claimed
}

// claimed are the keys of one set.
type claimed struct {
	// claims is how many owners want a key.
	claims map[string]int
	// changed are the keys of which that may be zero now and was not when keys was made, or the other
	// way round; some of them more than once.
	changed []string
	keys    Keys
}

// Put replaces what an owner wants: keys, in any order, by the names of the sets. Without keys the owner
// is gone. It reports whether that is something else than before.
func (e *Elements[Owner]) Put(owner Owner, keys map[string][]string) (changed bool) {
	if e.wanted == nil {
		e.wanted, e.sets = map[Owner]map[string][]string{}, map[string]*claimed{}
	}
	old, now := e.wanted[owner], make(map[string][]string, len(keys))
	for set, all := range keys {
		if all = slices.Compact(slices.Sorted(slices.Values(all))); len(all) > 0 {
			now[set] = all
		}
	}
	for set := range old {
		changed = e.claim(set, missing(old[set], now[set]), -1) || changed
	}
	for set := range now {
		changed = e.claim(set, missing(now[set], old[set]), 1) || changed
	}
	switch {
	case !changed:
	case len(now) == 0:
		delete(e.wanted, owner)
	default:
		e.wanted[owner] = now
	}
	return changed
}

// claim counts one owner more or less for each of the keys of a set. It reports whether there are any.
func (e *Elements[Owner]) claim(set string, keys []string, owners int) bool {
	if len(keys) == 0 {
		return false
	}
	c := e.sets[set]
	if c == nil {
		c = &claimed{claims: map[string]int{}}
		e.sets[set] = c
	}
	for _, key := range keys {
		before := c.claims[key]
		if c.claims[key] = before + owners; before+owners == 0 {
			delete(c.claims, key)
		}
		if before == 0 || before+owners == 0 {
			c.changed = append(c.changed, key)
		}
	}
	return true
}

// Sets are the keys of the sets that have any, by their names. What has changed since the last time
// decides how long it takes.
func (e *Elements[Owner]) Sets() map[string]Keys {
	sets := make(map[string]Keys, len(e.sets))
	for name, c := range e.sets {
		if c.settle(); c.keys.Len() > 0 {
			sets[name] = c.keys
		} else {
			delete(e.sets, name)
		}
	}
	return sets
}

// settle makes the keys what is claimed.
func (c *claimed) settle() {
	if len(c.changed) == 0 {
		return
	}
	var add, gone []string
	slices.Sort(c.changed)
	for _, key := range slices.Compact(c.changed) {
		if c.claims[key] > 0 {
			add = append(add, key)
		} else {
			gone = append(gone, key)
		}
	}
	c.keys, c.changed = c.keys.With(add, gone), nil
}
