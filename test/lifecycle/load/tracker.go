package main

import (
	"slices"
	"time"

	"github.com/tombolo-net/tombolo/test/lifecycle/report"
)

// latest is how far behind the newest packet one may arrive, in packets: one that a frozen node has
// kept for longer is of no more use than a lost one.
const latest = 250

// tracker sees which packets of one direction arrive. Its zero value waits for the packet number 1.
type tracker struct {
	received int64
	// last is the highest number that has arrived, sent when its sender sent it, and at when it came.
	last     int64
	sent, at time.Duration
	holes    []hole
}

// hole is packets that have not arrived, when the packets before and after them were sent, and when
// the one after them came.
type hole struct {
	first, last  int64
	since, until time.Duration
	at           time.Duration
}

// take takes a packet: its number and when it was sent, by the sender's clock. at is the time here.
func (t *tracker) take(number int64, sent, at time.Duration) {
	switch {
	case number > t.last:
		if number > t.last+1 && t.last > 0 {
			t.holes = append(t.holes, hole{t.last + 1, number - 1, t.sent, sent, at})
		}
		t.last, t.sent, t.at = number, sent, at
	case t.last-number > latest || !t.fill(number, sent):
		return
	}
	t.received++
}

// fill takes a packet that has been overtaken. It returns false for one that was not missed.
func (t *tracker) fill(number int64, sent time.Duration) bool {
	i := slices.IndexFunc(t.holes, func(h hole) bool { return h.first <= number && number <= h.last })
	if i < 0 {
		return false
	}
	h := t.holes[i]
	var rest []hole
	if h.first < number {
		rest = append(rest, hole{h.first, number - 1, h.since, sent, h.at})
	}
	if number < h.last {
		rest = append(rest, hole{number + 1, h.last, sent, h.until, h.at})
	}
	t.holes = slices.Replace(t.holes, i, i+1, rest...)
	return true
}

// silent is how long no packet may arrive before that is a hole by itself.
const silent = latest * every

// way returns what became of the direction since forget, at a time here.
func (t *tracker) way(now time.Duration) report.Way {
	w := report.Way{Received: t.received}
	for _, h := range t.holes {
		w.Lost += h.last - h.first + 1
		if gap := h.until - h.since; gap > w.Gap {
			w.Gap, w.Ago = gap, now-h.at
		}
	}
	if open := now - t.at; t.last > 0 && open > silent {
		w.Lost += int64(open / every)
		if open > w.Gap {
			w.Gap, w.Ago = open, 0
		}
	}
	return w
}

// forget begins a new count. A hole that is open goes on.
func (t *tracker) forget() { t.received, t.holes = 0, nil }
