package agent

import (
	"sync"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// marks collect what the next pass looks at again. They are safe for concurrent use; marking never
// blocks. What marks returns whether passes may work already.
type marks struct {
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

func (w *work) empty() bool { return !w.network && !w.all && len(w.services) == 0 }

func (w *work) add(name types.NamespacedName) {
	if w.services == nil {
		w.services = map[types.NamespacedName]bool{}
	}
	w.services[name] = true
}

// object marks what the object is about.
func (m *marks) object(o client.Object) (started bool) {
	switch o := o.(type) {
	case *mcsv1beta1.ServiceImport:
		return m.service(client.ObjectKeyFromObject(o))
	case *discoveryv1.EndpointSlice:
		return m.service(importOf(o))
	case *v1alpha1.TrafficPolicy:
		return m.service(clusterset.PolicyTarget(o))
	}
	return m.network()
}

func (m *marks) service(name types.NamespacedName) (started bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.work.add(name)
	return m.started
}

func (m *marks) network() (started bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.work.network = true
	return m.started
}

// start lets passes collect marks. Before, the caches are incomplete, and a pass would empty the
// kernel.
func (m *marks) start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.started, m.work.network = true, true
}

// collect returns what was marked since the last time; false before start.
func (m *marks) collect() (work, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.started {
		return work{}, false
	}
	collected := m.work
	m.work = work{}
	return collected, true
}

// restore marks again what a pass could not finish. The next tick looks at it.
func (m *marks) restore(w work) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.work.network, m.work.all = m.work.network || w.network, m.work.all || w.all
	for name := range w.services {
		m.work.add(name)
	}
}
