package web

import (
	"cmp"
	"slices"
	"strconv"
	"sync"

	"github.com/tombolo-net/tombolo/cli/web/view"
)

// mostEvents is how many events the page shows.
const mostEvents = 1000

// log keeps the last events. Its zero value is ready to use.
type log struct {
	// mu guards what follows.
	mu     sync.Mutex
	number int
	// all are events that pictures told and those of clusters, by a key for the page.
	all map[string]view.Event
}

// add adds events that happen once.
func (l *log) add(events ...view.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		l.number++
		l.keep(strconv.Itoa(l.number), e)
	}
}

// put adds an event of a cluster, which may happen again under that key.
func (l *log) put(key string, e view.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep(key, e)
}

// keep is called with mu held.
func (l *log) keep(key string, e view.Event) {
	if l.all == nil {
		l.all = map[string]view.Event{}
	}
	l.all[key] = e
	if len(l.all) <= mostEvents+mostEvents/10 {
		return
	}
	keys := make([]string, 0, len(l.all))
	for key := range l.all {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(l.all[b].Time.Compare(l.all[a].Time), cmp.Compare(a, b)) })
	for _, key := range keys[mostEvents:] {
		delete(l.all, key)
	}
}

// state is for the board.
func (l *log) state() view.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := view.State{}
	for key, e := range l.all {
		s.Put(e, view.EventPrefix+key)
	}
	return s
}
