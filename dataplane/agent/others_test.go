package agent

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestOthers: two repairs that are apart count, until there was none for a while.
func TestOthers(t *testing.T) {
	var seen others
	now := time.Now()
	see := func(after time.Duration, want bool) {
		t.Helper()
		now = now.Add(after)
		seen.calmed(now)
		seen.record("routes", []string{"a route"}, now)
		if got := seen.keepOn("routes"); got != want {
			t.Errorf("keeps on: %t, want %t", got, want)
		}
	}
	see(0, false)
	see(time.Second, false) // the same one
	see(calm, false)        // it was calm
	see(time.Second, false)
	see(time.Second, true)
	see(calm-time.Second, true)
	if err := seen.problem(); !errors.Is(err, errOthers) || !strings.Contains(err.Error(), "a route: "+remedies["routes"]) {
		t.Errorf("problem: %v", err)
	}
	if seen.calmed(now.Add(calm - time.Second)) {
		t.Error("calm too early")
	}
	if !seen.calmed(now.Add(calm)) || seen.problem() != nil {
		t.Error("not calm")
	}
	for part := range repairing {
		if remedies[part] == "" {
			t.Errorf("no remedy for what others do to %s", part)
		}
	}
}
