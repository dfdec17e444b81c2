// Package status is `kubectl tombolo status`: the clusterset on one screen.
package status

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/snapshot"
	"github.com/tombolo-net/tombolo/internal/topology"
)

type options struct {
	access *access.Flags
	genericiooptions.IOStreams
	format string
	watch  bool
}

var formats = []string{"", "wide", "json", "yaml"}

// NewCommand returns the command.
func NewCommand(flags *access.Flags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{access: flags, IOStreams: streams}
	c := &cobra.Command{
		Use:   "status",
		Short: "Show clusters, links, gateways and Services, and what is not right",
		Long: `Shows the clusterset as the cluster of the current context sees it. With --contexts it asks several clusters, and shows both
sides of each link. With the hub's context it shows the members as the hub has them: when they were last heard of, what they publish
of what they may, and what of that no cluster imports. It only reads.

Services of all namespaces are shown, or those of --namespace.`,
		Example: `  kubectl tombolo status
  kubectl tombolo status --contexts east,west --watch
  kubectl tombolo status --context hub
  kubectl tombolo status -n shop -o wide
  kubectl tombolo status -o json | jq '.findings'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	flags.BindMany(c)
	c.Flags().StringVarP(&o.format, "output", "o", "", "wide, json or yaml; json and yaml hold everything")
	c.Flags().BoolVarP(&o.watch, "watch", "w", false, "go on, and show each change")
	return c
}

func (o *options) run(ctx context.Context) error {
	if !slices.Contains(formats, o.format) {
		return fmt.Errorf("--output %q: it may be wide, json or yaml", o.format)
	}
	clusters, err := o.access.Clusters()
	if err != nil {
		return err
	}
	if o.watch {
		return o.follow(ctx, clusters)
	}
	snapshots := make([]topology.Snapshot, len(clusters))
	var g errgroup.Group
	for i, c := range clusters {
		g.Go(func() error { snapshots[i] = snapshot.ReadWithHubs(ctx, c, c.Context); return nil })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return o.show(snapshots)
}

// show writes the picture of the snapshots.
func (o *options) show(snapshots []topology.Snapshot) error {
	namespace, given, err := o.access.Namespace()
	if err != nil {
		return err
	}
	t := topology.Of(snapshots)
	if given {
		t.Services = slices.DeleteFunc(t.Services, func(s topology.Service) bool { return s.Namespace != namespace })
	}
	return write(o.Out, t, o.format)
}
