package hub

import (
	"context"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
)

// recount is how long a count of a cluster's exports is used. A count for each export would cost the
// square of their number.
const recount = time.Second

// budgets remember which exports of a cluster are beyond its budget. They are safe for concurrent
// use.
type budgets struct {
	mu       sync.Mutex
	clusters map[v1alpha1.ClusterID]budget // guarded by mu; as many as there are members
}

type budget struct {
	beyond  map[string]bool // by name; nil: none
	counted time.Time
}

// BeyondBudget returns the names of the cluster's exports that are not imported because there are
// too many (screen.BeyondBudget), nil if none is. It may be a second old. The caller must not change
// it.
func (v View) BeyondBudget(ctx context.Context, cluster v1alpha1.ClusterID) (map[string]bool, error) {
	v.budgets.mu.Lock()
	defer v.budgets.mu.Unlock()
	if have, ok := v.budgets.clusters[cluster]; ok && time.Since(have.counted) < recount {
		return have.beyond, nil
	}
	list := &v1alpha1.ExportedServiceList{}
	if err := v.list(ctx, list, OfCluster(cluster), client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	beyond := screen.BeyondBudget(list.Items)
	v.budgets.clusters[cluster] = budget{beyond, time.Now()}
	return beyond, nil
}
