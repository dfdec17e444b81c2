package endpointslice

import (
	"context"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// recountCost bounds what counting slices costs: a twentieth of a CPU for each cluster. A count for
// each change would cost the square of the number of slices.
const recountCost = 20

// shares remember what is imported of each cluster's slices. The zero value is empty. They are safe
// for concurrent use.
type shares struct {
	mu       sync.Mutex
	clusters map[v1alpha1.ClusterID]*share // guarded by mu; as many as there are members
}

// share is what is imported of one cluster's slices, as last counted.
type share struct {
	screen.Share
	limits screen.Limits
	until  time.Time // when it may be counted again
	stale  bool      // slices have changed since
}

// change is what another count has changed.
type change struct {
	slices []reconcile.Request // of which more or less is imported
	freed  []screen.ServiceKey // no longer crowded
}

// touch notes that slices of the cluster have changed.
func (s *shares) touch(cluster v1alpha1.ClusterID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.clusters[cluster]; have != nil {
		have.stale = true
	}
}

// forget makes the slices of all clusters count again.
func (s *shares) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.clusters)
}

// known are the clusters whose slices were counted.
func (s *shares) known() []v1alpha1.ClusterID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []v1alpha1.ClusterID
	for id := range s.clusters {
		ids = append(ids, id)
	}
	return ids
}

// count counts the cluster's slices. It returns what is imported of them, and what has changed since
// the last count. It counts those that were never
// counted, and with due also those that have changed, unless that would cost too much now.
func (s *shares) count(ctx context.Context, view hub.View, cluster v1alpha1.ClusterID, due bool) (share, change, error) {
	limits, err := view.Limits(ctx, cluster)
	if err != nil {
		return share{}, change{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.clusters[cluster]
	switch {
	case have == nil:
		have = &share{}
	case !due, have.limits == limits && (!have.stale || time.Now().Before(have.until)):
		return *have, change{}, nil
	}
	start := time.Now()
	published, err := view.SlicesOf(ctx, cluster)
	if err != nil {
		return share{}, change{}, err
	}
	now := share{Share: screen.ShareOf(published, limits), limits: limits}
	var changed change
	for i := range published {
		if now.Differs(have.Share, &published[i]) {
			changed.slices = append(changed.slices, requests.For(published[i].Labels[v1alpha1.LabelNamespace], published[i].Name)...)
		}
	}
	for key := range have.Crowded {
		if !now.Crowded[key] {
			changed.freed = append(changed.freed, key)
		}
	}
	if s.clusters == nil {
		s.clusters = map[v1alpha1.ClusterID]*share{}
	}
	now.until = time.Now().Add(recountCost * time.Since(start))
	s.clusters[cluster] = &now
	return now, changed, nil
}

// shareOf returns what is imported of the cluster's slices, as last counted.
func (r *Reconciler) shareOf(ctx context.Context, view hub.View, cluster v1alpha1.ClusterID) (share, error) {
	found, _, err := r.shares.count(ctx, view, cluster, false)
	return found, err
}

// published maps a slice on the hub to the one that is imported for it, and to those of which more
// or less is imported because of it.
func (r *Reconciler) published(ctx context.Context, obj client.Object) []reconcile.Request {
	cluster := clusterset.SourceCluster(obj.GetLabels())
	r.shares.touch(cluster)
	return append(r.recount(ctx, cluster), imported(ctx, obj)...)
}

// ofShares maps any heartbeat to the slices, of any cluster, of which more or less is imported than
// before. A cluster whose slices change no more may not have been counted since.
func (r *Reconciler) ofShares(ctx context.Context, _ client.Object) []reconcile.Request {
	var all []reconcile.Request
	for _, cluster := range r.shares.known() {
		all = append(all, r.recount(ctx, cluster)...)
	}
	return all
}

// recount counts the cluster's slices if that is due, notes how many are left out, and returns the
// slices of which more or less is imported now.
func (r *Reconciler) recount(ctx context.Context, cluster v1alpha1.ClusterID) []reconcile.Request {
	view, err := r.Hub.View()
	if err != nil {
		return nil
	}
	found, changed, err := r.shares.count(ctx, view, cluster, true)
	if err != nil {
		logf.FromContext(ctx).Error(err, "cannot count a cluster's slices", "cluster", cluster)
		return nil
	}
	var skipped []screen.Skipped
	if why := found.Told(cluster, found.limits); why != nil {
		skipped = append(skipped, *why)
	}
	r.Skipped.Note(cluster, "EndpointSlices", skipped...)
	for _, key := range changed.freed {
		changed.slices = append(changed.slices, r.local(ctx, client.MatchingFields{indexExport: exportKey(cluster, key.Namespace, key.Name)})...)
	}
	return changed.slices
}
