package main

import (
	"context"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tombolo-net/tombolo/test/lab"
)

// apiCommand returns `lab api`, which works on API servers.
func apiCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "api",
		Short: "Stop or start API servers",
		Example: `  lab api stop          # all of them, the hub's too
  lab api start
  lab api stop east     # one cluster's`,
	}
	nameFlag(c, &name)
	c.AddCommand(
		apiOperation(&name, "stop", "End API servers as if their plugs had been pulled", (*lab.Client).StopAPIServer),
		apiOperation(&name, "start", "Start API servers that were stopped, with what they knew", (*lab.Client).StartAPIServer),
	)
	return c
}

// apiOperation returns a command that does something to API servers, all at once.
func apiOperation(name *string, verb, short string, do func(*lab.Client, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " [CLUSTER...]",
		Short: short,
		RunE: withLab(name, func(cmd *cobra.Command, l *lab.Client, args []string) error {
			if len(args) == 0 {
				s, err := l.Status(cmd.Context())
				if err != nil {
					return err
				}
				args = s.Topology.APIServers()
			}
			g, ctx := errgroup.WithContext(cmd.Context())
			for _, cluster := range args {
				g.Go(func() error { return do(l, ctx, cluster) })
			}
			return g.Wait()
		}),
	}
}
