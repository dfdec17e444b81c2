package rtnl

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// Attempts tries many writes and collects the errors of those that failed. The zero value is ready
// to use.
type Attempts struct{ errs []error }

// Err joins the errors so far. It is nil if none failed.
func (a *Attempts) Err() error { return errors.Join(a.errs...) }

// Each does something to every item and returns those for which it succeeded. Once ctx has ended it
// tries no more. An error reads "doing item: err".
func Each[T fmt.Stringer](ctx context.Context, a *Attempts, doing string, items []T, do func(T) error) (done []T) {
	for _, item := range items {
		err := ctx.Err()
		if err == nil {
			err = do(item)
		}
		if err != nil {
			a.errs = append(a.errs, fmt.Errorf("%s %s: %w", doing, item, err))
			continue
		}
		done = append(done, item)
	}
	return done
}

// Unless is err, or nil if err says that the aim was reached before.
func Unless(reached syscall.Errno, err error) error {
	if errors.Is(err, reached) {
		return nil
	}
	return err
}
