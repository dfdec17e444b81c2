package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/test/lifecycle/report"
)

func TestTracker(t *testing.T) {
	for _, tt := range []struct {
		name string
		// numbers arrive in this order; each packet is sent 2 ms after the one before it.
		numbers []int64
		// after is how long after the last arrival is asked.
		after time.Duration
		want  report.Way
	}{
		{"all", []int64{100, 101, 102}, 0, report.Way{Received: 3}},
		{"one lost", []int64{100, 102}, 0, report.Way{Received: 2, Lost: 1, Gap: 2 * every}},
		{"two holes", []int64{100, 102, 110}, 0, report.Way{Received: 3, Lost: 8, Gap: 8 * every}},
		{"the longest was a while ago", []int64{100, 110, 112}, time.Millisecond, report.Way{Received: 3, Lost: 10, Gap: 10 * every, Ago: every + time.Millisecond}},
		{"out of order", []int64{100, 102, 101, 103}, 0, report.Way{Received: 4}},
		{"late in the middle of a hole", []int64{100, 110, 105}, 0, report.Way{Received: 3, Lost: 8, Gap: 5 * every, Ago: every}},
		{"twice", []int64{100, 101, 101}, 0, report.Way{Received: 2}},
		{"too late", []int64{100, 102, 400, 101}, 0, report.Way{Received: 3, Lost: 298, Gap: 298 * every, Ago: every}},
		{"nothing more arrives", []int64{100}, time.Second, report.Way{Received: 1, Lost: 500, Gap: time.Second}},
		{"nothing was ever sent", nil, time.Second, report.Way{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got tracker
			var at time.Duration
			for _, n := range tt.numbers {
				at += every
				got.take(n, time.Duration(n)*every, at)
			}
			if diff := cmp.Diff(tt.want, got.way(at+tt.after)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			got.forget()
			if diff := cmp.Diff(report.Way{}, got.way(at)); diff != "" {
				t.Errorf("after forget (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMessage(t *testing.T) {
	want := message{number: 7, sent: 8 * time.Second, epoch: 9, way: report.Way{Received: 10, Lost: 11, Gap: 12 * time.Millisecond, Ago: 13 * time.Second}}
	got, ok := parseMessage(want.append(nil))
	if !ok || got != want {
		t.Errorf("got %v, %t, want %v", got, ok, want)
	}
	for _, other := range []string{"", "12", string(want.append(nil)[1:])} {
		if _, ok := parseMessage([]byte(other)); ok {
			t.Errorf("%q was taken for a packet of a stream", other)
		}
	}
}
