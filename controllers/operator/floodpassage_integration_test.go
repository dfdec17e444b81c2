//go:build integration

package operator_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/members"
)

// step is one on the way of a change from member to member.
type step int

const (
	begun   step = iota // the test writes it in east
	inEast              // east's API server has it, and tells all who watch
	leaving             // east's operator writes it to the hub
	onHub               // the hub's API server has it, and tells all who watch
	coming              // north's operator writes it to its own API server
	arrived             // north's API server has it, and tells all who watch
	steps
)

// passage is when one change passed each step. It is safe for concurrent use.
type passage struct {
	mu sync.Mutex
	at [steps]time.Time // guarded by mu; the first time
}

func (p *passage) note(s step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at[s].IsZero() {
		p.at[s] = time.Now()
	}
}

// took is how long each step took after the one before. The test's own watch may see a step too late,
// after the change has arrived. Such a step counts as passed with the one after it.
func (p *passage) took() (took [steps]time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.at
	for s := arrived; s > inEast; s-- {
		if at[s-1].IsZero() {
			at[s-1] = at[s]
		}
		took[s] = max(0, at[s].Sub(at[s-1]))
	}
	took[inEast] = max(0, at[inEast].Sub(at[begun]))
	return took
}

// onWrite notes the step when an operator writes, through the gate, the EndpointSlice that is
// expected.
func (c *changes) onWrite(gate *members.Gate, s step) {
	gate.Rule("passage "+fmt.Sprint(s), func(r members.Request, next http.Handler) http.Handler {
		if r.Write() && r.Resource == "endpointslices" && strings.HasPrefix(r.Name, "east.") {
			if p := c.passing(); p != nil {
				p.note(s)
			}
		}
		return nil
	})
}

// lateness measures, until the result is called, how late a goroutine of this process is that only
// sleeps: so long does each step of the operators wait for a CPU alone.
func lateness() (stop func() latency) {
	const nap = 5 * time.Millisecond
	var late []time.Duration
	var running sync.WaitGroup
	end := make(chan struct{})
	running.Go(func() {
		for {
			start := time.Now()
			select {
			case <-end:
				return
			case <-time.After(nap):
				late = append(late, time.Since(start)-nap)
			}
		}
	})
	return func() latency {
		close(end)
		running.Wait()
		return latencyOf(late)
	}
}

// latency is how long changes took.
type latency struct {
	n             int
	p50, p99, max time.Duration
}

func latencyOf(took []time.Duration) latency {
	slices.Sort(took)
	at := func(share float64) time.Duration {
		return took[min(len(took)-1, int(share*float64(len(took))))].Round(time.Millisecond)
	}
	return latency{len(took), at(.5), at(.99), at(1)}
}

func (l latency) String() string {
	return fmt.Sprintf("p50 %v, p99 %v, max %v", l.p50, l.p99, l.max)
}

// latencies are how long changes took in all, how much of that the two operators took, from when an API
// server had told until they wrote, and each step.
type latencies struct {
	all, operators latency
	each           [steps]latency // from the step before
}

func latenciesOf(passed []*passage) latencies {
	var all, operators []time.Duration
	var each [steps][]time.Duration
	for _, p := range passed {
		took, total := p.took(), time.Duration(0)
		for s := range took {
			each[s] = append(each[s], took[s])
			total += took[s]
		}
		all, operators = append(all, total), append(operators, took[leaving]+took[coming])
	}
	l := latencies{all: latencyOf(all), operators: latencyOf(operators)}
	for s := range each {
		l.each[s] = latencyOf(each[s])
	}
	return l
}

func (l latencies) String() string {
	text := fmt.Sprintf("%d changes of an endpoint arrived after %v; the operators took %v of that", l.all.n, l.all, l.operators)
	for s := inEast; s < steps; s++ {
		who := map[step]string{inEast: "east's API server", leaving: "east's operator", onHub: "the hub's API server",
			coming: "north's operator", arrived: "north's API server"}[s]
		text += fmt.Sprintf("\n\t%s: %v", who, l.each[s])
	}
	return text
}
