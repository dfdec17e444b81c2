package underlay

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// anyPort stands for every other port but the host's; so does the empty name.
const anyPort = "*"

// ErrUnknownPort is what a fault or a capture ends with that names a port the switch does not have.
var ErrUnknownPort = errors.New("no such port")

// ErrOutOfRange is what Delay and Loss end with when the value means nothing.
var ErrOutOfRange = errors.New("out of range")

// Pair names two ports, in no order. "" or "*" stands for every port but the host's (HostPort),
// which has to be named.
type Pair struct{ A, B string }

// matches says whether frames between ports a and b belong to the pair.
func (p Pair) matches(a, b string) bool {
	return matches(p.A, a) && matches(p.B, b) || matches(p.A, b) && matches(p.B, a)
}

func matches(pattern, name string) bool {
	if pattern == "" || pattern == anyPort {
		return name != HostPort
	}
	return pattern == name
}

// Cut drops every frame between a and b, both ways, those on their way too, until Heal. As b, "" or
// "*" stands for every other port but the host's (HostPort), of those that are there at the time of
// the call. It ends with ErrUnknownPort if there is no port of that name.
func (s *Switch) Cut(a, b string) error {
	return s.each("cutting", a, b, (*link).sever)
}

// Heal takes back Cut, Delay and Loss between a and b. Names are as for Cut.
func (s *Switch) Heal(a, b string) error {
	return s.each("healing", a, b, func(l *link) {
		l.cut.Store(false)
		l.loss.Store(0)
		l.wait.Store(0)
	})
}

// Delay holds every frame between a and b back for d, each way, so that a round trip takes 2d
// longer; frames keep their order, and at most 8 MiB wait each way. 0 takes it back. Names are as
// for Cut.
func (s *Switch) Delay(a, b string, d time.Duration) error {
	if d < 0 || d > time.Minute {
		return fmt.Errorf("delaying frames between %q and %q by %v: %w: 0 to 1m", a, b, d, ErrOutOfRange)
	}
	return s.each("delaying", a, b, func(l *link) { l.wait.Store(int64(d)) })
}

// Loss drops each frame between a and b with the probability ratio, 0 to 1, each way. 0 takes it
// back. Names are as for Cut.
func (s *Switch) Loss(a, b string, ratio float64) error {
	if !(ratio >= 0 && ratio <= 1) {
		return fmt.Errorf("losing frames between %q and %q at the ratio %v: %w: 0 to 1", a, b, ratio, ErrOutOfRange)
	}
	return s.each("losing", a, b, func(l *link) { l.loss.Store(math.Float64bits(ratio)) })
}

// each calls f for every link between a and b, both ways.
func (s *Switch) each(doing, a, b string, f func(*link)) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.known(a, b); err != nil {
		return fmt.Errorf("%s frames between %q and %q: %w", doing, a, b, err)
	}
	pair := Pair{A: a, B: b}
	for _, port := range s.ports {
		for _, l := range port.links {
			if l != nil && pair.matches(l.from.name, l.to.name) {
				f(l)
			}
		}
	}
	return nil
}

// known ends with ErrUnknownPort unless every name is a port's or stands for all. The caller holds
// mu.
func (s *Switch) known(names ...string) error {
	for _, name := range names {
		if name != "" && name != anyPort && !s.has(name) {
			return fmt.Errorf("port %q: %w", name, ErrUnknownPort)
		}
	}
	return nil
}

// has says whether there is a port called name. The caller holds mu.
func (s *Switch) has(name string) bool {
	for _, p := range s.ports {
		if p.name == name {
			return true
		}
	}
	return false
}
