package testbed

import (
	"context"
	"errors"
	"time"

	"github.com/tombolo-net/tombolo/cli/report"
)

// Stay says how a bed is used.
type Stay struct {
	// Timeout is how long pods and imports may take.
	Timeout time.Duration // required
	// Keep leaves the bed at the end.
	Keep bool // optional
}

// Use makes the bed, does that, and removes the bed, also if ctx ends on the way.
func (b *Bed) Use(ctx context.Context, steps *report.Steps, stay Stay, do func() error) (err error) {
	if stay.Keep {
		steps.Say("namespace %s stays: kubectl delete namespace -l %s=true removes it", b.Namespace, Label)
	} else {
		defer func() {
			err = errors.Join(err, steps.Do(ctx, "removed namespace "+b.Namespace, b.Remove))
		}()
	}
	err = steps.Do(ctx, "made pods and Services in namespace "+b.Namespace, func(ctx context.Context, say func(string)) error {
		return b.Make(ctx, stay.Timeout, say)
	})
	if err != nil {
		return err
	}
	return do()
}
