package plan

import (
	"slices"
	"time"
)

// choice is what becomes of one port of one clusterset IP.
type choice struct {
	target
	// candidates are the endpoints of its family that have the port, sorted by address and port, without duplicates.
	candidates []candidate
	levels     []level
	// from is the state of the endpoints that get new flows: isReady, and if there are none isCutOff, else isLeaving. If
	// nobody gets any it is isGone.
	from state
	// drains of this plan, and those that are over but must not begin anew.
	drains []drain
}

// next is what follows from a choice.
type next struct {
	service VirtualService
	memory  portMemory
	// again is when to choose anew; zero: not before something changes.
	again time.Time
}

// candidate is an endpoint that has the port.
type candidate struct {
	// endpoint is an index in view.endpoints.
	endpoint int32
	port     uint16
	// drains: it keeps its flows and gets no new ones.
	drains bool
	// weight is zero if it gets no new flows.
	weight uint32
}

// programmed tells whether it is a destination.
func (k candidate) programmed() bool { return k.weight > 0 || k.drains }

// level is a set of candidates that are used together.
type level struct {
	// total of those that are not terminating: what terminates is to be no part of it, and a Service that is made
	// smaller is not ill.
	total int
	// count of those in each state that may get flows.
	count [isLeaving + 1]int
	// share of new flows, as any number beside the sum of all levels'.
	share  int
	memory levelMemory
}

// choose what becomes of a target. (Two results, as the second outlives the scratch that the first is in.)
func (v *view) choose(t target, s *scratch) (choice, next) {
	served, before := v.in.Memory.of(t.Key)
	candidates := v.candidates(&t, s.candidates[:0])
	levels := v.count(candidates, s.levels[:0])
	from, levelMemories, again := v.share(levels, before.levels)
	v.weigh(candidates, levels, from, s.groups[:0])
	drains, drained := v.drain(candidates, served.Destinations, t.Protocol, before.drains, s.drains[:0])
	return choice{target: t, candidates: candidates, levels: levels, from: from, drains: drains}, next{
		service: v.service(t.Key, candidates, served.Destinations),
		memory:  portMemory{levels: levelMemories, drains: kept(before.drains, drains)},
		again:   earlier(again, drained),
	}
}

// candidates of a target are appended to found.
func (v *view) candidates(t *target, found []candidate) []candidate {
	var room [len(scratch{}.sources)]uint16
	numbers := room[:0]
	for i, from := range v.sources {
		number := uint16(0)
		if from.used && from.is4 == t.Address.Is4() {
			number = t.number(v.in.Slices[i])
		}
		numbers = append(numbers, number)
	}
	for i := range v.endpoints {
		if port := numbers[v.endpoints[i].source]; port > 0 {
			found = append(found, candidate{endpoint: int32(i), port: port})
		}
	}
	// They are in the order of the endpoints, which is that of addresses. Few have several ports at one address.
	if !slices.IsSortedFunc(found, v.compare) {
		slices.SortStableFunc(found, v.compare)
	}
	return slices.CompactFunc(found, func(a, b candidate) bool { return v.compare(a, b) == 0 })
}

func (v *view) compare(a, b candidate) int { return v.destination(a).Compare(v.destination(b)) }

func (v *view) destination(c candidate) Destination {
	e := &v.endpoints[c.endpoint]
	return Destination{Address: e.address, Port: c.port, Weight: c.weight, OnThisNode: e.here}
}

// count the candidates by levels, which are appended to levels.
func (v *view) count(all []candidate, levels []level) []level {
	for range v.levels {
		levels = append(levels, level{})
	}
	for _, c := range all {
		e := &v.endpoints[c.endpoint]
		if e.level == noLevel {
			continue
		}
		l := &levels[e.level]
		if e.state <= isLeaving {
			l.count[e.state]++
		}
		if e.state != isLeaving && e.state != isGone {
			l.total++
		}
	}
	return levels
}

