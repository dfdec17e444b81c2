package hub

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestBreaks(t *testing.T) {
	tests := []struct {
		name  string
		after []time.Duration // from one break to the next
		anew  []bool
	}{
		{name: "one", after: []time.Duration{0}, anew: []bool{false}},
		{name: "all watches of one connection", after: []time.Duration{0, time.Millisecond, time.Second}, anew: []bool{false, false, false}},
		{name: "twice", after: []time.Duration{0, 10 * time.Second}, anew: []bool{false, true}},
		{name: "with a long peace between", after: []time.Duration{0, 3 * time.Minute}, anew: []bool{false, false}},
		{name: "all the time", after: []time.Duration{0, 3 * time.Second, 3 * time.Second, 3 * time.Second, 6 * time.Second},
			anew: []bool{false, false, true, false, true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b breaks
			now := time.Now()
			for i, after := range tt.after {
				now = now.Add(after)
				if got := b.again(now); got != tt.anew[i] {
					t.Errorf("break %d: a new session: %v, want %v", i+1, got, tt.anew[i])
				}
			}
		})
	}
}

func TestWaitSync(t *testing.T) {
	tests := []struct {
		name  string
		sync  time.Duration // after which the cache has synced
		heard time.Duration // until when the hub is heard
		want  bool
		took  time.Duration
	}{
		{name: "quick", sync: time.Second, want: true, took: time.Second},
		{name: "silent", sync: time.Hour, want: false, took: 30 * time.Second},
		{name: "slow, and heard", sync: 70 * time.Second, heard: time.Hour, want: true, took: 70 * time.Second},
		{name: "falls silent", sync: 70 * time.Second, heard: 10 * time.Second, want: false, took: time.Minute},
		{name: "heard, and never synced", sync: time.Hour, heard: time.Hour, want: false, took: 2 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				sync := func(ctx context.Context) bool {
					select {
					case <-ctx.Done():
						return false
					case <-time.After(time.Until(start.Add(tt.sync))):
						return true
					}
				}
				heardSince := func(then time.Time) bool { return start.Add(tt.heard).After(then) }
				if got := waitSync(t.Context(), sync, heardSince); got != tt.want || time.Since(start) != tt.took {
					t.Errorf("got %v after %v, want %v after %v", got, time.Since(start), tt.want, tt.took)
				}
			})
		})
	}
}
