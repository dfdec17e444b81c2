package node

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// stuckAfter is how long a pass may take before the agent counts as dead.
const stuckAfter = time.Minute

// Cause is why a pass runs.
type Cause int

const (
	// Marked is the cause at the loop's start, and after Mark was called.
	Marked Cause = iota
	// Ticked is the cause when it is time to look for what no event tells, or to repeat a failed
	// pass.
	Ticked
	// Audited is the cause when it is time to compare everything.
	Audited
)

// Timing is when a Loop runs a pass.
type Timing struct {
	// Tick is the interval of passes that nobody asked for. Passes in between do not delay them.
	Tick time.Duration // required
	// Audit is the interval in which the pass of a tick is an audit.
	Audit time.Duration // optional, default never
	// Settle is how long a marked pass waits for the marks that come with the first one.
	Settle time.Duration // optional, default 0
	// Rest is how long a mark waits after the end of a pass, so that marks which come one after the
	// other share one. The first mark after a rest does not wait.
	Rest time.Duration // optional, default 0
	// Backoff is the wait after a pass that returned an error.
	Backoff Backoff // optional, default: the next tick repeats it
	// Alarm is what the Loop waits with. Run closes it.
	Alarm Alarm // optional, default a time.Timer
}

// Alarm ends a wait at a time, or when it rings (alarm.Alarm).
type Alarm interface {
	// Wait returns when that much time has passed, or Ring was called since the last Wait returned. It
	// may return early without a cause.
	Wait(time.Duration)
	// Ring ends the Wait of now, or else the next one. It does not block. It is safe for concurrent use.
	Ring()
	// Close releases what the Alarm holds. Ring may be called later.
	Close()
}

// Pass makes things as they should be. It reads what is marked by itself: a Loop knows only that
// something is.
type Pass func(ctx context.Context, now time.Time, cause Cause) error

// Loop runs passes, one at a time: first at its start, then whenever it is marked, and at the times
// of its Timing. Its methods are safe for concurrent use.
type Loop struct {
	name   string
	timing Timing
	pass   Pass
	alarm  Alarm
	marked atomic.Bool
	// free holds a token while Run waits. Who has taken it may use what passes use.
	free chan struct{}
	// busySince is when the pass or question that is running began, in nanoseconds since 1970; 0
	// while none is.
	busySince atomic.Int64

	// What follows is used by Run only.
	ended   time.Time // of the last pass
	due     time.Time // is the next tick
	audited time.Time
	retry   Retry
	failure string // the text of the last error; empty if the last pass returned none
}

// NewLoop returns a Loop that Run starts. The name is in its log messages.
func NewLoop(name string, timing Timing, pass Pass) *Loop {
	l := &Loop{name: name, timing: timing, pass: pass, alarm: timing.Alarm, free: make(chan struct{}, 1), retry: Retry{Backoff: timing.Backoff}}
	if l.alarm == nil {
		l.alarm = newTimer()
	}
	return l
}

// Mark asks for a pass. It never blocks; marks that come before the pass begins count as one.
func (l *Loop) Mark() {
	if !l.marked.Swap(true) {
		l.alarm.Ring()
	}
}

// Ask runs the question between two passes, so that it may read what only passes may change. It
// returns when the question has been answered, or with ctx's error if ctx ends before the loop is
// free: it is not before the first pass, nor after Run.
func (l *Loop) Ask(ctx context.Context, question func()) error {
	select {
	case <-l.free:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { l.free <- struct{}{} }()
	l.busySince.Store(time.Now().UnixNano())
	defer l.busySince.Store(0)
	question()
	return nil
}

// Healthy returns an error if one pass has been running for longer than a minute.
func (l *Loop) Healthy() error {
	began := l.busySince.Load()
	if began == 0 {
		return nil
	}
	if since := time.Since(time.Unix(0, began)); since > stuckAfter {
		return fmt.Errorf("the loop has been in one pass for %s", since.Round(time.Second))
	}
	return nil
}

// Run runs passes until ctx ends. It logs the error of a pass if its text is a new one.
func (l *Loop) Run(ctx context.Context) {
	log := logr.FromContextOrDiscard(ctx).WithValues("loop", l.name)
	defer l.alarm.Close()
	defer context.AfterFunc(ctx, l.alarm.Ring)()
	l.audited = time.Now()
	l.due = l.audited.Add(l.timing.Tick)
	for cause, ok := Marked, ctx.Err() == nil; ok; cause, ok = l.next(ctx) {
		if cause == Marked {
			l.marked.Store(false) // the pass that begins now sees what was marked
		}
		now := time.Now()
		l.busySince.Store(now.UnixNano())
		err := l.pass(ctx, now, cause)
		l.ended = time.Now()
		l.busySince.Store(0)
		if ctx.Err() != nil {
			return
		}
		l.record(log, err)
	}
}

// next waits for the next pass. It returns false if ctx ends before.
func (l *Loop) next(ctx context.Context) (Cause, bool) {
	l.free <- struct{}{}
	defer func() { <-l.free }()
	for now := l.ended; ctx.Err() == nil; now = time.Now() {
		switch {
		case !now.Before(l.due):
			return l.tick(now), true
		case l.marked.Load():
			return Marked, sleep(ctx, max(l.timing.Settle, l.timing.Rest-now.Sub(l.ended)))
		}
		l.alarm.Wait(l.due.Sub(now))
	}
	return Marked, false
}

// tick is the cause of the pass that is due now.
func (l *Loop) tick(now time.Time) Cause {
	if l.due = l.due.Add(l.timing.Tick); !now.Before(l.due) {
		l.due = now.Add(l.timing.Tick)
	}
	if l.timing.Audit == 0 || now.Sub(l.audited) < l.timing.Audit {
		return Ticked
	}
	l.audited = now
	return Audited
}

// record moves the next tick to when a failed pass is due again, and back when one succeeds.
func (l *Loop) record(log logr.Logger, err error) {
	wasFailing := l.retry.Failing()
	l.retry.Record(l.ended, err)
	switch {
	case l.retry.Failing():
		l.due = l.ended.Add(l.retry.Wait())
	case wasFailing:
		l.due = l.ended.Add(l.timing.Tick)
	}
	switch {
	case err != nil && err.Error() != l.failure:
		l.failure = err.Error()
		log.Error(err, "pass ended with an error, will be repeated")
	case err == nil && l.failure != "":
		log.Info("recovered", "from", l.failure)
		l.failure = ""
	}
}

// sleep returns false if ctx ends before the time has passed.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// timer is the Alarm that uses a time.Timer.
type timer struct {
	*time.Timer
	rung chan struct{}
}

func newTimer() timer { return timer{time.NewTimer(0), make(chan struct{}, 1)} }

// Wait implements Alarm.
func (t timer) Wait(d time.Duration) {
	t.Reset(d)
	select {
	case <-t.rung:
	case <-t.C:
	}
}

// Ring implements Alarm.
func (t timer) Ring() {
	select {
	case t.rung <- struct{}{}:
	default:
	}
}

// Close implements Alarm.
func (t timer) Close() { t.Stop() }
