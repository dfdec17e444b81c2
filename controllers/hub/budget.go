package hub

import (
	"context"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
)

// A count of a cluster's exports is used for recount. If there are so many that counting takes long,
// it is used longer: counting takes a twentieth of a CPU at most. A count for each export would cost
// the square of their number.
const (
	recount     = time.Second
	recountCost = 20
)

// budgets remember which exports of a cluster are beyond its budget. They are safe for concurrent
// use.
type budgets struct {
	mu       sync.Mutex
	clusters map[v1alpha1.ClusterID]budget // guarded by mu; as many as there are members
}

type budget struct {
	limits screen.Limits
	beyond map[string]bool // by name; nil: none
	until  time.Time
}

// Limits are how much is imported of what the cluster publishes.
func (v View) Limits(ctx context.Context, cluster v1alpha1.ClusterID) (screen.Limits, error) {
	member, err := v.Member(ctx, cluster)
	return screen.LimitsOf(member), err
}

// BeyondBudget returns the names of the cluster's exports that are not imported because there are
// too many (screen.BeyondBudget), nil if none is. It may be a few seconds old. The caller must not
// change it.
func (v View) BeyondBudget(ctx context.Context, cluster v1alpha1.ClusterID) (map[string]bool, error) {
	limits, err := v.Limits(ctx, cluster)
	if err != nil {
		return nil, err
	}
	v.budgets.mu.Lock()
	defer v.budgets.mu.Unlock()
	if have, ok := v.budgets.clusters[cluster]; ok && have.limits == limits && time.Now().Before(have.until) {
		return have.beyond, nil
	}
	start := time.Now()
	list := &v1alpha1.ExportedServiceList{}
	if err := v.list(ctx, list, OfCluster(cluster), client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	beyond := screen.BeyondBudget(list.Items, limits)
	v.budgets.clusters[cluster] = budget{limits, beyond, time.Now().Add(max(recount, recountCost*time.Since(start)))}
	return beyond, nil
}

// SlicesOf returns the EndpointSlices that the cluster publishes for all its Services. They are the
// cache's own: the caller must not change them.
func (v View) SlicesOf(ctx context.Context, cluster v1alpha1.ClusterID) ([]discoveryv1.EndpointSlice, error) {
	list := &discoveryv1.EndpointSliceList{}
	err := v.list(ctx, list, OfCluster(cluster), client.UnsafeDisableDeepCopy)
	return list.Items, err
}
