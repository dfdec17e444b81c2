package hub

import "time"

// A cache tries a broken watch again after a pause. The pause doubles each time, up to 30 s, until
// two minutes have gone well (client-go's reflector). If the hub answers but its connections end
// now and then, the cache would be behind for as long as the pause.
const (
	oneBreak     = 5 * time.Second // watches that break within this time share a connection
	breaksForget = 2 * time.Minute
)

// breaks tell when watches have broken so often that opening a new session is better than waiting.
// The zero value has seen none.
type breaks struct{ last time.Time }

// again notes that a watch broke now, and tells whether another one broke shortly before. If so, it
// forgets both.
func (b *breaks) again(now time.Time) bool {
	since := now.Sub(b.last)
	switch {
	case b.last.IsZero() || since > breaksForget:
		b.last = now
	case since > oneBreak:
		b.last = time.Time{}
		return true
	}
	return false
}
