package liveness

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// tolerance is how late the Prober may wake without counting it as time in which nobody listened.
const tolerance = 50 * time.Millisecond

// Prober asks gateways whether they live. Its methods are safe for concurrent use.
type Prober struct {
	changed func()
	// wake is an eventfd that ends a wait.
	wake int
	// first is closed when every gateway has answered once.
	first chan struct{}

	// mu guards what follows.
	mu       sync.Mutex
	judge    Judge
	targets  map[string]*target
	answered bool // first is closed
	closed   bool
}

type target struct {
	Target
	// questions are asked in turn.
	questions [outstanding]*question
	next      int
	// failure is why the last question could not go out; nil if it did.
	failure error
}

// New returns a Prober that asks nobody yet. It calls changed whenever a verdict has changed; changed
// must not block.
func New(changed func()) (*Prober, error) {
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making an eventfd: %w", err)
	}
	return &Prober{changed: changed, wake: wake, first: make(chan struct{}), targets: map[string]*target{}}, nil
}

// Watch makes these the gateways to ask, in the network namespace of the calling thread, in that
// interval. What is known of them stays known. The error names those that cannot be asked.
func (p *Prober) Watch(interval time.Duration, targets []Target) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	var errs []error
	var names []string
	kept := make(map[string]*target, len(targets))
	for _, t := range targets {
		old := p.targets[t.Gateway]
		if old == nil || old.Target != t {
			fresh, err := newTarget(t)
			if err != nil {
				errs = append(errs, fmt.Errorf("asking gateway %s whether it lives: %w", t.Gateway, err))
				continue
			}
			old = fresh
		}
		kept[t.Gateway], names = old, append(names, t.Gateway)
	}
	for name, old := range p.targets {
		if kept[name] != old {
			old.close()
		}
	}
	p.targets = kept
	p.judge.Watch(interval, names, time.Now())
	p.nudge()
	return errors.Join(errs...)
}

// nudge ends a wait. It fails only if there are too many nudges already.
func (p *Prober) nudge() { _, _ = unix.Write(p.wake, binary.NativeEndian.AppendUint64(nil, 1)) }

func newTarget(t Target) (*target, error) {
	made := &target{Target: t}
	for i := range made.questions {
		q, err := newQuestion(t.Source)
		if err != nil {
			made.close()
			return nil, err
		}
		made.questions[i] = q
	}
	return made, nil
}

func (t *target) close() {
	for _, q := range t.questions {
		if q != nil {
			q.close()
		}
	}
}

// Verdicts returns what is known of each gateway.
func (p *Prober) Verdicts() map[string]Verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.judge.Verdicts()
}

// Failure returns why questions cannot go out now; nil if they can.
func (p *Prober) Failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(p.targets)) {
		if err := p.targets[name].failure; err != nil {
			errs = append(errs, fmt.Errorf("asking gateway %s whether it lives: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// Wait returns when every gateway has answered once, the time is over or ctx ends.
func (p *Prober) Wait(ctx context.Context, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.first:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Run asks until ctx ends. It may be called once.
func (p *Prober) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.closed {
			p.nudge()
		}
	})
	defer p.close()
	defer stop()
	var next time.Time
	for ctx.Err() == nil {
		awaited := p.awaited()
		if _, err := unix.Poll(awaited.fds, milliseconds(next)); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("waiting for gateways: %w", err)
		}
		var changed bool
		if next, changed = p.turn(awaited, next); changed {
			p.changed()
		}
	}
	return nil
}

// close closes the sockets. Nobody asks afterwards.
func (p *Prober) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, t := range p.targets {
		t.close()
	}
	clear(p.targets)
	_ = unix.Close(p.wake)
}

// milliseconds until that time, rounded up as Poll takes them; without a time it is for ever.
func milliseconds(at time.Time) int {
	if at.IsZero() {
		return -1
	}
	return int(max(0, time.Until(at)+time.Millisecond-1) / time.Millisecond)
}

// awaited are the answers that are waited for. The first file descriptor is wake.
type awaited struct {
	fds       []unix.PollFd
	targets   []*target
	questions []*question
}

func (p *Prober) awaited() awaited {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := awaited{fds: []unix.PollFd{{Fd: int32(p.wake), Events: unix.POLLIN}}}
	for _, t := range p.targets {
		for _, q := range t.questions {
			if q.open {
				a.fds = append(a.fds, unix.PollFd{Fd: int32(q.fd), Events: unix.POLLOUT})
				a.targets, a.questions = append(a.targets, t), append(a.questions, q)
			}
		}
	}
	return a
}

// turn takes the answers, judges, asks those whose turn it is, and returns when the next turn is.
// Answers come first: they may have waited longer than this process.
func (p *Prober) turn(a awaited, meant time.Time) (next time.Time, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.fds[0].Revents != 0 {
		var count [8]byte
		_, _ = unix.Read(p.wake, count[:]) // it says no more than that there was a nudge
	}
	before, now := p.judge.Changes(), time.Now()
	if late := now.Sub(meant); !meant.IsZero() && late > tolerance {
		p.judge.Late(late)
	}
	for i, t := range a.targets {
		if a.fds[i+1].Revents != 0 && p.targets[t.Gateway] == t && a.questions[i].open {
			p.hear(t, a.questions[i], now)
		}
	}
	p.judge.Decide(now)
	for name, t := range p.targets {
		if p.judge.Due(name, now) {
			p.ask(t, now)
		}
	}
	p.settle()
	return p.judge.Next(), p.judge.Changes() != before
}

// hear takes the answer to a question.
func (p *Prober) hear(t *target, q *question, now time.Time) {
	if q.answer() {
		p.judge.Answered(t.Gateway, now)
	} else {
		p.judge.Lost(t.Gateway)
	}
}

// ask asks the gateway, and waits no more for the answer to the oldest question.
func (p *Prober) ask(t *target, now time.Time) {
	q := t.questions[t.next]
	t.next = (t.next + 1) % len(t.questions)
	if q.open {
		p.judge.Lost(t.Gateway)
	}
	if t.failure = q.ask(t.Address, now); t.failure != nil {
		p.judge.Failed(t.Gateway, now)
		return
	}
	p.judge.Asked(t.Gateway, now)
}

// settle closes first when every gateway has answered.
func (p *Prober) settle() {
	if p.answered || len(p.targets) == 0 {
		return
	}
	for _, v := range p.judge.Verdicts() {
		if v.State == Unknown {
			return
		}
	}
	p.answered = true
	close(p.first)
}
