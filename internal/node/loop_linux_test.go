package node

import (
	"context"
	"testing"
	"time"
)

// TestLoopWithAlarm: a Loop that waits with the kernel's timer ticks, sees marks and ends.
func TestLoopWithAlarm(t *testing.T) {
	alarm := KernelAlarm()
	if alarm == nil {
		t.Fatal("no timer")
	}
	ctx, cancel := context.WithCancel(t.Context())
	causes := make(chan Cause)
	loop := NewLoop("test", Timing{Tick: time.Second, Alarm: alarm}, func(_ context.Context, _ time.Time, cause Cause) error {
		select {
		case causes <- cause:
		case <-ctx.Done():
		}
		return nil
	})
	ended := make(chan struct{})
	go func() { defer close(ended); loop.Run(ctx) }()
	for i, want := range []Cause{Marked, Ticked, Marked, Ticked} {
		if i == 2 {
			loop.Mark()
		}
		if got := <-causes; got != want {
			t.Errorf("pass %d: cause %d, want %d", i, got, want)
		}
	}
	time.Sleep(10 * time.Millisecond) // it waits
	cancel()
	<-ended
}
