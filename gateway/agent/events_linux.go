package agent

import (
	"context"

	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
)

// WatchKernel calls changed whenever a link, a route or a rule that may be ours has changed in this
// network namespace, whoever changed it, until ctx ends. An announcement that the kernel lost
// counts as a change.
func WatchKernel(ctx context.Context, changed func()) error {
	watch, err := rtnl.Subscribe()
	if err != nil {
		return err
	}
	return watch.Run(ctx, rtnl.Interest{Links: "tombolo", Protocol: route.ProtocolGateway}, changed)
}
