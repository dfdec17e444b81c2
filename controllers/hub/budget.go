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

// budgets remember which exports of a cluster are within its budget. They are safe for concurrent
// use.
type budgets struct {
	mu       sync.Mutex
	clusters map[v1alpha1.ClusterID]*budget // guarded by mu; as many as there are members
}

// budget is that of one cluster at the last count, and what has come since.
type budget struct {
	limits screen.Limits
	within map[string]bool // by name
	beyond map[string]bool // by name; nil: none
	missed bool            // an export that came since a count found no room
	until  time.Time
}

// Limits are how much is imported of what the cluster publishes.
func (v View) Limits(ctx context.Context, cluster v1alpha1.ClusterID) (screen.Limits, error) {
	member, err := v.Member(ctx, cluster)
	return screen.LimitsOf(member), err
}

// WithinBudget tells whether the cluster's export of that name may be imported: it is not among too
// many (screen.Budgeted). One that has come since the last count takes what room there is; without
// room it has to wait for the next one (MissedBudget).
func (v View) WithinBudget(ctx context.Context, cluster v1alpha1.ClusterID, name string) (bool, error) {
	v.budgets.mu.Lock()
	defer v.budgets.mu.Unlock()
	b, err := v.budget(ctx, cluster)
	if err != nil {
		return false, err
	}
	if b.within[name] || b.beyond[name] {
		return b.within[name], nil
	}
	if len(b.within) < b.limits.Exports {
		b.within[name] = true
		return true, nil
	}
	b.missed = true
	return false, nil
}

// BeyondBudget returns the names of the cluster's exports that are not imported because there are
// too many, nil if none is. It may be a few seconds old. The caller must not change it.
func (v View) BeyondBudget(ctx context.Context, cluster v1alpha1.ClusterID) (map[string]bool, error) {
	v.budgets.mu.Lock()
	defer v.budgets.mu.Unlock()
	b, err := v.budget(ctx, cluster)
	if err != nil {
		return nil, err
	}
	return b.beyond, nil
}

// MissedBudget tells whether, since it was last asked, WithinBudget has refused an export of the
// cluster that was not counted yet.
func (v View) MissedBudget(cluster v1alpha1.ClusterID) bool {
	v.budgets.mu.Lock()
	defer v.budgets.mu.Unlock()
	b := v.budgets.clusters[cluster]
	if b == nil || !b.missed {
		return false
	}
	b.missed = false
	return true
}

// budget returns the budget of the cluster. It counts again if the last count is old. The caller holds
// mu.
func (v View) budget(ctx context.Context, cluster v1alpha1.ClusterID) (*budget, error) {
	limits, err := v.Limits(ctx, cluster)
	if err != nil {
		return nil, err
	}
	have := v.budgets.clusters[cluster]
	if have == nil {
		have = &budget{}
	}
	if have.limits == limits && time.Now().Before(have.until) {
		return have, nil
	}
	start := time.Now()
	list := &v1alpha1.ExportedServiceList{}
	if err := v.list(ctx, list, OfCluster(cluster), client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	have.limits = limits
	have.within, have.beyond = screen.Budgeted(list.Items, limits, have.within)
	have.until = time.Now().Add(max(recount, recountCost*time.Since(start)))
	v.budgets.clusters[cluster] = have
	return have, nil
}

// SlicesOf returns the EndpointSlices that the cluster publishes for all its Services. They are the
// cache's own: the caller must not change them.
func (v View) SlicesOf(ctx context.Context, cluster v1alpha1.ClusterID) ([]discoveryv1.EndpointSlice, error) {
	list := &discoveryv1.EndpointSliceList{}
	err := v.list(ctx, list, OfCluster(cluster), client.UnsafeDisableDeepCopy)
	return list.Items, err
}
