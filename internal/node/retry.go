package node

import "time"

// Backoff is how long to wait before what failed is tried again. The wait doubles from First to
// Last. The zero Backoff waits for nothing.
type Backoff struct{ First, Last time.Duration }

// Retry says when to try again what failed. A new Retry says that nothing has failed. It is not
// safe for concurrent use.
type Retry struct {
	Backoff // required
	// Every is how often Due is asked: an attempt that would be due before the middle of the
	// interval is due now.
	Every time.Duration // optional, default: attempts are due on time

	wait time.Duration
	last time.Time
}

// Failing reports whether the last attempt failed.
func (r *Retry) Failing() bool { return r.wait > 0 }

// Wait returns how long after a failed attempt the next one is due; 0 if the last attempt did not
// fail.
func (r *Retry) Wait() time.Duration { return r.wait }

// Record takes the outcome of an attempt at that time.
func (r *Retry) Record(now time.Time, err error) {
	if err == nil {
		r.Reset()
		return
	}
	r.wait, r.last = min(max(2*r.wait, r.First), r.Last), now
}

// Reset forgets all attempts.
func (r *Retry) Reset() { r.wait, r.last = 0, time.Time{} }

// Due reports whether to try now. If what is wanted has changed since the last attempt, the wait is
// as after the first failure. So a change comes through soon, and a stream of changes costs one
// attempt in each First at most.
func (r *Retry) Due(now time.Time, changed bool) bool {
	if !r.Failing() {
		return true
	}
	if changed {
		r.wait = r.First
	}
	return now.Sub(r.last) >= r.wait-r.Every/2
}
