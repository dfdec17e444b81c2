package hub

import (
	"context"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// heartbeats remember which members have renewed their Leases while we listened: a Lease that just lies there may be as
// old as the backup that a hub was restored from, and then confirms what was true at that time. Times are the members'
// own and are compared with each other only, so that clocks need not agree. It is safe for concurrent use.
type heartbeats struct {
	mu   sync.Mutex
	last map[v1alpha1.ClusterID]heartbeat // guarded by mu; outlives connections
}

type heartbeat struct {
	renewed time.Time
	live    bool // it was renewed since we first saw it, and since it last went back
}

// note remembers the Lease of a member. One that went back in time, by a restored hub or a clock set right, has to be
// renewed again.
func (h *heartbeats) note(lease *coordinationv1.Lease) {
	cluster := clusterset.SourceCluster(lease.Labels)
	if lease.Name != clusterset.LeaseName(cluster) || lease.Spec.RenewTime == nil {
		return
	}
	now := lease.Spec.RenewTime.Time
	h.mu.Lock()
	defer h.mu.Unlock()
	before, known := h.last[cluster]
	switch {
	case !known:
		if h.last == nil {
			h.last = map[v1alpha1.ClusterID]heartbeat{}
		}
		h.last[cluster] = heartbeat{renewed: now}
	case now.After(before.renewed):
		h.last[cluster] = heartbeat{renewed: now, live: true}
	case now.Before(before.renewed):
		h.last[cluster] = heartbeat{renewed: now}
	}
}

// live tells whether the cluster has renewed its Lease while we listened, and this is what it then wrote.
func (h *heartbeats) live(cluster v1alpha1.ClusterID, lease *coordinationv1.Lease) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.last[cluster]
	return last.live && lease.Spec.RenewTime != nil && lease.Spec.RenewTime.Time.Equal(last.renewed)
}

// byLease makes a cache note every Lease before it shows it.
func (h *heartbeats) byLease() map[client.Object]cache.ByObject {
	strip := cache.TransformStripManagedFields()
	return map[client.Object]cache.ByObject{
		&coordinationv1.Lease{}: {Transform: func(obj any) (any, error) {
			if lease, ok := obj.(*coordinationv1.Lease); ok {
				h.note(lease)
			}
			return strip(obj)
		}},
	}
}

// Confirms tells whether the cluster itself says that it publishes just what the hub shows of it: by its heartbeat, which
// was renewed while we listened. Of EndpointSlices it does not speak.
func (v View) Confirms(ctx context.Context, cluster v1alpha1.ClusterID) (bool, error) {
	if live, err := v.Live(ctx, cluster); err != nil || !live {
		return false, err
	}
	lease, err := v.Heartbeat(ctx, cluster)
	if err != nil || lease == nil {
		return false, err
	}
	names, err := v.Names(ctx, cluster)
	return err == nil && clusterset.HeartbeatConfirms(lease.Annotations, names), err
}

// Live tells whether the cluster has renewed its heartbeat on the hub while we listened: the hub is none that was
// restored from a backup and that the cluster has not seen since.
func (v View) Live(ctx context.Context, cluster v1alpha1.ClusterID) (bool, error) {
	if !v.Authoritative {
		return false, nil
	}
	lease, err := v.Heartbeat(ctx, cluster)
	return err == nil && lease != nil && v.heartbeats.live(cluster, lease), err
}

// Names returns the names, on the hub, of all of the cluster's that its heartbeat speaks of: ExportedServices and
// GatewayNodes.
func (v View) Names(ctx context.Context, cluster v1alpha1.ClusterID) ([]string, error) {
	names, err := v.ExportNames(ctx, cluster)
	if err != nil {
		return nil, err
	}
	gateways, err := v.Gateways(ctx, cluster)
	for i := range gateways {
		names = append(names, gateways[i].Name)
	}
	return names, err
}

// OnHeartbeat returns a source of requests for a controller: those that requests maps a cluster's Lease to, whenever it
// may confirm what it did not before.
func (h *Hub) OnHeartbeat(requests handler.MapFunc) source.Source {
	news := &heartbeatNews{heartbeats: h.heartbeats, told: map[v1alpha1.ClusterID]string{}}
	return h.Watch(&coordinationv1.Lease{}, requests, predicate.NewPredicateFuncs(news.is))
}

// heartbeatNews are of one subscription. It is safe for concurrent use.
type heartbeatNews struct {
	heartbeats *heartbeats

	mu   sync.Mutex
	told map[v1alpha1.ClusterID]string // guarded by mu; what the last live Lease said
}

// is tells whether the Lease says something else than before, or can be believed for the first time.
func (n *heartbeatNews) is(obj client.Object) bool {
	lease, cluster := obj.(*coordinationv1.Lease), clusterset.SourceCluster(obj.GetLabels())
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.heartbeats.live(cluster, lease) {
		delete(n.told, cluster)
		return false
	}
	says := lease.Annotations[v1alpha1.AnnotationPublishedCount] + " " + lease.Annotations[v1alpha1.AnnotationPublishedDigest]
	before, known := n.told[cluster]
	n.told[cluster] = says
	return !known || before != says
}
