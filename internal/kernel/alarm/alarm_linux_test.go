package alarm

import (
	"sync/atomic"
	"testing"
	"time"
)

func newAlarm(t *testing.T) *Alarm {
	t.Helper()
	a, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func TestTime(t *testing.T) {
	a := newAlarm(t)
	for _, d := range []time.Duration{30 * time.Millisecond, 0, -time.Hour, time.Millisecond} {
		begin := time.Now()
		a.Wait(d)
		if took := time.Since(begin); took < d {
			t.Errorf("waited %s instead of %s", took, d)
		}
	}
}

// TestRing: a ring ends the wait that runs, or the next one, and no other.
func TestRing(t *testing.T) {
	a := newAlarm(t)
	a.Ring()
	a.Ring()
	a.Wait(time.Hour)
	begin := time.Now()
	a.Wait(50 * time.Millisecond)
	if took := time.Since(begin); took < 50*time.Millisecond {
		t.Errorf("an old ring ended a wait after %s", took)
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		a.Ring()
	}()
	a.Wait(time.Hour)
}

// TestNoRingIsLost: whatever was there before a ring is seen after a wait.
func TestNoRingIsLost(t *testing.T) {
	a := newAlarm(t)
	const rings = 20_000
	var given, taken atomic.Int64
	go func() {
		for range rings {
			given.Add(1)
			a.Ring()
			for given.Load()-taken.Load() > 1 { // the next ring comes while the other end waits, or is about to
			}
		}
	}()
	for taken.Load() < rings {
		a.Wait(time.Hour)
		taken.Store(given.Load())
	}
}

func TestClose(t *testing.T) {
	a := newAlarm(t)
	go func() {
		time.Sleep(20 * time.Millisecond)
		a.Close()
	}()
	a.Wait(time.Hour)
	a.Ring()
	a.Wait(time.Hour)
}
