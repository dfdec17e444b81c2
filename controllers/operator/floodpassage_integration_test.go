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

// took is how long the change took in all, how much of that the two operators took, from when an API
// server had told until they wrote, and how much the three API servers took.
func (p *passage) took() (all, operators, servers time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	between := func(from, to step) time.Duration { return max(0, p.at[to].Sub(p.at[from])) }
	return between(begun, arrived), between(inEast, leaving) + between(onHub, coming),
		between(begun, inEast) + between(leaving, onHub) + between(coming, arrived)
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

// latencies are those of the changes since the last summary.
type latencies struct{ all, operators, servers latency }

func (l latencies) String() string {
	return fmt.Sprintf("%d changes of an endpoint arrived after %v; of that the operators took %v, and the API servers %v", l.all.n, l.all, l.operators, l.servers)
}
