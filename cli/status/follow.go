package status

import (
	"context"
	"errors"
	"fmt"

	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/report"
	"github.com/tombolo-net/tombolo/cli/snapshot"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// follow shows the picture, and shows it again after each change, until ctx ends.
func (o *options) follow(ctx context.Context, clusters []*access.Cluster) error {
	err := snapshot.Follow(ctx, clusters, func(snapshots []topology.Snapshot) (done bool, err error) {
		if report.IsTerminal(o.Out) {
			fmt.Fprint(o.Out, "\033[H\033[2J") // ECMA-48: to the top left, erase all
		}
		return false, o.show(snapshots)
	})
	if errors.Is(err, context.Canceled) {
		return nil // the user ended it
	}
	return err
}
