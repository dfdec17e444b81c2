package underlay

import (
	"fmt"
	"sync"
	"time"
)

const (
	// headerSize is the size in bytes of an Ethernet header: two addresses and a type.
	headerSize = 14
	// maxFrame is the largest frame in bytes: the largest IP packet, a header and a VLAN tag.
	maxFrame = 1<<16 + headerSize + 4
	// maxStations is how many addresses are remembered for a port; frames to others are flooded.
	maxStations = 1024
)

// mac is an Ethernet address.
type mac [6]byte

// group says that the address is broadcast or multicast (IEEE 802.3, the first octet's lowest bit).
func (m mac) group() bool { return m[0]&1 == 1 }

// Switch joins ports into one Ethernet segment. All its methods are safe for concurrent use.
type Switch struct {
	mu       sync.RWMutex
	ports    []*Port       // guarded by mu; a port's index is its place here
	stations map[mac]*Port // guarded by mu; the port behind which an address was last seen
	captures []*Capture    // guarded by mu

	frames framePool
}

// New returns a switch without ports. It starts nothing: a port works while its Serve runs.
func New() *Switch {
	return &Switch{stations: map[mac]*Port{}}
}

// add makes the port called name, with a link to and from each port that is there.
func (s *Switch) add(name string) (*Port, error) {
	if name == "" || name == anyPort {
		return nil, fmt.Errorf("adding port %q: a port needs a name of its own", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.ports {
		if p.name == name {
			return nil, fmt.Errorf("adding port %q: there is one of that name already", name)
		}
	}
	port := &Port{name: name, index: len(s.ports), sw: s, backlog: queue{pool: &s.frames, limit: backlogBytes}, wake: make(chan struct{}, 1)}
	for _, p := range s.ports {
		p.links = append(p.links, newLink(p, port))
		port.links = append(port.links, newLink(port, p))
	}
	port.links = append(port.links, nil) // there is no link from a port to itself
	s.ports = append(s.ports, port)
	return port, nil
}

// learn remembers that address is behind port.
func (s *Switch) learn(address mac, port *Port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.stations[address]; old != nil {
		old.stations.Add(-1)
	}
	s.stations[address] = port
	port.stations.Add(1)
}

// forget drops every address that was learned on port: whatever connects to it next may be another
// machine.
func (s *Switch) forget(port *Port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, p := range s.stations {
		if p == port {
			delete(s.stations, address)
		}
	}
	port.stations.Store(0)
}

// forward passes on frames that from has received, in their order. The frames' memory is the
// caller's again when it returns. One goroutine at a time calls it for a port; it never waits for a
// receiver.
func (s *Switch) forward(from *Port, frames [][]byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := time.Now()
	run := burst{frames: from.scratch[:0]}
	for _, frame := range frames {
		if len(frame) < headerSize || len(frame) > maxFrame {
			from.malformed.Add(1)
			continue
		}
		s.see(from, mac(frame[6:12]))
		destination := mac(frame[:6])
		to := s.stations[destination]
		switch {
		case to == from: // both stations are behind the same port
		case to != nil && !destination.group():
			s.unicast(now, from.links[to.index], frame, &run)
		default:
			run.flush()
			s.flood(now, from, frame)
		}
	}
	run.flush()
	from.scratch = run.frames[:0]
}

// see learns the source of a frame. The caller holds mu for reading, and does again when it
// returns.
func (s *Switch) see(from *Port, source mac) {
	if source.group() || s.stations[source] == from || from.stations.Load() >= maxStations {
		return
	}
	s.mu.RUnlock()
	defer s.mu.RLock()
	s.learn(source, from)
}

// unicast passes one frame over one link, at the end of the run of frames that take the same link.
func (s *Switch) unicast(now time.Time, l *link, frame []byte, run *burst) {
	if !l.admit(frame) {
		return
	}
	sh := l.shape.Load()
	if sh == nil {
		s.onward(now, l, frame, run)
		return
	}
	for _, f := range sh.pass(l, frame) {
		s.onward(now, l, f, run)
	}
}

// onward passes on a frame as it comes out of the link's faults.
func (s *Switch) onward(now time.Time, l *link, frame []byte, run *burst) {
	for _, c := range s.captures {
		if c.wants(l.from.name, l.to.name) {
			c.record(now, frame)
		}
	}
	if l.delayed() {
		run.flush()
		l.hold(now, frame)
		return
	}
	run.add(l, frame)
}

// flood passes one frame to every other port; a capture sees it once, however many receive it.
func (s *Switch) flood(now time.Time, from *Port, frame []byte) {
	recorded := make(map[*Capture]bool, len(s.captures))
	for _, l := range from.links {
		if l == nil || !l.admit(frame) {
			continue
		}
		for _, f := range l.shape.Load().pass(l, frame) {
			s.floodOne(now, l, f, recorded)
		}
	}
}

// floodOne passes a flooded frame over one link.
func (s *Switch) floodOne(now time.Time, l *link, frame []byte, recorded map[*Capture]bool) {
	for _, c := range s.captures {
		if !recorded[c] && c.wants(l.from.name, l.to.name) {
			c.record(now, frame)
			recorded[c] = true
		}
	}
	if l.delayed() {
		l.hold(now, frame)
		return
	}
	l.to.deliver(l, [][]byte{frame})
}

// burst is a run of frames that take the same link and are sent by one system call.
type burst struct {
	link   *link
	frames [][]byte
}

func (b *burst) add(l *link, frame []byte) {
	if b.link != l {
		b.flush()
		b.link = l
	}
	b.frames = append(b.frames, frame)
}

func (b *burst) flush() {
	if len(b.frames) > 0 {
		b.link.to.deliver(b.link, b.frames)
	}
	clear(b.frames)
	b.frames = b.frames[:0]
}
