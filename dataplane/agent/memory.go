package agent

import (
	"context"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// restGCPercent is how much garbage there may be, in percent of what is in use, before Go collects
// it. Most of it comes from reading the API server at the start. After that a node has few changes,
// so that to collect twice as often as by default costs next to nothing.
const restGCPercent = 50

// afterStart is how long after the node is ready the changes that come with the start have come.
const afterStart = 3 * time.Second

// giveBack gives memory back to the node once the first passes are done, which need twice as much as
// those that follow. GOGC in the environment is respected.
func (a *Agent) giveBack(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-a.begun.done:
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(afterStart):
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(restGCPercent)
	}
	debug.FreeOSMemory()
}

// moment is something that happens once.
type moment struct {
	once *sync.Once
	// done is closed when it has happened.
	done chan struct{}
}

func newMoment() moment { return moment{once: &sync.Once{}, done: make(chan struct{})} }

// come says that it has happened.
func (m moment) come() { m.once.Do(func() { close(m.done) }) }
