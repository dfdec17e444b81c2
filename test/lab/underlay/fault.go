package underlay

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// anyPort stands for every other port but the host's; so does the empty name.
const anyPort = "*"

// ErrUnknownPort is what a fault or a capture ends with that names a port the switch does not have.
var ErrUnknownPort = errors.New("no such port")

// ErrOutOfRange is what a fault ends with when its value means nothing.
var ErrOutOfRange = errors.New("out of range")

// Pair names two ports, in no order. "" or "*" stands for every port but the host's (HostPort),
// which has to be named.
type Pair struct{ A, B string }

// matches says whether frames between ports a and b belong to the pair.
func (p Pair) matches(a, b string) bool { return p.leads(a, b) || p.leads(b, a) }

// leads says whether frames from one port to another go from the pair's A to its B.
func (p Pair) leads(from, to string) bool { return matches(p.A, from) && matches(p.B, to) }

func matches(pattern, name string) bool {
	if pattern == "" || pattern == anyPort {
		return name != HostPort
	}
	return pattern == name
}

// Selection says which frames between two ports Cut drops. The zero value selects all of them, both
// ways.
type Selection struct {
	// OneWay selects what goes from the first port to the second.
	OneWay bool
	// Ports selects UDP, TCP and SCTP packets from or to one of these ports.
	Ports PortRange
}

// PortRange is the ports from First to Last, both included. The zero value is no range.
type PortRange struct{ First, Last uint16 }

// ParsePortRange returns the range that text is, such as 51820 or 51820-51883.
func ParsePortRange(text string) (PortRange, error) {
	first, last, found := strings.Cut(text, "-")
	if !found {
		last = first
	}
	from, errFirst := strconv.ParseUint(first, 10, 16)
	to, errLast := strconv.ParseUint(last, 10, 16)
	if errFirst != nil || errLast != nil || from > to || from == 0 {
		return PortRange{}, fmt.Errorf("ports %q: %w: they look like 51820 or 51820-51883", text, ErrOutOfRange)
	}
	return PortRange{First: uint16(from), Last: uint16(to)}, nil
}

// String returns what ParsePortRange reads.
func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

func (r PortRange) contains(port uint16) bool { return r.First <= port && port <= r.Last }

// Cut drops the selected frames between a and b until Heal; without a range of ports those on their
// way too. As b, "" or "*" stands for every other port but the host's (HostPort), of those that are
// there at the time of the call. It ends with ErrUnknownPort if there is no port of that name, and
// with ErrOutOfRange if the range of ports is empty.
func (s *Switch) Cut(a, b string, which Selection) error {
	if which.Ports == (PortRange{}) {
		return s.each("cutting", a, b, func(l *link, leads bool) {
			if leads || !which.OneWay {
				l.sever()
			}
		})
	}
	if which.Ports.First > which.Ports.Last {
		return fmt.Errorf("cutting ports %d to %d: %w", which.Ports.First, which.Ports.Last, ErrOutOfRange)
	}
	return s.each("cutting", a, b, func(l *link, leads bool) {
		if leads || !which.OneWay {
			l.change(func(s *shape) { s.cut = append(slices.Clone(s.cut), which.Ports) })
		}
	})
}

// Heal takes back every fault between a and b, both ways. Names are as for Cut.
func (s *Switch) Heal(a, b string) error {
	return s.each("healing", a, b, func(l *link, _ bool) {
		l.cut.Store(false)
		l.loss.Store(0)
		l.wait.Store(0)
		l.shape.Store(nil)
	})
}

// Delay holds every frame between a and b back for d, each way, so that a round trip takes 2d
// longer; frames keep their order, and at most 8 MiB wait each way. 0 takes it back. Names are as
// for Cut.
func (s *Switch) Delay(a, b string, d time.Duration) error {
	if d < 0 || d > time.Minute {
		return fmt.Errorf("delaying frames between %q and %q by %v: %w: 0 to 1m", a, b, d, ErrOutOfRange)
	}
	return s.each("delaying", a, b, func(l *link, _ bool) { l.wait.Store(int64(d)) })
}

// Loss drops each frame between a and b with the probability ratio, 0 to 1, each way. 0 takes it
// back. Names are as for Cut.
func (s *Switch) Loss(a, b string, ratio float64) error {
	if !(ratio >= 0 && ratio <= 1) {
		return fmt.Errorf("losing frames between %q and %q at the ratio %v: %w: 0 to 1", a, b, ratio, ErrOutOfRange)
	}
	return s.each("losing", a, b, func(l *link, _ bool) { l.loss.Store(math.Float64bits(ratio)) })
}

// minMTU is the smallest MTU of IPv4, in bytes (RFC 791).
const minMTU = 68

// MTU lets only IP packets of at most mtu bytes pass between a and b, as a router with a smaller MTU
// does: a larger IPv4 packet is fragmented, unless it forbids that. Then it is dropped, and its
// sender is told by ICMP, unless silent. Larger IPv6 packets are dropped without a word. 0 takes it
// back. Names are as for Cut.
func (s *Switch) MTU(a, b string, mtu int, silent bool) error {
	if mtu != 0 && (mtu < minMTU || mtu > 1<<16-1) {
		return fmt.Errorf("setting the MTU between %q and %q to %d: %w: %d to 65535, or 0", a, b, mtu, ErrOutOfRange, minMTU)
	}
	return s.each("setting the MTU of", a, b, func(l *link, _ bool) {
		l.change(func(s *shape) { s.mtu, s.silent = mtu, silent })
	})
}

// Translate puts a NAT between the machine at the port a, whose IPv4 address is inside, and those at
// b, which see it under the address outside. Its ports differ too, and only a peer that it has sent
// to gets through, from the port that it has sent to (RFC 4787: the mapping does not depend on the
// peer, the filter depends on its address and port). Its TCP, UDP and echo requests pass, nothing
// else does. Names are as for Cut, but a is one port.
func (s *Switch) Translate(a, b string, inside, outside netip.Addr) error {
	if !inside.Is4() || !outside.Is4() || inside == outside {
		return fmt.Errorf("translating %s to %s: %w: two different IPv4 addresses are needed", inside, outside, ErrOutOfRange)
	}
	if a == "" || a == anyPort {
		return fmt.Errorf("translating %s: %w: one port is behind a NAT, not all", inside, ErrUnknownPort)
	}
	t := newTranslator(inside.As4(), outside.As4())
	return s.each("translating", a, b, func(l *link, leads bool) {
		l.change(func(s *shape) { s.nat, s.outward = t, leads })
	})
}

// each calls f for every link between a and b, and says whether it leads from a to b.
func (s *Switch) each(doing, a, b string, f func(l *link, leads bool)) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.known(a, b); err != nil {
		return fmt.Errorf("%s frames between %q and %q: %w", doing, a, b, err)
	}
	pair := Pair{A: a, B: b}
	for _, port := range s.ports {
		for _, l := range port.links {
			if l != nil && pair.matches(l.from.name, l.to.name) {
				f(l, pair.leads(l.from.name, l.to.name))
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
