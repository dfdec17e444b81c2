package firewall

import (
	"time"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

const (
	// enough packets in an interval say that those that are missing were dropped, and not counted
	// between two chains.
	enough = 5
	// quiet and quietLast are how long a passage without packets stays blocked: whoever heeds that
	// sends nothing this way. It doubles from one to the other while packets go on to be dropped.
	quiet     = time.Minute
	quietLast = 10 * time.Minute
)

// Judge finds the passages that others' chains drop, from the counters of one interval after the
// other. The zero Judge has seen nothing. It is not safe for concurrent use.
type Judge struct {
	before  map[string]nft.Counter
	blocked map[string]*blocked
}

// blocked is a passage whose packets are dropped.
type blocked struct {
	// now is false if packets passed, or none came for long.
	now bool
	// seen is when packets were last dropped.
	seen time.Time
	// quiet is how long no packets may come before it counts as open.
	quiet time.Duration
}

// Blocked returns those of the passages whose packets are dropped, by the counters at that time. A
// passage is blocked once fewer than half of its packets pass, and open again as soon as more do.
func (j *Judge) Blocked(now time.Time, counters map[string]nft.Counter, passages []Passage) []Passage {
	if j.blocked == nil {
		j.blocked = map[string]*blocked{}
	}
	var found []Passage
	for _, p := range passages {
		in, out := p.counters()
		if j.judge(p.Name, now, j.grown(counters, in), j.grown(counters, out)) {
			found = append(found, p)
		}
	}
	j.before = counters
	return found
}

// grown is by how much a counter has grown; zero if it was made again, or is new.
func (j *Judge) grown(counters map[string]nft.Counter, name string) uint64 {
	before, known := j.before[name]
	if after := counters[name]; known && after.Packets >= before.Packets {
		return after.Packets - before.Packets
	}
	return 0
}

func (j *Judge) judge(name string, now time.Time, in, out uint64) bool {
	b := j.blocked[name]
	switch {
	case in >= enough && 2*out < in:
		if b == nil {
			b = &blocked{quiet: quiet}
			j.blocked[name] = b
		} else if !b.now {
			b.quiet = min(2*b.quiet, quietLast)
		}
		b.now, b.seen = true, now
	case b == nil:
	case out > 0 && 2*out >= in:
		delete(j.blocked, name)
		return false
	case b.now && now.Sub(b.seen) >= b.quiet:
		b.now = false
	}
	return b != nil && b.now
}
