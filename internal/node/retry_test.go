package node

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// TestRetry: what fails is tried after 1, 2, 4 seconds and so on, at last every 30; a change brings
// it forward.
func TestRetry(t *testing.T) {
	begin := time.Unix(1_000_000, 0)
	failed := errors.New("failed")
	r := Retry{Backoff: Backoff{First: time.Second, Last: 30 * time.Second}, Every: time.Second}
	var attempts []int
	look := func(from, to int, changed func(second int) bool) {
		t.Helper()
		attempts = nil
		for second := from; second < to; second++ {
			// The ticks of a loop are a little early or late.
			now := begin.Add(time.Duration(second)*time.Second + time.Duration(second%3-1)*100*time.Millisecond)
			if r.Due(now, changed(second)) {
				attempts = append(attempts, second)
				r.Record(now, failed)
			}
		}
	}
	never := func(int) bool { return false }
	look(0, 125, never)
	if want := []int{0, 1, 3, 7, 15, 31, 61, 91, 121}; !slices.Equal(attempts, want) {
		t.Errorf("attempts at %v, want %v", attempts, want)
	}
	look(125, 145, func(second int) bool { return second == 130 })
	if want := []int{130, 132, 136, 144}; !slices.Equal(attempts, want) {
		t.Errorf("with a change: attempts at %v, want %v", attempts, want)
	}
	// However fast changes come.
	soon := begin.Add(200 * time.Second)
	r.Record(soon, failed)
	for range 100 {
		if r.Due(soon.Add(400*time.Millisecond), true) {
			t.Fatal("again after less than half a second")
		}
	}
	if !r.Due(soon.Add(600*time.Millisecond), false) {
		t.Error("the change is forgotten")
	}
	r.Record(soon, nil)
	if r.Failing() || !r.Due(soon, false) {
		t.Errorf("after a success: %+v", r)
	}
}
