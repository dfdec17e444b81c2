package hub

import (
	"testing"
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
