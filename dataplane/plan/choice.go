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
	// served is what the last plan made of it.
	served VirtualService
	// drains of this plan, and those that are over but must not begin anew.
	drains []drain
	memory portMemory
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

// choose what becomes of a target.
func (v *view) choose(t target, s *scratch) choice {
	c := choice{target: t, candidates: v.candidates(&t, s.candidates[:0])}
	served, memory, _ := v.in.Memory.of(t.Key)
	c.served = served
	c.levels = v.count(c.candidates, s.levels[:0])
	c.share(v, memory.levels)
	v.weigh(&c, s.groups[:0])
	c.drains = v.drain(&c, memory.drains, s.drains[:0])
	c.memory.drains = kept(memory.drains, c.drains)
	return c
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

// share new flows among the levels, by what is remembered of them.
func (c *choice) share(v *view, before []levelMemory) {
	if v.in.Memory.ranking != v.fingerprint {
		before = nil
	}
	now, pause := v.in.Now, v.in.Place.FailBack
	for i := range c.levels {
		l := &c.levels[i]
		if i < len(before) && len(c.levels) > 1 {
			l.memory = before[i]
		}
		l.memory = l.memory.next(l.health(v), now, pause)
	}
	sum := shares(c.levels, v.overprovisioning)
	if sum == 0 {
		// Who is ready and has to prove itself is better than nobody.
		for i := range c.levels {
			l := &c.levels[i]
			l.memory = l.memory.trust(l.health(v))
		}
		sum = shares(c.levels, v.overprovisioning)
	}
	if sum == 0 {
		c.lastResort()
	}
	for i := range c.levels {
		if better := c.levels[i].memory.better; !better.IsZero() {
			c.again = earlier(c.again, better.Add(pause))
		}
	}
	c.remember(before)
}

func (l *level) health(v *view) health {
	return healthOf(l.count[isReady], l.total, v.overprovisioning > 0)
}

// lastResort gives all to the first level that has endpoints of clusters that cannot be reached: links are called down
// by probes, which may be wrong, and to refuse would be to be sure. Else to the first where somebody leaves, but serves
// yet, as Kubernetes does (KEP-1669).
func (c *choice) lastResort() {
	for c.from = isCutOff; c.from <= isLeaving; c.from++ {
		for i := range c.levels {
			if c.levels[i].count[c.from] > 0 {
				c.levels[i].share = int(full)
				return
			}
		}
	}
	c.from = isGone
}

// remember the levels, unless there is but one.
func (c *choice) remember(before []levelMemory) {
	if len(c.levels) < 2 {
		return
	}
	n := len(c.levels)
	for n > 0 && c.levels[n-1].memory == (levelMemory{}) {
		n--
	}
	same := n == len(before)
	for i := 0; same && i < n; i++ {
		same = before[i] == c.levels[i].memory
	}
	if same {
		c.memory.levels = before
		return
	}
	c.memory.levels = make([]levelMemory, n)
	for i := range n {
		c.memory.levels[i] = c.levels[i].memory
	}
}

// serves tells whether the candidate gets new flows.
func (c *choice) serves(e *endpoint) bool {
	return e.state == c.from && e.level != noLevel && c.levels[e.level].share > 0
}

// weigh gives those that get new flows their weights: a level's share is shared equally by its endpoints, or first by
// its clusters if the policy has weights.
func (v *view) weigh(c *choice, groups []group) {
	of := func(e *endpoint) int {
		g := group{level: int(e.level), member: -1}
		if v.ranking.byWeight(g.level) {
			g.member = int(v.sources[e.source].member)
		}
		i := slices.IndexFunc(groups, func(other group) bool { return other.level == g.level && other.member == g.member })
		if i < 0 {
			i = len(groups)
			groups = append(groups, g)
		}
		return i
	}
	for i := range c.candidates {
		if e := &v.endpoints[c.candidates[i].endpoint]; c.serves(e) {
			groups[of(e)].count++
		}
	}
	if len(groups) == 0 {
		return
	}
	for i := range groups {
		groups[i].share = v.wanted(c, groups, i)
	}
	weigh(groups)
	for i := range c.candidates {
		if e := &v.endpoints[c.candidates[i].endpoint]; c.serves(e) {
			c.candidates[i].weight = groups[of(e)].weight
		}
	}
}

// wanted is a group's share of new flows, as any number beside the sum of all groups'.
func (v *view) wanted(c *choice, groups []group, index int) float64 {
	g := groups[index]
	share := float64(c.levels[g.level].share)
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
