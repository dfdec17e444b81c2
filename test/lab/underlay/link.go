package underlay

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// lineBytes bounds what a link with a delay holds: 100 ms at 640 Mbit/s.
const lineBytes = 8 << 20

// link is the way of frames from one port to another: its faults and its counters.
type link struct {
	from, to *Port

	cut  atomic.Bool
	loss atomic.Uint64 // the bits of a float64: the share of frames that is lost
	wait atomic.Int64  // the delay, a time.Duration

	shape    atomic.Pointer[shape] // the faults that look into packets; nil for none
	changing sync.Mutex            // of who changes shape

	frames, bytes               atomic.Uint64 // delivered
	dropCut, dropLoss, dropFull atomic.Uint64 // dropped: by Cut, MTU or Translate; by Loss; for lack of room or of a receiver

	line line
}

// line holds the frames of a link with a delay until they are due.
type line struct {
	pending atomic.Int64 // how many frames are held or being delivered

	mu    sync.Mutex
	held  []heldFrame // guarded by mu; in order, the first is due first
	bytes int         // guarded by mu; the sum of their sizes
	timer *time.Timer // guarded by mu; fires when the first is due
}

// heldFrame is a frame that is delivered at due.
type heldFrame struct {
	due time.Time
	buf *buffer
}

func newLink(from, to *Port) *link { return &link{from: from, to: to} }

// admit says whether a frame gets onto the link.
func (l *link) admit(frame []byte) bool {
	if l.cut.Load() || l.shape.Load().cuts(frame) {
		l.dropCut.Add(1)
		return false
	}
	if bits := l.loss.Load(); bits != 0 && rand.Float64() < math.Float64frombits(bits) {
		l.dropLoss.Add(1)
		return false
	}
	return true
}

// delayed says whether a frame has to go through the line: also without a delay, as long as
// earlier frames are in it.
func (l *link) delayed() bool { return l.wait.Load() > 0 || l.line.pending.Load() > 0 }

// hold puts a copy of frame at the end of the line. A shorter delay than before does not let it
// overtake.
func (l *link) hold(now time.Time, frame []byte) {
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	if l.line.bytes+len(frame) > lineBytes {
		l.dropFull.Add(1)
		return
	}
	due := now.Add(time.Duration(l.wait.Load()))
	if n := len(l.line.held); n > 0 && due.Before(l.line.held[n-1].due) {
		due = l.line.held[n-1].due
	}
	l.line.held = append(l.line.held, heldFrame{due: due, buf: l.from.sw.frames.copy(frame)})
	l.line.bytes += len(frame)
	l.line.pending.Add(1)
	if len(l.line.held) == 1 {
		l.line.arm(due.Sub(now), l.release)
	}
}

// arm sets the timer. The caller holds mu.
func (l *line) arm(after time.Duration, f func()) {
	if l.timer == nil {
		l.timer = time.AfterFunc(after, f)
		return
	}
	l.timer.Reset(after)
}

// release delivers what is due, and sets the timer for what is next.
func (l *link) release() {
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	now := time.Now()
	n := 0
	for n < len(l.line.held) && !l.line.held[n].due.After(now) {
		n++
	}
	frames := make([][]byte, 0, n)
	for _, h := range l.line.held[:n] {
		frames = append(frames, h.buf.data)
	}
	if n > 0 {
		l.to.deliver(l, frames)
	}
	l.shift(n)
	if len(l.line.held) > 0 {
		l.line.arm(l.line.held[0].due.Sub(now), l.release)
	}
}

// shift takes the first n frames off the line. The caller holds the line's mu.
func (l *link) shift(n int) {
	for _, h := range l.line.held[:n] {
		l.line.bytes -= len(h.buf.data)
		l.from.sw.frames.release(h.buf)
	}
	kept := copy(l.line.held, l.line.held[n:])
	clear(l.line.held[kept:])
	l.line.held = l.line.held[:kept]
	l.line.pending.Add(-int64(n))
}

// sever cuts the link; frames on their way are lost with it.
func (l *link) sever() {
	l.cut.Store(true)
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	l.dropCut.Add(uint64(len(l.line.held)))
	l.shift(len(l.line.held))
}
