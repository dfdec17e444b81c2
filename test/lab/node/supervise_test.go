package node

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestGoRetryBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		begin := time.Now()
		var at []time.Duration
		s := newSupervisor(valid(), slog.New(slog.DiscardHandler), newStatus())
		s.goRetry(ctx, "x", func(ctx context.Context) error {
			at = append(at, time.Since(begin))
			switch len(at) {
			case 4: // long enough to start over
				time.Sleep(2 * stableAfter)
			case 6:
				return nil
			}
			return errors.New("no")
		})
		s.wait()
		want := []time.Duration{
			0, 500 * time.Millisecond, 1500 * time.Millisecond, 3500 * time.Millisecond,
			2*stableAfter + 4*time.Second, 2*stableAfter + 5*time.Second,
		}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("starts (-want +got):\n%s", diff)
		}
		c := s.status.get("").Components["x"]
		if c.State != StateDone || c.Failures != 5 {
			t.Errorf("status %+v, want done after 5 failures", c)
		}
	})
}

func TestGoRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newSupervisor(valid(), slog.New(slog.DiscardHandler), newStatus())
		s.goRetry(ctx, "x", func(context.Context) error { return errors.New("no") })
		time.Sleep(time.Hour)
		cancel()
		s.wait()
	})
}
