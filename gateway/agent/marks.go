package agent

import (
	"maps"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// marks collect what the next pass over the filter on the way in plans again. They are safe for
// concurrent use; marking never blocks.
type marks struct {
	// mu guards what follows.
	mu   sync.Mutex
	work work
}

// work is what a pass plans again.
type work struct {
	// network is true if anything may have changed that no slice belongs to.
	network bool
	// slices are the EndpointSlices that may have changed, and services the Services of which the
	// slices may count otherwise.
	slices, services map[types.NamespacedName]bool
}

func (w *work) empty() bool { return !w.network && len(w.slices)+len(w.services) == 0 }

func (m *marks) network() { m.restore(work{network: true}) }

func (m *marks) slice(name types.NamespacedName) {
	m.restore(work{slices: map[types.NamespacedName]bool{name: true}})
}

func (m *marks) service(name types.NamespacedName) {
	m.restore(work{services: map[types.NamespacedName]bool{name: true}})
}

// restore marks again what a pass could not finish.
func (m *marks) restore(w work) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.work.slices == nil {
		m.work.slices, m.work.services = map[types.NamespacedName]bool{}, map[types.NamespacedName]bool{}
	}
	m.work.network = m.work.network || w.network
	maps.Copy(m.work.slices, w.slices)
	maps.Copy(m.work.services, w.services)
}

// collect returns what was marked since the last time.
func (m *marks) collect() work {
	m.mu.Lock()
	defer m.mu.Unlock()
	collected := m.work
	m.work = work{}
	return collected
}
