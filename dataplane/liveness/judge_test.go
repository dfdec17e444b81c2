package liveness

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const ms = time.Millisecond

// world is a gateway "g", and the node that asks it.
type world struct {
	t     *testing.T
	judge Judge
	start time.Time
	now   time.Time
	// answers tells whether a question at that time is answered.
	answers func(at time.Duration) bool
	// rtt is how long an answer takes.
	rtt time.Duration
	// pending are the times of the questions whose answers are under way.
	pending []time.Time
	said    []string
}

func newWorld(t *testing.T, answers func(at time.Duration) bool) *world {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := &world{t: t, start: start, now: start, answers: answers, rtt: ms}
	w.judge.Watch(shortest, []string{"g"}, start)
	return w
}

// run lets that much time pass, in steps of 5 ms, as the Prober would.
func (w *world) run(length time.Duration) *world {
	for end := w.now.Add(length); w.now.Before(end); w.now = w.now.Add(5 * ms) {
		w.step()
	}
	return w
}

func (w *world) step() {
	before := w.judge.Verdicts()["g"]
	for len(w.pending) > 0 && !w.now.Before(w.pending[0].Add(w.rtt)) {
		w.pending = w.pending[1:]
		w.judge.Answered("g", w.now, w.now)
	}
	w.judge.Decide(w.now)
	if w.judge.Due("g", w.now) {
		if t := w.judge.tracks["g"]; t.unanswered >= outstanding {
			w.judge.Lost("g")
		}
		w.judge.Asked("g", w.now)
		if w.answers(w.now.Sub(w.start)) {
			w.pending = append(w.pending, w.now)
		}
	}
	if after := w.judge.Verdicts()["g"]; after != before {
		w.said = append(w.said, fmt.Sprint(w.now.Sub(w.start), " ", after.State))
	}
}

func between(from, to time.Duration) func(time.Duration) bool {
	return func(at time.Duration) bool { return at < from || at >= to }
}

func TestJudge(t *testing.T) {
	never := func(time.Duration) bool { return false }
	tests := []struct {
		name    string
		answers func(at time.Duration) bool
		length  time.Duration
		want    []string
	}{
		{"an older gateway never answers", never, time.Hour, nil},
		{"a gateway answers", between(0, 0), time.Minute, []string{"5ms alive"}},
		{"dead half a second after the last answer, back after three", between(10*time.Second, 15*time.Second), 30 * time.Second,
			[]string{"5ms alive", "10.405s dead", "15.305s alive"}},
		{"back a little later after a long time", between(10*time.Second, 30*time.Second), 40 * time.Second,
			[]string{"5ms alive", "10.405s dead", "30.855s alive"}},
		{"two lost are no death", between(10*time.Second, 10*time.Second+300*ms), 20 * time.Second, []string{"5ms alive"}},
		{"it begins to answer later", between(0, 5*time.Second), 10 * time.Second, []string{"5.105s alive"}},
		{"half of the packets are lost", func(at time.Duration) bool { return int(at/shortest)%2 == 0 }, time.Minute, []string{"5ms alive"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, newWorld(t, tt.answers).run(tt.length).said); diff != "" {
				t.Errorf("verdicts (-want +got):\n%s", diff)
			}
		})
	}
}

// A gateway that dies again and again is trusted less and less, and again after a steady minute.
func TestFlapping(t *testing.T) {
	down := func(at time.Duration) bool {
		return at >= 10*time.Second && at%(20*time.Second) >= 18*time.Second && at < 150*time.Second
	}
	w := newWorld(t, func(at time.Duration) bool { return !down(at) && (at < 300*time.Second || at > 301*time.Second) })
	w.run(310 * time.Second)
	if len(w.said)%2 != 1 {
		t.Fatalf("%v", w.said)
	}
	var waits []time.Duration
	back := w.judge.tracks["g"]
	for i := 1; i+1 < len(w.said); i += 2 {
		waits = append(waits, at(t, w.said[i+1])-at(t, w.said[i]))
	}
	for i := 1; i < len(waits)-1; i++ {
		if waits[i] < waits[i-1]-shortest {
			t.Errorf("outage %d lasted %s, the one before %s: %v", i, waits[i], waits[i-1], w.said)
		}
	}
	if last := waits[len(waits)-1]; last > 1500*ms {
		t.Errorf("after minutes without a fault the outage of a second lasted %s: %v", last, w.said)
	}
	if longest := waits[len(waits)-2]; longest < 5*time.Second {
		t.Errorf("the last of many outages lasted %s only", longest)
	}
	if back.needed != fewest {
		t.Errorf("it needs %d answers", back.needed)
	}
}

func at(t *testing.T, said string) time.Duration {
	var text, state string
	if _, err := fmt.Sscan(said, &text, &state); err != nil {
		t.Fatal(err)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A node that was not scheduled hears no silence.
func TestLate(t *testing.T) {
	w := newWorld(t, between(10*time.Second+150*ms, 10*time.Second+150*ms)).run(10 * time.Second)
	w.answers = func(time.Duration) bool { return false }
	w.run(390 * ms) // as good as dead
	w.now = w.now.Add(3 * time.Second)
	w.judge.Late(3 * time.Second)
	w.answers = between(0, 0)
	w.judge.Decide(w.now)
	if v := w.judge.Verdicts()["g"]; v.State != Alive {
		t.Errorf("after three seconds in which nobody listened: %s", v.State)
	}
	if w.run(10 * time.Second); len(w.said) != 1 {
		t.Errorf("%v", w.said)
	}
}

// An answer that takes longer than an interval is one.
func TestSlowAnswers(t *testing.T) {
	w := newWorld(t, between(0, 0))
	w.rtt = 400 * ms
	if w.run(time.Minute); len(w.said) != 1 || w.judge.Verdicts()["g"].State != Alive {
		t.Errorf("%v", w.said)
	}
}

// What could not go out says nothing.
func TestFailedQuestions(t *testing.T) {
	w := newWorld(t, between(0, 0)).run(time.Second)
	for range 100 {
		w.now = w.now.Add(shortest)
		w.judge.Failed("g", w.now)
		w.judge.Decide(w.now)
	}
	if v := w.judge.Verdicts()["g"]; v.State != Alive {
		t.Errorf("%s", v.State)
	}
}

// A gateway that has been dead for long is asked once a second, and as before when it answers.
func TestInterval(t *testing.T) {
	asked := 0
	w := newWorld(t, func(at time.Duration) bool { asked++; return at < time.Second }).run(60 * time.Second)
	asked = 0
	if w.run(60 * time.Second); asked < 59 || asked > 61 {
		t.Errorf("a dead gateway is asked %d times a minute", asked)
	}
	for nodes, want := range map[int]time.Duration{3: shortest, 1000: shortest, 5000: 500 * ms, 100_000: time.Second} {
		if got := Interval(nodes); got != want {
			t.Errorf("%d nodes: %s, want %s", nodes, got, want)
		}
	}
}

// Gateways come and go; those that stay keep their verdicts.
func TestWatch(t *testing.T) {
	w := newWorld(t, between(0, 0)).run(time.Second)
	w.judge.Watch(shortest, []string{"g", "h"}, w.now)
	if v := w.judge.Verdicts(); v["g"].State != Alive || v["h"].State != Unknown {
		t.Errorf("%v", v)
	}
	w.judge.Watch(shortest, nil, w.now)
	if v := w.judge.Verdicts(); len(v) != 0 || !w.judge.Next().IsZero() {
		t.Errorf("%v, next %s", v, w.judge.Next())
	}
}
