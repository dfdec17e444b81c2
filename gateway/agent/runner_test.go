package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// passes runs a runner for the time, and returns when its passes began, after its start.
func passes(t *testing.T, length time.Duration, pass func(n int) error, disturb func(*runner)) []time.Duration {
	t.Helper()
	var begun []time.Duration
	start := time.Now()
	r := newRunner("test", func(context.Context) error {
		begun = append(begun, time.Since(start))
		return pass(len(begun))
	})
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	if disturb != nil {
		go disturb(r)
	}
	r.run(ctx)
	return begun
}

func TestRunner(t *testing.T) {
	fine := func(int) error { return nil }
	for _, tc := range []struct {
		name    string
		length  time.Duration
		pass    func(int) error
		disturb func(*runner)
		want    []time.Duration
	}{
		{"resync", 70 * time.Second, fine, nil, []time.Duration{0, resync, 2 * resync}},
		{"back-off", 8 * time.Second, func(int) error { return errors.New("no") }, nil,
			[]time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 3500 * time.Millisecond, 7500 * time.Millisecond}},
		{"recovery", 35 * time.Second, func(n int) error {
			if n < 3 {
				return errors.New("no")
			}
			return nil
		}, nil, []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, resync + 1500*time.Millisecond}},
		{"events coalesce", 5 * time.Second, fine, func(r *runner) {
			time.Sleep(time.Second)
			for range 100 {
				r.mark()
			}
		}, []time.Duration{0, time.Second + settle}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := passes(t, tc.length, tc.pass, tc.disturb)
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("passes (-want +got):\n%s", diff)
				}
			})
		})
	}
}
