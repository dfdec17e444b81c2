package web

import (
	"sync"

	"github.com/tombolo-net/tombolo/cli/web/view"
)

// board holds what all open pages show. Each reader compares it with what it has shown itself, so one
// that is slow misses steps and no state.
type board struct {
	// mu guards what follows.
	mu    sync.Mutex
	state view.State
	// changed is closed, and replaced, when the state changes or a reader comes.
	changed chan struct{}
	readers int
}

func newBoard() *board { return &board{state: view.State{}, changed: make(chan struct{})} }

// now is the state, and a channel that is closed when there may be another one.
func (b *board) now() (view.State, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state, b.changed
}

// set replaces what is below the prefix.
func (b *board) set(prefix string, part view.State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = b.state.With(prefix, part)
	b.wake()
}

// wake is called with mu held.
func (b *board) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// read counts a reader, until the returned function is called.
func (b *board) read() (end func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readers++
	b.wake()
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.readers--
	}
}

// isRead tells whether a page is open.
func (b *board) isRead() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.readers > 0
}
