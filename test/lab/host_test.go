package lab

import (
	"strings"
	"testing"
	"time"
)

func TestJudgeHost(t *testing.T) {
	tests := []struct {
		name  string
		fault time.Duration
		want  string // is in the sentence; "" for none
	}{
		{name: "usual", fault: 500 * time.Nanosecond},
		{name: "shadowed page tables", fault: 16020 * time.Nanosecond, want: "a page fault takes 16µs, more than 5µs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := judgeHost(tt.fault); (got != "") != (tt.want != "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestFaultTime checks that pages are really touched: no machine takes a fault in less than 20 ns.
func TestFaultTime(t *testing.T) {
	got, err := faultTime()
	if err != nil || got < 20*time.Nanosecond || got > time.Millisecond {
		t.Errorf("got %v, %v", got, err)
	}
	t.Log(got)
}
