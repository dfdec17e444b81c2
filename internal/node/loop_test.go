package node

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ran is a pass that began some time after the start.
type ran struct {
	At    time.Duration
	Cause Cause
}

// passes runs a Loop for the time, and returns its passes.
func passes(t *testing.T, length time.Duration, timing Timing, pass func(n int) error, disturb func(*Loop)) []ran {
	t.Helper()
	var begun []ran
	start := time.Now()
	loop := NewLoop("test", timing, func(_ context.Context, now time.Time, cause Cause) error {
		begun = append(begun, ran{now.Sub(start), cause})
		return pass(len(begun))
	})
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	if disturb != nil {
		go disturb(loop)
	}
	loop.Run(ctx)
	return begun
}

func TestLoop(t *testing.T) {
	const ms, second = time.Millisecond, time.Second
	gateway := Timing{Tick: 30 * second, Settle: 10 * ms, Backoff: Backoff{First: 500 * ms, Last: 30 * second}}
	dataplane := Timing{Tick: second, Audit: 3 * second, Rest: 2 * ms}
	fine := func(int) error { return nil }
	fails := func(int) error { return errors.New("no") }
	for _, tt := range []struct {
		name    string
		timing  Timing
		length  time.Duration
		pass    func(int) error
		disturb func(*Loop)
		want    []ran
	}{
		{"ticks", gateway, 70 * second, fine, nil, []ran{{0, Marked}, {30 * second, Ticked}, {60 * second, Ticked}}},
		{"audits", dataplane, 4500 * ms, fine, nil, []ran{{0, Marked}, {second, Ticked}, {2 * second, Ticked}, {3 * second, Audited}, {4 * second, Ticked}}},
		{"back-off", gateway, 8 * second, fails, nil,
			[]ran{{0, Marked}, {500 * ms, Ticked}, {1500 * ms, Ticked}, {3500 * ms, Ticked}, {7500 * ms, Ticked}}},
		{"the longest wait", gateway, 92 * second, fails, nil, []ran{{0, Marked}, {500 * ms, Ticked}, {1500 * ms, Ticked},
			{3500 * ms, Ticked}, {7500 * ms, Ticked}, {15500 * ms, Ticked}, {31500 * ms, Ticked}, {61500 * ms, Ticked}, {91500 * ms, Ticked}}},
		{"no back-off", dataplane, 1500 * ms, fails, nil, []ran{{0, Marked}, {second, Ticked}}},
		{"recovery", gateway, 35 * second, func(n int) error {
			if n < 3 {
				return errors.New("no")
			}
			return nil
		}, nil, []ran{{0, Marked}, {500 * ms, Ticked}, {1500 * ms, Ticked}, {31500 * ms, Ticked}}},
		{"marks coalesce", gateway, 5 * second, fine, func(l *Loop) {
			time.Sleep(second)
			for range 100 {
				l.Mark()
			}
			time.Sleep(5 * ms)
			l.Mark()
		}, []ran{{0, Marked}, {1010 * ms, Marked}}},
		{"a mark does not wait for the back-off", gateway, 750 * ms, fails, func(l *Loop) {
			time.Sleep(100 * ms)
			l.Mark()
		}, []ran{{0, Marked}, {110 * ms, Marked}}},
		{"the first mark after a rest does not wait", dataplane, 900 * ms, fine, func(l *Loop) {
			time.Sleep(500 * ms)
			l.Mark()
			time.Sleep(ms)
			l.Mark() // a pass has just ended
		}, []ran{{0, Marked}, {500 * ms, Marked}, {502 * ms, Marked}}},
		{"marks delay no tick", dataplane, 2200 * ms, fine, func(l *Loop) {
			time.Sleep(900 * ms)
			l.Mark()
			time.Sleep(second)
			l.Mark()
		}, []ran{{0, Marked}, {900 * ms, Marked}, {second, Ticked}, {1900 * ms, Marked}, {2 * second, Ticked}}},
		{"a tick takes no mark away", dataplane, 2200 * ms, func(n int) error {
			if n == 1 {
				time.Sleep(1500 * ms)
			}
			return nil
		}, func(l *Loop) {
			time.Sleep(1200 * ms)
			l.Mark()
		}, []ran{{0, Marked}, {1500 * ms, Ticked}, {1502 * ms, Marked}, {2 * second, Ticked}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if diff := cmp.Diff(tt.want, passes(t, tt.length, tt.timing, tt.pass, tt.disturb)); diff != "" {
					t.Errorf("passes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestLoopMarkDuringPass: a mark that comes while a pass runs causes another one.
func TestLoopMarkDuringPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var loop *Loop
		n := 0
		loop = NewLoop("test", Timing{Tick: time.Hour}, func(context.Context, time.Time, Cause) error {
			if n++; n == 1 {
				loop.Mark()
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		loop.Run(ctx)
		if n != 2 {
			t.Errorf("%d passes, want 2", n)
		}
	})
}

func TestLoopAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		loop := NewLoop("test", Timing{Tick: time.Hour}, func(context.Context, time.Time, Cause) error {
			time.Sleep(time.Second)
			order = append(order, "pass")
			return nil
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); loop.Run(ctx) }()
		synctest.Wait()
		if err := loop.Ask(ctx, func() { order = append(order, "question") }); err != nil {
			t.Error(err)
		}
		if want := []string{"pass", "question"}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
		stop()
		<-ended
		if err := loop.Ask(ctx, func() { t.Error("asked after the end") }); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestLoopHealthy: a loop that waits is healthy however long; one pass of more than a minute is
// not.
func TestLoopHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		loop := NewLoop("test", Timing{Tick: time.Hour}, func(context.Context, time.Time, Cause) error {
			if first {
				time.Sleep(2 * time.Minute)
			}
			first = false
			return nil
		})
		if err := loop.Healthy(); err != nil {
			t.Errorf("before the start: %v", err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); loop.Run(ctx) }()
		for _, tt := range []struct {
			name  string
			after time.Duration
			want  string
		}{
			{"in a pass", 30 * time.Second, ""},
			{"for too long", 60 * time.Second, "the loop has been in one pass for 1m30s"},
			{"afterwards", 31 * time.Second, ""},
			{"long afterwards", 5 * time.Minute, ""},
		} {
			time.Sleep(tt.after)
			got := ""
			if err := loop.Healthy(); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
			}
		}
		stop()
		<-ended
	})
}
