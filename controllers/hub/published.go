package hub

import (
	"strconv"
	"sync"
	"time"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// published are the names, on the hub, of all objects that heartbeats speak of. It follows the cache's
// events, a moment behind the cache. So to compare a heartbeat with them costs no list, which could be
// one for each import that may be gone. The zero value is empty. It is safe for concurrent use.
type published struct {
	mu       sync.Mutex
	clusters map[v1alpha1.ClusterID]*names // guarded by mu; those that publish something
}

// names are those of one cluster.
type names struct {
	exports  map[string]bool
	gateways map[string]bool
	// says is what a heartbeat says that speaks of these names; nil: they have changed since.
	says map[string]string
	due  time.Time // says may be computed again
}

// confirms tells whether a heartbeat with these annotations speaks of exactly the cluster's names, and
// not of the missed exports. If so, the missed exports have ended, whether or not the names are behind
// the cache: the cluster says that it publishes exactly these.
func (p *published) confirms(cluster v1alpha1.ClusterID, annotations map[string]string, missed []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.of(cluster)
	if annotations[v1alpha1.AnnotationPublishedCount] != strconv.Itoa(len(have.exports)+len(have.gateways)) {
		return false
	}
	for _, name := range missed {
		if have.exports[name] {
			return false
		}
	}
	return have.sayTheSame(annotations)
}

// hasGateways tells whether these are the names of all the cluster's GatewayNodes.
func (p *published) hasGateways(cluster v1alpha1.ClusterID, found []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.of(cluster)
	for _, name := range found {
		if !have.gateways[name] {
			return false
		}
	}
	return len(have.gateways) == len(found)
}

// sayTheSame compares the digest of the names. It computes the digest once for each change of the
// names, and no more often than recountCost allows. Until then they count as different.
func (n *names) sayTheSame(annotations map[string]string) bool {
	if n.says == nil {
		start := time.Now()
		if start.Before(n.due) {
			return false
		}
		all := make([]string, 0, len(n.exports)+len(n.gateways))
		for name := range n.exports {
			all = append(all, name)
		}
		for name := range n.gateways {
			all = append(all, name)
		}
		n.says = clusterset.HeartbeatAnnotations(all)
		n.due = time.Now().Add(recountCost * time.Since(start))
	}
	return annotations[v1alpha1.AnnotationPublishedCount] == n.says[v1alpha1.AnnotationPublishedCount] &&
		annotations[v1alpha1.AnnotationPublishedDigest] == n.says[v1alpha1.AnnotationPublishedDigest]
}

// of needs mu.
func (p *published) of(cluster v1alpha1.ClusterID) *names {
	if have := p.clusters[cluster]; have != nil {
		return have
	}
	return &names{}
}

// note remembers that the hub has the object, or that it has not.
func (p *published) note(obj any, there bool) {
	if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	o, ok := obj.(client.Object)
	if !ok {
		return
	}
	cluster := clusterset.SourceCluster(o.GetLabels())
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.clusters[cluster]
	if have == nil {
		if !there {
			return
		}
		if p.clusters == nil {
			p.clusters = map[v1alpha1.ClusterID]*names{}
		}
		have = &names{exports: map[string]bool{}, gateways: map[string]bool{}}
		p.clusters[cluster] = have
	}
	of := have.exports
	if _, isGateway := o.(*v1alpha1.GatewayNode); isGateway {
		of = have.gateways
	}
	if of[o.GetName()] == there {
		return
	}
	have.says = nil
	if there {
		of[o.GetName()] = true
	} else if delete(of, o.GetName()); len(have.exports)+len(have.gateways) == 0 {
		delete(p.clusters, cluster)
	}
}

// handler notes what comes and goes. An object whose label names another cluster than before goes from
// the one and comes to the other.
func (p *published) handler() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { p.note(obj, true) },
		UpdateFunc: func(before, after any) {
			if b, ok := before.(client.Object); ok && clusterset.SourceCluster(b.GetLabels()) != clusterset.SourceCluster(after.(client.Object).GetLabels()) {
				p.note(before, false)
			}
			p.note(after, true)
		},
		DeleteFunc: func(obj any) { p.note(obj, false) },
	}
}
