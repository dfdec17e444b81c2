package underlay

import (
	"io"
	"sync"
	"time"
)

// pipe is one end of a connection in memory that keeps frames apart: each Write is one Read of the
// other end. Write never waits: without room the frame is dropped. Closing either end closes both.
type pipe struct {
	peer *pipe
	wake chan struct{}
	shut *shutter

	mu     sync.Mutex
	frames queue // guarded by mu; what the peer has written

	taken []*buffer // of the reader: taken from frames, not read yet
	next  int
}

// shutter is closed once.
type shutter struct {
	once sync.Once
	done chan struct{}
}

func (s *shutter) close() { s.once.Do(func() { close(s.done) }) }

// newPipe returns the two ends.
func newPipe(pool *framePool) (a, b *pipe) {
	shut := &shutter{done: make(chan struct{})}
	end := func() *pipe {
		return &pipe{wake: make(chan struct{}, 1), shut: shut, frames: queue{pool: pool, limit: 4 << 20}}
	}
	a, b = end(), end()
	a.peer, b.peer = b, a
	return a, b
}

// Read returns the next frame, or io.EOF once either end is closed.
func (p *pipe) Read(b []byte) (int, error) {
	for p.next == len(p.taken) {
		p.mu.Lock()
		p.taken, p.next = p.frames.take(p.taken), 0
		p.mu.Unlock()
		if len(p.taken) > 0 {
			break
		}
		select {
		case <-p.wake:
		case <-p.shut.done:
			return 0, io.EOF
		}
	}
	buf := p.taken[p.next]
	p.next++
	n := copy(b, buf.data)
	p.frames.pool.release(buf)
	return n, nil
}

// Write gives frame to the other end, or drops it: without room, or when the pipe is closed, as on
// any network.
func (p *pipe) Write(frame []byte) (int, error) {
	p.peer.mu.Lock()
	p.peer.frames.push(frame, time.Time{})
	p.peer.mu.Unlock()
	select {
	case p.peer.wake <- struct{}{}:
	default:
	}
	return len(frame), nil
}

// Close closes both ends.
func (p *pipe) Close() error {
	p.shut.close()
	return nil
}
