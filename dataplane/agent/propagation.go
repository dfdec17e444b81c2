package agent

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// maxPropagating bounds how many changes are remembered until the kernel has them.
const maxPropagating = 10_000

// propagation measures how long changes of endpoints take until this node's kernel has them. A
// change begins when its cluster's endpoint controller says, by that cluster's clock. A new slice
// does not count: its pods may have been ready long before their Service was exported. The zero value
// is ready.
type propagation struct {
	mu      sync.Mutex
	pending []propagating // guarded by mu
}

// propagating is a change that the kernel may not have yet.
type propagating struct {
	cluster string
	since   time.Time
}

// see remembers the change if an update brings one with another time.
func (p *propagation) see(before, after any) {
	old, ok := before.(*discoveryv1.EndpointSlice)
	if !ok {
		return
	}
	now := after.(*discoveryv1.EndpointSlice)
	said := now.Annotations[corev1.EndpointsLastChangeTriggerTime]
	if said == "" || said == old.Annotations[corev1.EndpointsLastChangeTriggerTime] {
		return
	}
	since, err := time.Parse(time.RFC3339Nano, said)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pending) < maxPropagating {
		p.pending = append(p.pending, propagating{string(clusterset.SourceCluster(now.Labels)), since})
	}
}

// take returns what is pending, for a pass to bring into the kernel.
func (p *propagation) take() []propagating {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.pending
	p.pending = nil
	return taken
}

// propagated counts changes that the kernel has now. Where the other cluster's clock is ahead of ours they
// took no time.
func (m *Metrics) propagated(changes []propagating, now time.Time) {
	for _, c := range changes {
		m.propagation.WithLabelValues(c.cluster).Observe(max(0, now.Sub(c.since).Seconds()))
	}
}

// failed takes back what a pass could not bring into the kernel.
func (p *propagation) failed(changes []propagating) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(changes, p.pending...)
}

// observed is the handler, with updates seen by the propagation first.
type observed struct {
	toolscache.ResourceEventHandler

	by *propagation
}

// OnUpdate implements toolscache.ResourceEventHandler.
func (o observed) OnUpdate(before, after any) {
	o.by.see(before, after)
	o.ResourceEventHandler.OnUpdate(before, after)
}
