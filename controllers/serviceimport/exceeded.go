package serviceimport

import (
	"sync"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// exceeded remembers by how much each cluster exported too much at its last heartbeat. The zero
// value is empty. It is safe for concurrent use.
type exceeded struct {
	mu   sync.Mutex
	last map[v1alpha1.ClusterID]int // guarded by mu; clusters that do not are not in it
}

// swap remembers how many exports are too many, and returns how many were.
func (e *exceeded) swap(cluster v1alpha1.ClusterID, now int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.last[cluster]
	switch {
	case now == 0:
		delete(e.last, cluster)
	case e.last == nil:
		e.last = map[v1alpha1.ClusterID]int{cluster: now}
	default:
		e.last[cluster] = now
	}
	return before
}
