package underlay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// backlogBytes bounds the frames that wait for a port that does not take them: 15 ms at 560 Mbit/s.
const backlogBytes = 1 << 20

// wire carries frames between a port and the machine that is plugged into it.
type wire interface {
	// receive waits for frames. Their memory is valid until the next call.
	receive() ([][]byte, error)
	// trySend sends the first frames of those given and returns how many; it never waits.
	trySend(frames [][]byte) int
	// send sends all of them, and waits for that.
	send(frames [][]byte) error
	// Close ends a receive and a send that wait.
	Close() error
}

// Port is one socket of the switch, for one machine.
type Port struct {
	name  string
	index int
	sw    *Switch
	links []*link // guarded by sw.mu; to each port by its index, nil to itself

	serve func(context.Context) error

	stations  atomic.Int64 // how many addresses were learned here; changed under sw.mu
	malformed atomic.Uint64
	scratch   [][]byte // of the goroutine that receives

	mu       sync.Mutex
	wire     wire          // guarded by mu; nil while nothing is plugged in
	backlog  queue         // guarded by mu; what wire did not take at once
	draining bool          // guarded by mu; frames taken from backlog are being sent
	wake     chan struct{} // backlog is no longer empty
}

// Name returns the port's name.
func (p *Port) Name() string { return p.name }

// Serve passes frames between the port and the switch until ctx ends, and then returns nil. It is
// called once.
func (p *Port) Serve(ctx context.Context) error {
	if err := p.serve(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serving port %q: %w", p.name, err)
	}
	return nil
}

// Attach makes a port for conn: each Read returns one frame, each Write is given one. Frames flow
// once the port's Serve runs, which closes conn in the end.
func (s *Switch) Attach(name string, conn io.ReadWriteCloser) (*Port, error) {
	p, err := s.add(name)
	if err != nil {
		return nil, err
	}
	p.serve = func(ctx context.Context) error { return p.attend(ctx, newPlainWire(conn)) }
	return p, nil
}

// attend passes frames over w until it breaks or ctx ends, then closes it.
func (p *Port) attend(ctx context.Context, w wire) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { w.Close() })()
	p.plug(w)
	defer p.unplug()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		cancel(p.drain(ctx, w))
	}()
	cancel(p.receive(w))
	<-drained
	w.Close()
	return context.Cause(ctx)
}

// receive forwards what comes over w until it breaks.
func (p *Port) receive(w wire) error {
	for {
		frames, err := w.receive()
		if err != nil {
			return err
		}
		p.sw.forward(p, frames)
	}
}

// drain sends the backlog over w until that breaks or ctx ends.
func (p *Port) drain(ctx context.Context, w wire) error {
	var list []*buffer
	var frames [][]byte
	for {
		if list = p.takeBacklog(list); len(list) == 0 {
			select {
			case <-p.wake:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		frames = frames[:0]
		for _, b := range list {
			frames = append(frames, b.data)
		}
		err := w.send(frames)
		p.backlog.free(list)
		if err != nil {
			return err
		}
	}
}

func (p *Port) takeBacklog(list []*buffer) []*buffer {
	p.mu.Lock()
	defer p.mu.Unlock()
	list = p.backlog.take(list)
	p.draining = len(list) > 0
	return list
}

// plug makes w what deliver sends to. What was known of the machine before is forgotten.
func (p *Port) plug(w wire) {
	p.sw.forget(p)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wire, p.draining = w, false
	p.backlog.free(p.backlog.take(nil))
}

func (p *Port) unplug() {
	p.mu.Lock()
	p.wire = nil
	p.backlog.free(p.backlog.take(nil))
	p.mu.Unlock()
	p.sw.forget(p)
}

// deliver sends frames that came over l to the machine, or keeps copies until it takes them, or
// drops those that there is no room for.
func (p *Port) deliver(l *link, frames [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wire == nil {
		l.dropFull.Add(uint64(len(frames)))
		return
	}
	sent := 0
	if len(p.backlog.list) == 0 && !p.draining {
		sent = p.wire.trySend(frames)
	}
	for _, frame := range frames[sent:] {
		if !p.backlog.push(frame, time.Time{}) {
			break
		}
		sent++
	}
	if len(p.backlog.list) > 0 {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	l.count(frames, sent)
}

// count records that the first sent of frames were delivered and the rest dropped.
func (l *link) count(frames [][]byte, sent int) {
	bytes := 0
	for _, frame := range frames[:sent] {
		bytes += len(frame)
	}
	l.frames.Add(uint64(sent))
	l.bytes.Add(uint64(bytes))
	l.dropFull.Add(uint64(len(frames) - sent))
}

// plainWire carries a frame per Read and per Write.
type plainWire struct {
	io.ReadWriteCloser
	buf   []byte
	frame [1][]byte
}

func newPlainWire(conn io.ReadWriteCloser) *plainWire {
	return &plainWire{ReadWriteCloser: conn, buf: make([]byte, maxFrame+1)}
}

func (w *plainWire) receive() ([][]byte, error) {
	n, err := w.Read(w.buf)
	if err != nil {
		return nil, err
	}
	w.frame[0] = w.buf[:n]
	return w.frame[:], nil
}

// trySend sends nothing: Write may wait.
func (w *plainWire) trySend([][]byte) int { return 0 }

func (w *plainWire) send(frames [][]byte) error {
	var errs []error
	for _, frame := range frames {
		if _, err := w.Write(frame); err != nil {
			errs = append(errs, err)
			break
		}
	}
	return errors.Join(errs...)
}
