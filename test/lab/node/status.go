package node

import (
	"maps"
	"sync"
	"time"
)

// ComponentState is how far a component of a node is.
type ComponentState string

// The states of a component.
const (
	StateWaiting ComponentState = "waiting" // for what it needs
	StateStarted ComponentState = "started"
	StateReady   ComponentState = "ready"
	StateFailed  ComponentState = "failed" // and is to be started again
	StateDone    ComponentState = "done"   // of what is done once
)

// ComponentStatus is how a component is.
type ComponentStatus struct {
	State ComponentState `json:"state"`
	Since time.Time      `json:"since"`
	// Failures counts the ends of the component that nobody had asked for.
	Failures int    `json:"failures"`
	Error    string `json:"error,omitempty"` // of the last failure
}

// Status is how a node is, by component.
type Status struct {
	Name       string                     `json:"name"`
	Booted     time.Time                  `json:"booted"`
	Components map[string]ComponentStatus `json:"components"`
}

// statusBoard holds the components' states. It is safe for concurrent use.
type statusBoard struct {
	booted time.Time

	mu         sync.Mutex
	components map[string]ComponentStatus // guarded by mu
}

func newStatus() *statusBoard {
	return &statusBoard{booted: time.Now(), components: map[string]ComponentStatus{}}
}

// set notes a component's state; err is why it failed.
func (b *statusBoard) set(name string, state ComponentState, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.components[name]
	c.State, c.Since = state, time.Now()
	if err != nil {
		c.Error = err.Error()
		c.Failures++
	}
	b.components[name] = c
}

// get returns a copy of everything.
func (b *statusBoard) get(name string) Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Status{Name: name, Booted: b.booted, Components: maps.Clone(b.components)}
}
