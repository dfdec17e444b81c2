package agent

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// dirty collects what must be looked at again. It is safe for concurrent use; marking never blocks.
type dirty struct {
	wake chan struct{}

	// mu guards what follows.
	mu      sync.Mutex
	work    work
	started bool
}

// work is what a pass looks at.
type work struct {
	// network is true if the routes, or anything that all services depend on, may have changed.
	network bool
	// all is true if every ServiceImport is to be planned.
	all bool
	// services are the ServiceImports that may have changed.
	services map[types.NamespacedName]bool
}

func (w work) empty() bool { return !w.network && !w.all && len(w.services) == 0 }

func newDirty() *dirty { return &dirty{wake: make(chan struct{}, 1)} }

func (d *dirty) service(name types.NamespacedName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.work.services == nil {
		d.work.services = map[types.NamespacedName]bool{}
	}
	d.work.services[name] = true
	d.signal()
}

func (d *dirty) network() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.work.network = true
	d.signal()
}

// start lets work be taken: before, the caches are incomplete and would have the kernel emptied.
func (d *dirty) start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.started, d.work.network = true, true
	d.signal()
}

// signal wakes the loop; d.mu is held.
func (d *dirty) signal() {
	if !d.started {
		return
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// take returns what was marked since the last time; false before start.
func (d *dirty) take() (work, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.started {
		return work{}, false
	}
	taken := d.work
	d.work = work{}
	return taken, true
}

// putBack marks again what a pass could not finish, without waking the loop: the next tick looks at it.
func (d *dirty) putBack(w work) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.work.network, d.work.all = d.work.network || w.network, d.work.all || w.all
	for name := range w.services {
		if d.work.services == nil {
			d.work.services = map[types.NamespacedName]bool{}
		}
		d.work.services[name] = true
	}
}
