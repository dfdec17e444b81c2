//go:build e2e

package plugin

import (
	"encoding/json"
	"testing"
	"time"
)

// testBench: every way has figures, and nothing is left. What the figures are is no business of a test.
func testBench(t *testing.T, s *site) {
	if testing.Short() {
		t.Skip("makes a bed and measures: half a minute")
	}
	type spread struct {
		Least  float64
		Rounds []float64
	}
	var all []struct {
		From, To, What, Means  string
		Inside, Between, Ratio spread
	}
	if err := json.Unmarshal([]byte(s.tombolo("bench", "--contexts", "east,west", "--rounds", "3", "--duration", "200ms", "-o", "json")), &all); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range all {
		seen[r.From+" "+r.To+" "+r.What] = true
		for _, figures := range []spread{r.Inside, r.Between, r.Ratio} {
			if len(figures.Rounds) != 3 || figures.Least <= 0 {
				t.Errorf("%s of %s to %s: %+v", r.What, r.From, r.To, r)
			}
		}
		t.Logf("%s -> %s: %s", r.From, r.To, r.Means)
	}
	if len(seen) != 6 {
		t.Errorf("it measured %v", seen)
	}
	s.noBeds(time.Second)
}
