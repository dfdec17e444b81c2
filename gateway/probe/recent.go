package probe

import "time"

// recentWindow is what counts as recent.
const recentWindow = 10 * time.Minute

// recent counts what happened in the last ten minutes, up to the size of the array. The zero value has
// seen nothing.
type recent struct {
	times [16]time.Time
	next  int
}

func (r *recent) add(now time.Time) {
	r.times[r.next] = now
	r.next = (r.next + 1) % len(r.times)
}

// count is how often it happened.
func (r *recent) count(now time.Time) int {
	n := 0
	for _, t := range r.times {
		if !t.IsZero() && now.Sub(t) < recentWindow {
			n++
		}
	}
	return n
}
