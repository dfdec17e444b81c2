package shell

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pollEvery is the pause between two checks.
const pollEvery = 200 * time.Millisecond

// Fatal is an error that waiting does not mend.
type Fatal struct{ Err error }

// Error implements error.
func (f Fatal) Error() string { return f.Err.Error() }

// Poll repeats check until it succeeds, returns a Fatal error, or ctx ends. Its error holds the last
// error of check, and why ctx ended.
func Poll(ctx context.Context, check func(context.Context) error) error {
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if f := (Fatal{}); errors.As(err, &f) {
			return f.Err
		}
		if last == nil || ctx.Err() == nil { // what fails because ctx ended says nothing
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), last)
		case <-time.After(pollEvery):
		}
	}
}

// Eventually repeats check until it succeeds and returns its evidence. After the timeout it returns
// an error with the last one of check.
func Eventually(ctx context.Context, timeout time.Duration, check func(context.Context) (string, error)) (evidence string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not within %s", timeout))
	defer cancel()
	err = Poll(ctx, func(ctx context.Context) (err error) {
		evidence, err = check(ctx)
		return err
	})
	if err != nil {
		return "", err
	}
	return evidence, nil
}
