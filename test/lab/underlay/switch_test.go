package underlay

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// segment is a switch with stations in memory, whose ports are served until the test ends.
type segment struct {
	*Switch
	stations map[string]*pipe
}

// newSegment must be called in a synctest bubble.
func newSegment(t *testing.T, names ...string) *segment {
	t.Helper()
	s := &segment{Switch: New(), stations: map[string]*pipe{}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	for _, name := range names {
		ours, theirs := newPipe(&s.frames)
		port, err := s.Attach(name, theirs)
		if err != nil {
			t.Fatal(err)
		}
		s.stations[name] = ours
		go func() { ended <- port.Serve(ctx) }()
	}
	synctest.Wait()
	t.Cleanup(func() {
		cancel()
		for range names {
			if err := <-ended; err != nil {
				t.Errorf("Serve: %v", err)
			}
		}
	})
	return s
}

// send sends a frame from a station and waits until the switch is done with it.
func (s *segment) send(name string, frame []byte) {
	s.stations[name].Write(frame)
	synctest.Wait()
}

// received returns the payloads that have arrived at each station since the last call.
func (s *segment) received() map[string][]string {
	got := map[string][]string{}
	for name, p := range s.stations {
		p.mu.Lock()
		for _, b := range p.frames.take(nil) {
			got[name] = append(got[name], string(b.data[headerSize:]))
		}
		p.mu.Unlock()
	}
	return got
}

var (
	macA      = mac{2, 0, 0, 0, 0, 0xa}
	macB      = mac{2, 0, 0, 0, 0, 0xb}
	macC      = mac{2, 0, 0, 0, 0, 0xc}
	broadcast = mac{255, 255, 255, 255, 255, 255}
	allNodes  = mac{0x33, 0x33, 0, 0, 0, 1} // IPv6's multicast to all nodes
)

// frame returns an Ethernet frame with a payload.
func frame(to, from mac, payload string) []byte {
	f := append(append([]byte{}, to[:]...), from[:]...)
	return append(append(f, 0x88, 0xb5), payload...)
}

func TestForward(t *testing.T) {
	type step struct {
		from  string
		frame []byte
		want  map[string][]string
	}
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"broadcast goes to all others", []step{
			{"a", frame(broadcast, macA, "x"), map[string][]string{"b": {"x"}, "c": {"x"}}},
		}},
		{"multicast goes to all others", []step{
			{"b", frame(allNodes, macB, "x"), map[string][]string{"a": {"x"}, "c": {"x"}}},
		}},
		{"unknown unicast goes to all others", []step{
			{"a", frame(macB, macA, "x"), map[string][]string{"b": {"x"}, "c": {"x"}}},
		}},
		{"learned unicast goes to one", []step{
			{"b", frame(broadcast, macB, "hi"), map[string][]string{"a": {"hi"}, "c": {"hi"}}},
			{"a", frame(macB, macA, "x"), map[string][]string{"b": {"x"}}},
			{"b", frame(macA, macB, "y"), map[string][]string{"a": {"y"}}},
		}},
		{"an address that moves is followed", []step{
			{"b", frame(broadcast, macB, "1"), map[string][]string{"a": {"1"}, "c": {"1"}}},
			{"c", frame(broadcast, macB, "2"), map[string][]string{"a": {"2"}, "b": {"2"}}},
			{"a", frame(macB, macA, "3"), map[string][]string{"c": {"3"}}},
		}},
		{"a frame for a station behind its own port stays there", []step{
			{"a", frame(broadcast, macB, "1"), map[string][]string{"b": {"1"}, "c": {"1"}}},
			{"a", frame(macB, macA, "2"), map[string][]string{}},
		}},
		{"a group address is not learned", []step{
			{"a", frame(broadcast, allNodes, "1"), map[string][]string{"b": {"1"}, "c": {"1"}}},
			{"b", frame(allNodes, macB, "2"), map[string][]string{"a": {"2"}, "c": {"2"}}},
		}},
		{"too short is dropped", []step{{"a", make([]byte, headerSize-1), map[string][]string{}}}},
		{"the largest frame passes", []step{
			{"a", frame(broadcast, macA, string(make([]byte, 1<<16))), map[string][]string{"b": {string(make([]byte, 1<<16))}, "c": {string(make([]byte, 1<<16))}}},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSegment(t, "a", "b", "c")
				for i, step := range test.steps {
					s.send(step.from, step.frame)
					if diff := cmp.Diff(step.want, s.received()); diff != "" {
						t.Fatalf("step %d (-want +got):\n%s", i, diff)
					}
				}
			})
		})
	}
}

func TestPortNames(t *testing.T) {
	s := New()
	ours, theirs := newPipe(&s.frames)
	defer ours.Close()
	for _, test := range []struct {
		name string
		ok   bool
	}{{"a", true}, {"a", false}, {"", false}, {"*", false}, {"b", true}} {
		if _, err := s.Attach(test.name, theirs); (err == nil) != test.ok {
			t.Errorf("Attach(%q): %v, want ok = %v", test.name, err, test.ok)
		}
	}
}

// A station that does not take its frames loses them; the others get theirs.
func TestSlowReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSegment(t, "a", "b")
		stuck := &stuckConn{released: make(chan struct{})}
		port, err := s.Attach("stuck", stuck)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- port.Serve(ctx) }()
		synctest.Wait()
		large := frame(broadcast, macA, string(make([]byte, 1<<15)))
		const sent = 100 // three times what a backlog holds
		for range sent {
			s.send("a", large)
		}
		if got := len(s.received()["b"]); got != sent {
			t.Errorf("b received %d frames, want %d", got, sent)
		}
		for _, l := range s.Stats() {
			if l.From == "a" && l.To == "stuck" && (l.Full == 0 || l.Frames+l.Full != sent) {
				t.Errorf("a -> stuck: %+v, want some frames dropped and %d in all", l, sent)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// stuckConn takes no frames until it is closed.
type stuckConn struct{ released chan struct{} }

func (c *stuckConn) Read([]byte) (int, error)  { <-c.released; return 0, errors.New("closed") }
func (c *stuckConn) Write([]byte) (int, error) { <-c.released; return 0, errors.New("closed") }
func (c *stuckConn) Close() error {
	select {
	case <-c.released:
	default:
		close(c.released)
	}
	return nil
}

func TestServeSaysThatTheConnectionBroke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		ours, theirs := newPipe(&s.frames)
		port, err := s.Attach("a", theirs)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { ours.Close() })
		if err := port.Serve(t.Context()); err == nil {
			t.Error("Serve returned nil though the connection broke before its context ended")
		}
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSegment(t, "a", "b")
		s.send("a", frame(macB, macA, "12345"))
		if err := s.Cut("a", "b", Selection{}); err != nil {
			t.Fatal(err)
		}
		s.send("b", frame(macA, macB, ""))
		want := []LinkStats{
			{From: "a", To: "b", Frames: 1, Bytes: headerSize + 5},
			{From: "b", To: "a", Cut: 1},
		}
		if diff := cmp.Diff(want, s.Stats()); diff != "" {
			t.Errorf("Stats (-want +got):\n%s", diff)
		}
	})
}
