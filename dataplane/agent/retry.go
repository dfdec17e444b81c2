package agent

import "time"

// How long to wait before what failed is tried again: the first time, and at most. In between the wait doubles.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// retry says when to try again what failed. The zero retry: nothing has failed.
type retry struct {
	wait time.Duration
	last time.Time
}

// failing tells whether the last attempt failed.
func (r *retry) failing() bool { return r.wait > 0 }

// record takes note of an attempt at that time.
func (r *retry) record(now time.Time, err error) {
	if err == nil {
		*r = retry{}
		return
	}
	*r = retry{wait: min(max(2*r.wait, firstRetry), lastRetry), last: now}
}

// due tells whether to try now. Where what is wanted has changed since, the wait is as after the first failure, so that
// changes come through as soon as they can, and a stream of them costs an attempt each second at most. The loop looks once
// in repairInterval: what is due before the middle of the next is due now.
func (r *retry) due(now time.Time, changed bool) bool {
	if !r.failing() {
		return true
	}
	if changed {
		r.wait = firstRetry
	}
	return now.Sub(r.last) >= r.wait-repairInterval/2
}
