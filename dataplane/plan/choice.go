package plan

import (
	"slices"
	"time"
)

// choice is what becomes of one port of one clusterset IP.
type choice struct {
	target
	// candidates are the endpoints of its family that have the port, sorted by address and port,
	// without duplicates.
	candidates []candidate
	levels     []level
	// from is the state of the endpoints that get new flows: isReady. If there are none it is
	// isCutOff, else isLeaving. It is isGone if no endpoint gets any.
	from state
	// drains of this plan, and those that are over but must not begin again.
	drains []drain
}

// next is what follows from a choice.
type next struct {
	service VirtualService
	memory  portMemory
	// again is when to choose again; zero: not before something changes.
	again time.Time
}

// candidate is an endpoint that has the port.
type candidate struct {
	// endpoint is an index in portChooser.endpoints.
	endpoint int32
	port     uint16
	// drains is true if it keeps its flows and gets no new ones.
	drains bool
	// weight is zero if it gets no new flows.
	weight uint32
}

// programmed tells whether it is a destination.
func (k candidate) programmed() bool { return k.weight > 0 || k.drains }

// level is a set of candidates that are used together.
type level struct {
	// total of those that are not terminating. What terminates does not count: a Service that is
	// made smaller is not unhealthy.
	total int
	// count of those in each state that may get flows.
	count [isLeaving + 1]int
	// share of new flows, relative to the sum of all levels' shares.
	share  int
	memory levelMemory
}

// choose the endpoints for a target. There are two results, as the second outlives the scratch that
// holds the first.
func (ch *portChooser) choose(t target, s *scratch) (choice, next) {
	served, before := ch.in.Memory.of(t.Key)
	candidates := ch.candidates(&t, s.candidates[:0])
	levels := ch.count(candidates, s.levels[:0])
	from, levelMemories, again := ch.share(levels, before.levels)
	ch.weigh(candidates, levels, from, s.groups[:0])
	drains, drained := ch.drain(candidates, served.Destinations, t.Protocol, before.drains, s.drains[:0])
	return choice{target: t, candidates: candidates, levels: levels, from: from, drains: drains}, next{
		service: ch.service(t.Key, candidates, served.Destinations),
		memory:  portMemory{levels: levelMemories, drains: kept(before.drains, drains)},
		again:   earlier(again, drained),
	}
}

// candidates of a target are appended to found.
func (ch *portChooser) candidates(t *target, found []candidate) []candidate {
	var room [len(scratch{}.sources)]uint16
	numbers := room[:0]
	for i, from := range ch.sources {
		number := uint16(0)
		if from.used && from.is4 == t.Address.Is4() {
			number = t.number(ch.in.Slices[i])
		}
		numbers = append(numbers, number)
	}
	for i := range ch.endpoints {
		if port := numbers[ch.endpoints[i].source]; port > 0 {
			found = append(found, candidate{endpoint: int32(i), port: port})
		}
	}
	// They are in the order of the endpoints, which is by address. Few have several ports at one
	// address.
	if !slices.IsSortedFunc(found, ch.compare) {
		slices.SortStableFunc(found, ch.compare)
	}
	return slices.CompactFunc(found, func(a, b candidate) bool { return ch.compare(a, b) == 0 })
}

func (ch *portChooser) compare(a, b candidate) int {
	return ch.destination(a).Compare(ch.destination(b))
}

func (ch *portChooser) destination(c candidate) Destination {
	e := &ch.endpoints[c.endpoint]
	return Destination{Address: e.address, Port: c.port, Weight: c.weight, Hairpin: e.hairpin}
}

// count the candidates of each level. The levels are appended to levels.
func (ch *portChooser) count(all []candidate, levels []level) []level {
	for range ch.levels {
		levels = append(levels, level{})
	}
	for _, c := range all {
		e := &ch.endpoints[c.endpoint]
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

// share new flows among the levels, by what is remembered of them. It returns the state of the
// endpoints that get them, what to remember, and when to share again.
func (ch *portChooser) share(levels []level, before []levelMemory) (from state, after []levelMemory, again time.Time) {
	if ch.in.Memory.ranking != ch.fingerprint {
		before = nil
	}
	now, pause := ch.in.Now, ch.in.Place.FailBack
	for i := range levels {
		l := &levels[i]
		if i < len(before) {
			l.memory = before[i]
		}
		l.memory = l.memory.next(l.health(ch), now, pause)
	}
	sum := shares(levels, ch.overprovisioning)
	if sum == 0 {
		// A level that is ready but must prove itself first is better than none.
		for i := range levels {
			levels[i].memory = levels[i].memory.trust(levels[i].health(ch))
		}
		sum = shares(levels, ch.overprovisioning)
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

func (l *level) health(ch *portChooser) health {
	return healthOf(l.count[isReady], l.total, ch.overprovisioning > 0)
}

// lastResort gives all flows to the first level that has endpoints of clusters that cannot be
// reached: probes call links down and may be wrong, while refusing flows would fail for certain.
// Else it gives them to the first level that has endpoints which are terminating and still serve,
// as Kubernetes does (KEP-1669).
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

// remembered is what to remember of the levels, nothing if there is only one. It is before itself
// if that is the same.
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

// weigh gives the endpoints that get new flows their weights. A level's endpoints share its flows
// equally. If the policy has weights, the level's clusters share them first.
func (ch *portChooser) weigh(candidates []candidate, levels []level, from state, groups []group) {
	for i := range candidates {
		e := &ch.endpoints[candidates[i].endpoint]
		if e.state != from || e.level == noLevel || levels[e.level].share == 0 {
			continue
		}
		index := ch.groupOf(e, groups)
		if index == len(groups) {
			groups = append(groups, ch.newGroup(e))
		}
		groups[index].count++
		candidates[i].weight = uint32(index) + 1 // until the weights are known
	}
	if len(groups) == 0 {
		return
	}
	for i := range groups {
		groups[i].share = ch.shareOf(levels, groups, i)
	}
	weigh(groups)
	for i := range candidates {
		if k := &candidates[i]; k.weight > 0 {
			k.weight = groups[k.weight-1].weight
		}
	}
}

func (ch *portChooser) newGroup(e *endpoint) group {
	g := group{level: int(e.level), member: -1}
	if ch.ranking.byWeight(g.level) {
		g.member = int(ch.sources[e.source].member)
	}
	return g
}

// groupOf is the index of the endpoint's group; len(groups) if there is no such group yet.
func (ch *portChooser) groupOf(e *endpoint, groups []group) int {
	want := ch.newGroup(e)
	for i := range groups {
		if groups[i].level == want.level && groups[i].member == want.member {
			return i
		}
	}
	return len(groups)
}

// shareOf is a group's share of new flows, relative to the sum of all groups' shares.
func (ch *portChooser) shareOf(levels []level, groups []group, index int) float64 {
	g := groups[index]
	share := float64(levels[g.level].share)
	if g.member < 0 {
		return share
	}
	sum := 0.0
	for _, other := range groups {
		if other.level == g.level {
			sum += float64(ch.members[other.member].weight)
		}
	}
	return share * float64(ch.members[g.member].weight) / sum
}

// earlier of two times. The zero time means none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
