package web

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/snapshot"
	"github.com/tombolo-net/tombolo/cli/web/view"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// passKey is of a number that counts the pictures: one Service in depth may have changed, too.
const passKey = "pass"

// feed brings what the clusters show to the board.
type feed struct {
	clusters []*access.Cluster
	board    *board
	log      log

	// mu guards what follows.
	mu        sync.Mutex
	snapshots []topology.Snapshot
	picture   topology.Topology
	passes    int
}

// run follows the clusters until ctx ends.
func (f *feed) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return snapshot.Follow(ctx, f.clusters, func(snapshots []topology.Snapshot) (bool, error) {
			f.show(snapshots, time.Now())
			return false, nil
		})
	})
	group.Go(func() error { return f.sample(ctx) })
	for _, c := range f.clusters {
		group.Go(func() error { return f.events(ctx, c) })
	}
	return group.Wait()
}

// show puts a picture on the board, and what has happened since the last one.
func (f *feed) show(snapshots []topology.Snapshot, now time.Time) {
	picture := topology.Of(snapshots)
	f.mu.Lock()
	before, first := f.picture, f.passes == 0
	f.snapshots, f.picture = snapshots, picture
	f.passes++
	passes := f.passes
	f.mu.Unlock()
	if !first {
		f.log.add(view.Happened(before, picture, now)...)
		f.board.set(view.EventPrefix, f.log.state())
	}
	pass := view.State{}
	pass.Put(passes, passKey)
	f.board.set(passKey, pass)
	f.board.set(view.PicturePrefix, view.Picture(picture))
}

func (f *feed) last() ([]topology.Snapshot, topology.Topology) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.snapshots, f.picture
}

// id is what the picture calls the cluster.
func (f *feed) id(c *access.Cluster) v1alpha1.ClusterID {
	_, picture := f.last()
	for _, known := range picture.Clusters {
		if known.Context == c.Context {
			return known.ID
		}
	}
	return v1alpha1.ClusterID(c.Context)
}

// depth implements deep.
func (f *feed) depth(name types.NamespacedName, down v1alpha1.ClusterID) *view.Depth {
	snapshots, picture := f.last()
	return view.DepthOf(snapshots, picture, name, down, time.Now())
}
