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
	wake   chan struct{}
	asked  chan func()
	// busySince is when the pass or question that is running began, in nanoseconds since 1970; 0
	// while none is.
	busySince atomic.Int64

	// What follows is used by Run only.
	ended   time.Time // of the last pass
	audited time.Time
	retry   Retry
	failure string // the text of the last error; empty if the last pass returned none
}

// NewLoop returns a Loop that Run starts. The name is in its log messages.
func NewLoop(name string, timing Timing, pass Pass) *Loop {
	return &Loop{
		name: name, timing: timing, pass: pass, wake: make(chan struct{}, 1), asked: make(chan func()),
		retry: Retry{Backoff: timing.Backoff},
	}
}

// Mark asks for a pass. It never blocks; marks that come before the pass begins count as one.
func (l *Loop) Mark() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Ask runs the question between two passes, so that it may read what only passes may change. It
// returns when the question has been answered, or with ctx's error if ctx ends before the loop is
// free.
func (l *Loop) Ask(ctx context.Context, question func()) error {
	done := make(chan struct{})
	select {
	case l.asked <- func() { defer close(done); question() }:
		<-done
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
	ticker := time.NewTicker(l.timing.Tick)
	defer ticker.Stop()
	l.audited = time.Now()
	for cause, ok := Marked, ctx.Err() == nil; ok; cause, ok = l.next(ctx, ticker.C) {
		select {
		case <-l.wake: // the pass that begins now sees it
		default:
		}
		now := time.Now()
		l.busySince.Store(now.UnixNano())
		err := l.pass(ctx, now, cause)
		l.ended = time.Now()
		l.busySince.Store(0)
		if ctx.Err() != nil {
			return
		}
		l.record(log, ticker, err)
	}
}

// next waits for the next pass. It returns false if ctx ends before.
func (l *Loop) next(ctx context.Context, tick <-chan time.Time) (Cause, bool) {
	for {
		select {
		case <-ctx.Done():
			return Marked, false
		case question := <-l.asked:
			l.busySince.Store(time.Now().UnixNano())
			question()
			l.busySince.Store(0)
		case <-l.wake:
			return Marked, sleep(ctx, max(l.timing.Settle, l.timing.Rest-time.Since(l.ended)))
		case now := <-tick: // its time is used, since a look at the clock counts where it is a system call
			if l.timing.Audit == 0 || now.Sub(l.audited) < l.timing.Audit {
				return Ticked, ctx.Err() == nil
			}
			l.audited = now
			return Audited, ctx.Err() == nil
		}
	}
}

// record moves the next tick to when a failed pass is due again, and back when one succeeds.
func (l *Loop) record(log logr.Logger, ticker *time.Ticker, err error) {
	wasFailing := l.retry.Failing()
	l.retry.Record(l.ended, err)
	switch {
	case l.retry.Failing():
		ticker.Reset(l.retry.Wait())
	case wasFailing:
		ticker.Reset(l.timing.Tick)
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
