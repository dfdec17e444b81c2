package liveness

import "time"

// State is what is known of a gateway.
type State uint8

// The states.
const (
	// Unknown: the gateway has not answered since it was first asked. It may be of a version that does
	// not answer.
	Unknown State = iota
	// Alive: it answers.
	Alive
	// Dead: it has answered before, and does not now.
	Dead
)

// String is "unknown", "alive" or "dead".
func (s State) String() string { return [...]string{"unknown", "alive", "dead"}[s] }

// Verdict is what is known of a gateway, and since when.
type Verdict struct {
	State State
	Since time.Time
}

const (
	// shortest is the interval in which a gateway is asked, and longest that in a cluster of very many
	// nodes. It is also that in which a gateway is asked that has been dead for a while.
	shortest, longest = 150 * time.Millisecond, time.Second
	// bearable is how many questions all nodes together ask a gateway in a second.
	bearable = 10_000
	// outstanding is how many questions may wait for their answers. A gateway is dead when it has left
	// as many unanswered, and a third of an interval has passed after the last one.
	outstanding = 3
	// fewest is how many answers in a row bring a dead gateway back, and most how many one that died
	// again soon needs, doubled each time.
	fewest, most = 3, 48
	// steady is how long a gateway must have been alive to be trusted as if it had never been dead.
	steady = time.Minute
	// patience is how long a dead gateway is asked as often as before.
	patience = 10 * time.Second
)

// Interval returns how often a node asks each gateway in a cluster of that many nodes.
func Interval(nodes int) time.Duration {
	return min(max(shortest, time.Duration(nodes)*time.Second/bearable), longest)
}

// Judge decides which gateways live. The zero Judge watches none. It is not safe for concurrent use.
type Judge struct {
	interval time.Duration
	tracks   map[string]*track
	changes  int
}

// track is what is known of one gateway.
type track struct {
	Verdict
	// heard is when the last answer came, at the earliest, moved on by the time in which nobody
	// listened.
	heard time.Time
	// asked is the time of the last question, and unanswered how many there were since the last answer.
	asked      time.Time
	unanswered int
	// streak is how many answers came in a row while the gateway was dead, and needed how many bring it
	// back.
	streak, needed int
	// revived is true if it has been dead before.
	revived bool
}

// Watch makes these the gateways to ask, in that interval. What is known of them stays known.
func (j *Judge) Watch(interval time.Duration, names []string, now time.Time) {
	watched := make(map[string]*track, len(names))
	for _, name := range names {
		if watched[name] = j.tracks[name]; watched[name] == nil {
			watched[name] = &track{Verdict: Verdict{Since: now}, heard: now, needed: fewest}
		}
	}
	j.interval, j.tracks = interval, watched
}

// Asked takes note of a question that has gone out.
func (j *Judge) Asked(name string, now time.Time) {
	t := j.tracks[name]
	t.asked = now
	t.unanswered++
}

// Failed takes note of a question that could not go out. It says nothing about the gateway.
func (j *Judge) Failed(name string, now time.Time) { j.tracks[name].asked = now }

// Answered takes note of an answer. It came at that time or later, and was heard now.
func (j *Judge) Answered(name string, came, now time.Time) {
	t := j.tracks[name]
	if t.unanswered = 0; came.After(t.heard) {
		t.heard = came
	}
	switch t.State {
	case Unknown:
		j.set(t, Alive, now)
	case Dead:
		if t.streak++; t.streak >= t.needed {
			t.revived = true
			j.set(t, Alive, now)
		}
	}
}

// Lost takes note of a question that nobody waits for any more.
func (j *Judge) Lost(name string) { j.tracks[name].streak = 0 }

// Late says that nobody listened for that long, so that no silence follows from it.
func (j *Judge) Late(by time.Duration) {
	for _, t := range j.tracks {
		t.heard = t.heard.Add(by)
	}
}

// Decide judges the silence so far.
func (j *Judge) Decide(now time.Time) {
	for _, t := range j.tracks {
		if t.State != Alive || t.unanswered < outstanding || now.Before(t.heard.Add(j.silence())) {
			continue
		}
		if t.needed = min(2*t.needed, most); !t.revived || now.Sub(t.Since) >= steady {
			t.needed = fewest
		}
		j.set(t, Dead, now)
	}
}

func (j *Judge) set(t *track, state State, now time.Time) {
	t.Verdict, t.streak = Verdict{state, now}, 0
	j.changes++
}

// silence is how long after its last answer a gateway is dead.
func (j *Judge) silence() time.Duration { return outstanding*j.interval + j.interval/3 }

// Due reports whether the gateway is to be asked.
func (j *Judge) Due(name string, now time.Time) bool { return !now.Before(j.next(j.tracks[name])) }

// next is when the gateway is to be asked next.
func (j *Judge) next(t *track) time.Time {
	if t.State == Dead && t.streak == 0 && t.asked.Sub(t.Since) > patience {
		return t.asked.Add(longest)
	}
	return t.asked.Add(j.interval)
}

// Next returns when there is something to ask or to decide, the zero time if there never is.
func (j *Judge) Next() (next time.Time) {
	for _, t := range j.tracks {
		at := j.next(t)
		if verdict := t.heard.Add(j.silence()); t.State == Alive && t.unanswered >= outstanding && verdict.Before(at) {
			at = verdict
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// Changes counts the verdicts that have changed.
func (j *Judge) Changes() int { return j.changes }

// Verdicts returns what is known of each gateway.
func (j *Judge) Verdicts() map[string]Verdict {
	verdicts := make(map[string]Verdict, len(j.tracks))
	for name, t := range j.tracks {
		verdicts[name] = t.Verdict
	}
	return verdicts
}
