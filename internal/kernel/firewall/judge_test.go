package firewall

import (
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// TestJudge: a passage is blocked while fewer than half of its packets pass, until more do, or none
// came for long. A few packets, and counters that were made again, prove nothing.
func TestJudge(t *testing.T) {
	passages := []Passage{{Name: "p"}}
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	type step struct {
		at      int
		in, out uint64 // what the counters show
		want    bool
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"all pass", []step{{0, 100, 100, false}, {5, 200, 200, false}}},
		{"what was before the first look", []step{{0, 100, 0, false}, {5, 100, 0, false}}},
		{"none pass", []step{{0, 0, 0, false}, {5, 5, 0, true}, {10, 10, 0, true}}},
		{"fewer than half pass", []step{{0, 0, 0, false}, {5, 10, 4, true}, {10, 20, 9, false}}},
		{"too few to tell", []step{{0, 0, 0, false}, {5, 4, 0, false}, {10, 8, 0, false}}},
		{"they pass again", []step{{0, 0, 0, false}, {5, 9, 0, true}, {10, 10, 1, false}, {15, 20, 11, false}}},
		{"a few more are lost meanwhile", []step{{0, 0, 0, false}, {5, 9, 0, true}, {10, 11, 0, true}}},
		{"no more come", []step{{0, 0, 0, false}, {5, 9, 0, true}, {60, 9, 0, true}, {65, 9, 0, false}, {70, 18, 0, true},
			{130, 18, 0, true}, {190, 18, 0, false}}},
		{"the table was made again", []step{{0, 100, 100, false}, {5, 50, 10, false}, {10, 60, 20, false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var j Judge
			for _, s := range tt.steps {
				counters := map[string]nft.Counter{"p-in": {Packets: s.in}, "p-out": {Packets: s.out}}
				if got := len(j.Blocked(at(s.at), counters, passages)) == 1; got != s.want {
					t.Errorf("at %d s: blocked %v, want %v", s.at, got, s.want)
				}
			}
		})
	}
}
