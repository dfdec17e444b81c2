package snapshot

import (
	"context"
	"sync"
	"time"

	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/internal/topology"
)

const (
	// pause is how long changes are collected before they are shown.
	pause = 300 * time.Millisecond
	// patience is how long the first picture waits for clusters that have not answered yet.
	patience = 5 * time.Second
)

// Follow calls show with what the clusters hold, and again after changes, until show returns done or
// an error, or ctx ends. It watches. A cluster that cannot be read or watched is tried again, and its
// Snapshot says why: the others are shown. Nothing may change what show gets.
func Follow(ctx context.Context, clusters []*access.Cluster, show func([]topology.Snapshot) (done bool, err error)) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	changed := make(chan struct{}, 1)
	all := make([]*watched, 0, len(clusters))
	for _, c := range clusters {
		w := newWatched(c, changed)
		all = append(all, w)
		watching.Go(func() { w.run(ctx) })
	}
	settle(ctx, all)
	for {
		snapshots := make([]topology.Snapshot, 0, len(all))
		for _, w := range all {
			snapshots = append(snapshots, w.snapshot(ctx))
		}
		if done, err := show(snapshots); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		select { // what came during the pause is shown now
		case <-changed:
		default:
		}
	}
}

// settle waits until each cluster has been read, or cannot be, but not for long.
func settle(ctx context.Context, all []*watched) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for _, w := range all {
		select {
		case <-ctx.Done():
			return
		case <-w.settled:
		}
	}
}
