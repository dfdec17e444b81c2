package underlay

import (
	"slices"
	"sync"
	"time"
)

// smallFrame is the capacity in bytes of the buffers that most frames fit in: those of a network
// whose MTU is 1500.
const smallFrame = 2048

// buffer is a copy of a frame. at is when it came in, where that matters.
type buffer struct {
	data []byte
	at   time.Time
}

// framePool keeps buffers for reuse. Its zero value is ready.
type framePool struct{ small, large sync.Pool }

// copy returns a buffer that holds a copy of frame.
func (p *framePool) copy(frame []byte) *buffer {
	pool, size := &p.small, smallFrame
	if len(frame) > smallFrame {
		pool, size = &p.large, maxFrame
	}
	b, ok := pool.Get().(*buffer)
	if !ok {
		b = &buffer{data: make([]byte, 0, size)}
	}
	b.data = append(b.data[:0], frame...)
	return b
}

// release takes back a buffer that nobody reads any more.
func (p *framePool) release(b *buffer) {
	if cap(b.data) > smallFrame {
		p.large.Put(b)
		return
	}
	p.small.Put(b)
}

// queue is a bounded list of copied frames. Its user guards it.
type queue struct {
	pool  *framePool
	limit int // bytes
	bytes int
	list  []*buffer
}

// push appends a copy of frame; false means that there was no room.
func (q *queue) push(frame []byte, at time.Time) bool {
	if q.bytes+len(frame) > q.limit {
		return false
	}
	b := q.pool.copy(frame)
	b.at = at
	q.list = append(q.list, b)
	q.bytes += len(frame)
	return true
}

// take moves everything into list, whose old content is overwritten, and returns it.
func (q *queue) take(list []*buffer) []*buffer {
	list = append(list[:0], q.list...)
	clear(q.list)
	q.list, q.bytes = q.list[:0], 0
	return list
}

// free gives back the buffers of list.
func (q *queue) free(list []*buffer) {
	for _, b := range slices.All(list) {
		q.pool.release(b)
	}
	clear(list)
}
