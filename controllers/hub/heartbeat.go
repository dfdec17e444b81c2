package hub

import (
	"context"
	"slices"
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

// heartbeats remember which members have renewed their Leases while we listened. A Lease that
// nobody renews may be as old as the backup that a hub was restored from. It would then confirm
// what was true at that time. Times are the members' own. We compare a member's times only with
// each other, so clocks need not agree. It is safe for concurrent use.
type heartbeats struct {
	mu   sync.Mutex
	last map[v1alpha1.ClusterID]heartbeat // guarded by mu; outlives connections
}

type heartbeat struct {
	renewed time.Time
	live    bool // it was renewed since we first saw it, and since it last went back in time
}

// note remembers the Lease of a member. A Lease that went back in time must be renewed again: the
// hub was restored, or a clock was corrected.
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

// live tells whether the cluster has renewed its Lease while we listened, and whether this Lease is
// what it wrote then.
func (h *heartbeats) live(cluster v1alpha1.ClusterID, lease *coordinationv1.Lease) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.last[cluster]
	return last.live && lease.Spec.RenewTime != nil && lease.Spec.RenewTime.Time.Equal(last.renewed)
}

// byLease makes a cache note every Lease before the cache shows it.
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

// Confirms tells whether the cluster itself says that it publishes exactly what the hub shows of
// it. It says so in its heartbeat, which it must have renewed while we listened. The heartbeat does
// not speak of EndpointSlices. missed are names of ExportedServices that the caller did not find: one
// that the hub shows by now has arrived since, and nothing is confirmed. The cost does not depend on
// how much the cluster publishes.
func (v View) Confirms(ctx context.Context, cluster v1alpha1.ClusterID, missed ...string) (bool, error) {
	if live, err := v.Live(ctx, cluster); err != nil || !live {
		return false, err
	}
	lease, err := v.Heartbeat(ctx, cluster)
	if err != nil || lease == nil {
		return false, err
	}
	for _, name := range missed {
		if arrived, err := get[v1alpha1.ExportedService](ctx, v, name); err != nil || arrived != nil {
			return false, err
		}
	}
	return v.published.confirms(cluster, lease.Annotations, missed), nil
}

// ConfirmsGateways is Confirms for a caller who found GatewayNodes of these names, and no others of the
// cluster. One that has arrived since then is there still.
func (v View) ConfirmsGateways(ctx context.Context, cluster v1alpha1.ClusterID, found []string) (bool, error) {
	if confirmed, err := v.Confirms(ctx, cluster); err != nil || !confirmed || !v.published.hasGateways(cluster, found) {
		return false, err
	}
	now, err := v.Gateways(ctx, cluster)
	arrived := slices.ContainsFunc(now, func(g v1alpha1.GatewayNode) bool { return !slices.Contains(found, g.Name) })
	return err == nil && !arrived, err
}

// Live tells whether the cluster has renewed its heartbeat on the hub while we listened. If it has
// not, the hub may have been restored from a backup that the cluster has not seen yet.
func (v View) Live(ctx context.Context, cluster v1alpha1.ClusterID) (bool, error) {
	if !v.Authoritative {
		return false, nil
	}
	lease, err := v.Heartbeat(ctx, cluster)
	return err == nil && lease != nil && v.heartbeats.live(cluster, lease), err
}

// Names returns the names, on the hub, of all objects of the cluster that its heartbeat speaks of:
// ExportedServices and GatewayNodes.
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

// OnHeartbeat returns a source of requests for a controller. It maps a cluster's Lease to requests
// whenever the Lease may confirm something that it did not confirm before.
func (h *Hub) OnHeartbeat(requests handler.MapFunc) source.Source {
	changes := &heartbeatChanges{heartbeats: h.heartbeats, seen: map[v1alpha1.ClusterID]string{}}
	return h.Watch(&coordinationv1.Lease{}, requests, predicate.NewPredicateFuncs(changes.note))
}

// heartbeatChanges belong to one subscription. It is safe for concurrent use.
type heartbeatChanges struct {
	heartbeats *heartbeats

	mu   sync.Mutex
	seen map[v1alpha1.ClusterID]string // guarded by mu; what the last live Lease said
}

// note tells whether the Lease says something else than before, or is live for the first time.
func (c *heartbeatChanges) note(obj client.Object) bool {
	lease, cluster := obj.(*coordinationv1.Lease), clusterset.SourceCluster(obj.GetLabels())
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.heartbeats.live(cluster, lease) {
		delete(c.seen, cluster)
		return false
	}
	says := lease.Annotations[v1alpha1.AnnotationPublishedCount] + " " + lease.Annotations[v1alpha1.AnnotationPublishedDigest]
	before, known := c.seen[cluster]
	c.seen[cluster] = says
	return !known || before != says
}
