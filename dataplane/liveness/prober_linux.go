package liveness

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/tombolo-net/tombolo/internal/kernel/alarm"
)

const (
	// tolerance is how late the Prober may wake without counting it as time in which nobody listened.
	tolerance = 50 * time.Millisecond
	// soon is how long after a question the Prober looks for the answer of a gateway that is not known to
	// live: the first plan may wait for it, and one that has been dead for long is asked once a second.
	soon = 20 * time.Millisecond
)

// Prober asks gateways whether they live. It does not wait for answers. It looks for them when the next
// question or a verdict is due. So a question wakes the process once, which is most of its cost. The
// methods are safe for concurrent use.
type Prober struct {
	changed func()
	alarm   *alarm.Alarm
	// first is closed when every gateway has answered once.
	first chan struct{}

	// mu guards what follows.
	mu       sync.Mutex
	judge    Judge
	targets  map[string]*target
	answered bool // first is closed
	closed   bool
	// looked is when the Prober looked for answers last.
	looked time.Time
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
	wakes, err := alarm.New()
	if err != nil {
		return nil, err
	}
	return &Prober{changed: changed, alarm: wakes, first: make(chan struct{}), targets: map[string]*target{}}, nil
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
	p.alarm.Ring()
	return errors.Join(errs...)
}

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
func (p *Prober) Run(ctx context.Context) {
	defer p.close()
	defer context.AfterFunc(ctx, p.alarm.Ring)()
	var next time.Time
	for ctx.Err() == nil {
		var changed bool
		if next, changed = p.turn(next); changed {
			p.changed()
		}
		wait := time.Duration(math.MaxInt64)
		if !next.IsZero() {
			wait = time.Until(next)
		}
		p.alarm.Wait(wait)
	}
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
	p.alarm.Close()
}

// turn takes the answers, judges, asks those whose turn it is, and returns when the next turn is.
func (p *Prober) turn(meant time.Time) (next time.Time, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, now := p.judge.Changes(), time.Now()
	p.listen(now)
	if late := now.Sub(meant); !meant.IsZero() && late > tolerance {
		p.judge.Late(late)
	}
	p.judge.Decide(now)
	for name, t := range p.targets {
		if p.judge.Due(name, now) {
			p.ask(t, now)
		}
	}
	p.settle()
	return p.next(now), p.judge.Changes() != before
}

// next is when the next turn is, the zero time if there never is.
func (p *Prober) next(now time.Time) time.Time {
	next := p.judge.Next()
	for name, t := range p.targets {
		q := t.questions[(t.next+outstanding-1)%outstanding] // the last one
		if at := q.asked.Add(soon); q.open && p.judge.tracks[name].State != Alive && now.Before(at) && at.Before(next) {
			next = at
		}
	}
	return next
}

// listen takes the answers that have come since the last look.
func (p *Prober) listen(now time.Time) {
	var targets []*target
	var open []*question
	for _, t := range p.targets {
		for i := range t.questions {
			if q := t.questions[(t.next+i)%len(t.questions)]; q.open { // the oldest first
				targets, open = append(targets, t), append(open, q)
			}
		}
	}
	for i, has := range answered(open) {
		if has {
			p.hear(targets[i], open[i], now)
		}
	}
	p.looked = now
}

// hear takes the answer to a question. It came after the question, and after the last look.
func (p *Prober) hear(t *target, q *question, now time.Time) {
	came := q.asked
	if came.Before(p.looked) {
		came = p.looked
	}
	if q.answer() {
		p.judge.Answered(t.Gateway, came, now)
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
