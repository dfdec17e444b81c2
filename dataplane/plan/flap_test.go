package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// carrying are the levels that get new flows, by their numbers.
func carrying(e Explanation) []int {
	var all []int
	for i, l := range e.Levels {
		if l.SharePercent > 0 {
			all = append(all, i+1)
		}
	}
	return all
}

// TestNoFlapping lets the endpoints and the links of three clusters come and go at random for ten
// minutes, in steps of a second, under each kind of order. Flows never go back to a level that has
// failed before it was well for the pause without a break, unless nobody else could serve; so
// levels that did not fail are left at most once in that time. And there is always somebody if
// anybody is ready.
func TestNoFlapping(t *testing.T) {
	orders := map[string]func(*scene){
		"zone": func(s *scene) { s.distribution("PreferSameZone") },
		"node": func(s *scene) { s.distribution("PreferSameNode") },
		"failover": func(s *scene) {
			s.policy(func(p *v1alpha1.TrafficPolicySpec) { p.Failover = steps("north", "east", "west") })
		},
		"weights": func(s *scene) {
			s.policy(func(p *v1alpha1.TrafficPolicySpec) {
				p.Failover, p.Weights = steps("east west"), weights("east", 3)
			})
		},
	}
	for name, order := range orders {
		for seed := range uint64(5) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				s := newScene(t)
				order(s)
				simulate(t, s, rand.New(rand.NewPCG(seed, 7)))
			})
		}
	}
}

// watch is what an onlooker knows of a level.
type watch struct {
	// was: it has been well before. wellSince is since when it is, zero if it is not.
	was       bool
	wellSince time.Time
}

func simulate(t *testing.T, s *scene, random *rand.Rand) {
	endpoints := []string{"west 10.2.0.1 zone=a node=worker", "west 10.2.0.2 zone=a node=other", "west 10.2.0.3 zone=b node=third", "east 10.1.0.1 zone=a", "east 10.1.0.2 zone=b", "north 10.3.0.1"}
	down := make([]bool, len(endpoints))
	cut := map[v1alpha1.ClusterID]bool{}
	var watches []watch
	var last []int
	changes := 0
	for second := range 600 {
		for i := range down {
			if random.IntN(12) == 0 {
				down[i] = !down[i]
			}
		}
		for _, id := range []v1alpha1.ClusterID{"east", "north"} {
			if random.IntN(20) == 0 {
				cut[id] = !cut[id]
			}
		}
		s.have(withDown(endpoints, down)...)
		s.unreachable()
		for id, is := range cut {
			if is {
				s.Place.Remotes[id] = Remote{Area: s.Place.Remotes[id].Area, Unreachable: true}
			}
		}
		s.Now = start.Add(time.Duration(second) * time.Second)
		e := Explain(s.Input)[0]
		out := Services(s.Input)
		s.Memory = out.Memory
		now := carrying(e)
		if watches == nil {
			watches = make([]watch, len(e.Levels))
		}
		checkChange(t, s, e, watches, last, now)
		if t.Failed() {
			return
		}
		observe(watches, e, s.Now)
		if second > 0 && !slices.Equal(last, now) {
			changes++
		}
		last = now
	}
	if changes == 0 {
		t.Error("nothing ever failed")
	}
}

func withDown(endpoints []string, down []bool) []string {
	var all []string
	for i, line := range endpoints {
		if down[i] {
			line += " unready"
		}
		all = append(all, line)
	}
	return all
}

func observe(watches []watch, e Explanation, now time.Time) {
	for i, l := range e.Levels {
		switch w := &watches[i]; {
		case l.Ready == 0:
			w.wellSince = time.Time{}
		case w.wellSince.IsZero():
			w.wellSince, w.was = now, true
		}
	}
}

// checkChange from the levels that carried flows to those that do now.
func checkChange(t *testing.T, s *scene, e Explanation, watches []watch, last, now []int) {
	t.Helper()
	ready := slices.ContainsFunc(e.Levels, func(l ExplainedLevel) bool { return l.Ready > 0 })
	served := slices.ContainsFunc(e.Endpoints, func(x ExplainedEndpoint) bool { return x.Weight > 0 && strings.HasPrefix(x.Why, "ready") })
	if ready && (len(now) != 1 || !served || e.Levels[now[0]-1].Ready == 0) {
		t.Errorf("at %s: %d levels carry flows though some are ready: %+v", clock(s.Now), len(now), e.Levels)
	}
	if !ready || len(last) == 0 || slices.Equal(last, now) || e.Levels[last[0]-1].Ready == 0 || watches[last[0]-1].wellSince.IsZero() {
		return // nobody is well, what carried flows has failed, or it did as a last resort
	}
	w := watches[now[0]-1]
	if now[0] > last[0] {
		t.Errorf("at %s: level %d is left for %d though it is well", clock(s.Now), last[0], now[0])
	}
	if w.was && (w.wellSince.IsZero() || s.Now.Sub(w.wellSince) < s.Place.FailBack) {
		t.Errorf("at %s: back at level %d, which is well since %s only", clock(s.Now), now[0], clock(w.wellSince))
	}
}
