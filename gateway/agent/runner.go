package agent

import (
	"context"
	"time"

	"github.com/go-logr/logr"
)

const (
	// resync is how often a pass runs when nothing happened: it finds what no event told.
	resync = 30 * time.Second
	// settle is how long a pass waits for the events that come with the first one.
	settle = 10 * time.Millisecond
	// retryFirst and retryMost bound the wait after a pass with an error; it doubles from one to the other.
	retryFirst = 500 * time.Millisecond
	retryMost  = 30 * time.Second
)

// runner runs passes, one at a time: when it is marked dirty, some time after one that had an error, and every resync.
type runner struct {
	name  string
	pass  func(context.Context) error
	dirty chan struct{}
}

func newRunner(name string, pass func(context.Context) error) *runner {
	return &runner{name: name, pass: pass, dirty: make(chan struct{}, 1)}
}

// mark asks for a pass. It never blocks; marks that come before the pass begins count as one.
func (r *runner) mark() {
	select {
	case r.dirty <- struct{}{}:
	default:
	}
}

// run runs passes until ctx ends. An error is logged when its text is a new one.
func (r *runner) run(ctx context.Context) {
	log := logr.FromContextOrDiscard(ctx).WithValues("loop", r.name)
	retry, last := retryFirst, ""
	for ctx.Err() == nil {
		wait := resync
		switch err := r.pass(ctx); {
		case err == nil:
			if last != "" {
				log.Info("recovered", "from", last)
			}
			retry, last = retryFirst, ""
		case ctx.Err() != nil:
			return
		default:
			if text := err.Error(); text != last {
				log.Error(err, "pass ended with an error, will be repeated")
				last = text
			}
			wait, retry = retry, min(2*retry, retryMost)
		}
		r.sleep(ctx, wait)
	}
}

// sleep returns after the wait, or a moment after the runner is marked dirty.
func (r *runner) sleep(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-r.dirty:
		timer.Reset(settle)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	select {
	case <-r.dirty: // the pass that begins now sees it
	default:
	}
}
