//go:build e2e

package failover

import (
	"flag"
	"slices"
	"strings"
	"testing"
	"time"
)

// Flags of the test, after -args.
var (
	repeats = flag.Int("repeats", 1, "how often each fault happens")
	only    = flag.String("faults", "", "names of the faults, with commas; empty for all, or those of a short test")
)

// short are the faults of a short test: one that workers notice, one that gateways notice, and one
// that nobody may notice.
var short = []string{"underlay_cut", "port_cut", "agent_killed"}

// limit is how long traffic may stop, generously: the times are the benchmark's business.
const limit = 5 * time.Second

// TestFailover: whatever happens to one of two gateways, no connection between clusters breaks, and
// packets get through again soon.
func TestFailover(t *testing.T) {
	s, err := New(t.Context(), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	for _, f := range chosen() {
		t.Run(f.Name, func(t *testing.T) {
			s.log = t.Logf
			all, err := s.Measure(t.Context(), f, *repeats)
			if err != nil {
				t.Error(err)
			}
			if got := all.Connections(); got > 0 && !f.Alone {
				t.Errorf("%s: %d connections broke", f.Title, got)
			}
			if got := all.Worst(); got > limit {
				t.Errorf("%s: no packet got through for %s", f.Title, got)
			}
		})
	}
}

// chosen returns the faults that the flags name.
func chosen() []Fault {
	names := short
	if *only != "" {
		names = strings.Split(*only, ",")
	} else if !testing.Short() {
		return Faults()
	}
	return slices.DeleteFunc(Faults(), func(f Fault) bool { return !slices.Contains(names, f.Name) })
}
