package probe

import "time"

const (
	// lossBucket is the time that a part of the window covers; the window is lossBuckets of them.
	lossBucket  = 30 * time.Second
	lossBuckets = 4
	// enough is how many probes it takes to say what share is lost.
	enough = 100
)

// lossWindow counts which probes of the last two minutes were lost. The zero value has none.
type lossWindow struct {
	buckets [lossBuckets]struct{ sent, lost int }
	current int
	began   time.Time
}

// count counts a probe.
func (w *lossWindow) count(lost bool, now time.Time) {
	for ; now.Sub(w.began) >= lossBucket; w.began = w.began.Add(lossBucket) {
		if now.Sub(w.began) >= lossBuckets*lossBucket {
			*w = lossWindow{began: now.Add(-lossBucket)}
		}
		w.current = (w.current + 1) % lossBuckets
		w.buckets[w.current].sent, w.buckets[w.current].lost = 0, 0
	}
	b := &w.buckets[w.current]
	b.sent++
	if lost {
		b.lost++
	}
}

// share is the share of probes that were lost, 0 to 1; 0 while too few were sent.
func (w *lossWindow) share() float64 {
	sent, lost := 0, 0
	for _, b := range w.buckets {
		sent, lost = sent+b.sent, lost+b.lost
	}
	if sent < enough {
		return 0
	}
	return float64(lost) / float64(sent)
}
