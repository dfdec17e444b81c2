package remotecluster

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// How often the gateways of a RemoteCluster change: so many times at once, as when a cluster replaces
// all of its gateways, and then once in a while. Each change makes every gateway and node here look at
// its tunnels and routes.
const (
	gatewayBurst = 20
	gatewayEvery = 3 * time.Second
)

// paces limit how often the gateways of each RemoteCluster change. The zero value is empty. They are
// safe for concurrent use.
type paces struct {
	mu       sync.Mutex
	clusters map[string]*rate.Limiter // guarded by mu; as many as there are RemoteClusters
}

// wait is how long the change must wait; zero: it may be written now. What the clusterset's admin
// changes does not wait.
func (p *paces) wait(name string, have, want v1alpha1.RemoteClusterSpec) time.Duration {
	if equality.Semantic.DeepEqual(have.Gateways, want.Gateways) {
		return 0
	}
	want.Gateways = have.Gateways
	if !equality.Semantic.DeepEqual(have, want) {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clusters == nil {
		p.clusters = map[string]*rate.Limiter{}
	}
	if p.clusters[name] == nil {
		p.clusters[name] = rate.NewLimiter(rate.Every(gatewayEvery), gatewayBurst)
	}
	turn := p.clusters[name].Reserve()
	delay := turn.Delay()
	if delay > 0 {
		turn.Cancel()
	}
	return delay
}

// forget forgets a RemoteCluster that is gone.
func (p *paces) forget(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.clusters, name)
}
