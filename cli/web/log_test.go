package web

import (
	"fmt"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/cli/web/view"
)

// TestLog has more events than are shown: the last ones stay, and one that happens again is one.
func TestLog(t *testing.T) {
	var l log
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for i := range 3 * mostEvents {
		l.add(view.Event{Time: start.Add(time.Duration(i) * time.Second), Reason: fmt.Sprint(i)})
	}
	l.put("again", view.Event{Time: start.Add(time.Hour * 24), Count: 1})
	l.put("again", view.Event{Time: start.Add(time.Hour * 25), Count: 2})
	s := l.state()
	if len(s) < mostEvents || len(s) > mostEvents+mostEvents/10 {
		t.Errorf("%d events are shown", len(s))
	}
	for key, want := range map[string]bool{"event/again": true, "event/1": false, fmt.Sprintf("event/%d", 3*mostEvents): true} {
		if _, got := s[key]; got != want {
			t.Errorf("%s: %v", key, got)
		}
	}
}
