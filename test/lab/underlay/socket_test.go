package underlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// sockets is a switch with ports that machines connect to.
type sockets struct {
	*Switch
	dir string
}

func newSockets(t *testing.T, names ...string) *sockets {
	t.Helper()
	// Not t.TempDir: with a test's long name in it the path may be too long for a socket.
	dir, err := os.MkdirTemp("", "underlay-")
	if err != nil {
		t.Fatal(err)
	}
	s := &sockets{Switch: New(), dir: dir}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	for _, name := range names {
		port, err := s.Listen(name, s.path(name))
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- port.Serve(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range names {
			if err := <-ended; err != nil {
				t.Errorf("Serve: %v", err)
			}
		}
		for _, name := range names {
			if _, err := os.Lstat(s.path(name)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket of %s is left behind: %v", name, err)
			}
		}
		os.RemoveAll(dir)
	})
	return s
}

func (s *sockets) path(name string) string { return filepath.Join(s.dir, name) }

// machine is what a user-mode kernel does at its end: a connected SOCK_SEQPACKET.
type machine struct {
	t *testing.T
	*net.UnixConn
}

func (s *sockets) connect(t *testing.T, name string) machine {
	t.Helper()
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: s.path(name), Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return machine{t, conn}
}

func (m machine) send(frame []byte) {
	m.t.Helper()
	if _, err := m.Write(frame); err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) receive() []byte {
	m.t.Helper()
	buf := make([]byte, maxFrame)
	n, err := m.Read(buf)
	if err != nil {
		m.t.Fatal(err)
	}
	return buf[:n]
}

// until sends a frame again and again until done is closed: it may get lost on the way.
func (m machine) until(done <-chan struct{}, frame []byte) {
	m.t.Helper()
	for {
		select {
		case <-done:
			return
		default:
			m.send(frame)
			runtime.Gosched()
		}
	}
}

// meet returns when frames of one machine arrive at the other one, the last of those that it sends
// has arrived.
func meet(from, to machine) {
	from.t.Helper()
	met := make(chan struct{})
	go func() {
		defer close(met)
		to.Read(make([]byte, maxFrame))
	}()
	from.until(met, frame(broadcast, macA, "hello"))
	from.send(frame(broadcast, macA, "the last"))
	for string(to.receive()[headerSize:]) != "the last" {
	}
}

func TestListen(t *testing.T) {
	s := newSockets(t, "a", "b")
	a, b := s.connect(t, "a"), s.connect(t, "b")
	meet(a, b)
	for _, size := range []int{headerSize, 60, 1514, 9014, maxFrame} {
		want := frame(macB, macA, strings.Repeat("x", size-headerSize))
		a.send(want)
		if got := b.receive(); !bytes.Equal(got, want) {
			t.Errorf("a frame of %d bytes arrived as one of %d", size, len(got))
		}
	}
}

// A machine that connects again takes the place of its former self.
func TestReconnect(t *testing.T) {
	s := newSockets(t, "a", "b")
	a, old := s.connect(t, "a"), s.connect(t, "b")
	meet(a, old)
	b := s.connect(t, "b")
	meet(a, b)
	if _, err := readAll(old); err == nil {
		t.Error("the former connection is still there")
	}
	b.Close()
	again := s.connect(t, "b")
	meet(a, again)
}

// readAll reads until the connection ends.
func readAll(m machine) (int, error) {
	buf := make([]byte, maxFrame)
	for {
		if n, err := m.Read(buf); err != nil || n == 0 {
			return 0, fmt.Errorf("ended: %w", err)
		}
	}
}

// A machine that stops reading loses frames, and gets those that are kept, in order, when it goes
// on.
func TestFrozenMachine(t *testing.T) {
	s := newSockets(t, "a", "b")
	a, b := s.connect(t, "a"), s.connect(t, "b")
	meet(a, b)
	const sent = 3000
	payload := strings.Repeat("x", 1400)
	for i := range sent {
		a.send(frame(broadcast, macA, fmt.Sprintf("%05d%s", i, payload)))
	}
	done := make(chan struct{})
	got := 0
	go func() {
		defer close(done)
		got = inOrder(b, "the last")
	}()
	a.until(done, frame(broadcast, macA, "the last"))
	if dropped := full(s, "a", "b"); dropped == 0 || got == 0 || got+int(dropped) < sent {
		t.Errorf("%d of %d frames arrived and %d were dropped", got, sent, dropped)
	}
}

// inOrder receives frames that begin with ascending numbers up to one with the payload last, and
// returns how many.
func inOrder(m machine, last string) int {
	before, buf := "", make([]byte, maxFrame)
	for n := 0; ; n++ {
		size, err := m.Read(buf)
		if err != nil {
			m.t.Error(err)
			return n
		}
		payload := string(buf[headerSize:size])
		if payload == last {
			return n
		}
		if payload <= before {
			m.t.Errorf("frame %.5s arrived after frame %.5s", payload, before)
		}
		before = payload
	}
}

// full returns how many frames from a to b were dropped for lack of room.
func full(s *sockets, a, b string) uint64 {
	for _, l := range s.Stats() {
		if l.From == a && l.To == b {
			return l.Full
		}
	}
	return 0
}

func TestListenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(dir, "missing", "socket"), filepath.Join(dir, strings.Repeat("x", 120))} {
		if _, err := New().Listen("a", path); err == nil {
			t.Errorf("Listen at %s: no error", path)
		}
	}
}

func BenchmarkForward(b *testing.B) {
	s := New()
	frames := make([][]byte, batchFrames)
	from, err := s.Attach("a", nil)
	if err != nil {
		b.Fatal(err)
	}
	to, err := s.Attach("b", nil)
	if err != nil {
		b.Fatal(err)
	}
	to.plug(discard{})
	s.learn(macB, to)
	for i := range frames {
		frames[i] = frame(macB, macA, string(make([]byte, 1500)))
	}
	b.ReportAllocs()
	for b.Loop() {
		s.forward(from, frames)
	}
	b.SetBytes(int64(len(frames) * len(frames[0])))
}

// discard is a wire that takes everything.
type discard struct{}

func (discard) receive() ([][]byte, error)  { return nil, nil }
func (discard) trySend(frames [][]byte) int { return len(frames) }
func (discard) send([][]byte) error         { return nil }
func (discard) Close() error                { return nil }