// share new flows among the levels, by what is remembered of them. It returns the state of the endpoints that get them,
// what is to be remembered, and when to share anew.
func (v *view) share(levels []level, before []levelMemory) (from state, after []levelMemory, again time.Time) {
	if v.in.Memory.ranking != v.fingerprint {
		before = nil
	}
	now, pause := v.in.Now, v.in.Place.FailBack
	for i := range levels {
		l := &levels[i]
		if i < len(before) {
			l.memory = before[i]
		}
		l.memory = l.memory.next(l.health(v), now, pause)
	}
	sum := shares(levels, v.overprovisioning)
	if sum == 0 {
		// Who is ready and has to prove itself is better than nobody.
		for i := range levels {
			levels[i].memory = levels[i].memory.trust(levels[i].health(v))
		}
		sum = shares(levels, v.overprovisioning)
	}
	if sum == 0 {
		from = lastResort(levels)
	}
	for i := range levels {
		if better := levels[i].memory.better; !better.IsZero() {
			again = earlier(again, better.Add(pause))
		}
	}
	return from, remembered(before, levels), again
}

func (l *level) health(v *view) health {
	return healthOf(l.count[isReady], l.total, v.overprovisioning > 0)
}

// lastResort gives all to the first level that has endpoints of clusters that cannot be reached: links are called down
// by probes, which may be wrong, and to refuse would be to be sure. Else to the first where somebody leaves, but serves
// yet, as Kubernetes does (KEP-1669).
func lastResort(levels []level) state {
	for from := isCutOff; from <= isLeaving; from++ {
		for i := range levels {
			if levels[i].count[from] > 0 {
				levels[i].share = int(full)
				return from
			}
		}
	}
	return isGone
}

// remembered of the levels, unless there is but one: before, if that is the same.
func remembered(before []levelMemory, levels []level) []levelMemory {
	n := len(levels)
	for n > 0 && levels[n-1].memory == (levelMemory{}) {
		n--
	}
	if len(levels) < 2 || n == 0 {
		return nil
	}
	if slices.EqualFunc(before, levels[:n], func(m levelMemory, l level) bool { return m == l.memory }) {
		return before
	}
	after := make([]levelMemory, n)
	for i := range after {
		after[i] = levels[i].memory
	}
	return after
}

// weigh gives those that get new flows their weights: a level's share is shared equally by its endpoints, or first by
// its clusters if the policy has weights.
func (v *view) weigh(candidates []candidate, levels []level, from state, groups []group) {
	for i := range candidates {
		e := &v.endpoints[candidates[i].endpoint]
		if e.state != from || e.level == noLevel || levels[e.level].share == 0 {
			continue
		}
		index := v.groupOf(e, groups)
		if index == len(groups) {
			groups = append(groups, v.newGroup(e))
		}
		groups[index].count++
		candidates[i].weight = uint32(index) + 1 // until the weights are known
	}
	if len(groups) == 0 {
		return
	}
	for i := range groups {
		groups[i].share = v.wanted(levels, groups, i)
	}
	weigh(groups)
	for i := range candidates {
		if k := &candidates[i]; k.weight > 0 {
			k.weight = groups[k.weight-1].weight
		}
	}
}

func (v *view) newGroup(e *endpoint) group {
	g := group{level: int(e.level), member: -1}
	if v.ranking.byWeight(g.level) {
		g.member = int(v.sources[e.source].member)
	}
	return g
}

// groupOf is the index of the endpoint's group; len(groups) if that is none of them.
func (v *view) groupOf(e *endpoint, groups []group) int {
	want := v.newGroup(e)
	for i := range groups {
		if groups[i].level == want.level && groups[i].member == want.member {
			return i
		}
	}
	return len(groups)
}

// wanted is a group's share of new flows, as any number beside the sum of all groups'.
func (v *view) wanted(levels []level, groups []group, index int) float64 {
	g := groups[index]
	share := float64(levels[g.level].share)
	if g.member < 0 {
		return share
	}
	sum := 0.0
	for _, other := range groups {
		if other.level == g.level {
			sum += float64(v.members[other.member].weight)
		}
	}
	return share * float64(v.members[g.member].weight) / sum
}

// earlier of two times, of which the zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
