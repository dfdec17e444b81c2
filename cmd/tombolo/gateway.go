package main

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/gateway/agent"
	"github.com/tombolo-net/tombolo/gateway/keyfile"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/pages"
)

func newGatewayCommand() *cobra.Command {
	o := &nodeOptions{}
	var newKey bool
	c := &cobra.Command{
		Use:   "gateway",
		Short: "Run the gateway agent of this node: tunnels to the gateways of the other clusters",
		Long: `Runs the gateway agent of this node. It makes WireGuard tunnels to the gateways of the other clusters and routes
to their CIDRs over the links that are up. It reports its state in this node's GatewayNode and in the RemoteClusters.

When the agent ends, its tunnels and routes stay and carry traffic; --cleanup removes them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rtnl.ExplainErrors()
			if newKey {
				return writeNewKey(cmd.OutOrStdout(), keyfile.At(keyfile.Path))
			}
			if o.cleanup {
				return agent.Cleanup(logr.NewContext(cmd.Context(), o.logger().WithName("gateway")), agent.NewKernel(), keyfile.At(keyfile.Path))
			}
			if err := o.validate(); err != nil {
				return err
			}
			return runGateway(cmd.Context(), o)
		},
	}
	o.bind(c.Flags(), ":7474", "gateway")
	c.Flags().BoolVar(&newKey, "new-key", false, "write another private key into "+keyfile.Path+", then exit; the gateway uses it from its next start")
	return c
}

// writeNewKey writes another private key into the file.
func writeNewKey(out io.Writer, file keyfile.File) error {
	key, err := wireguard.GeneratePrivateKey()
	if err != nil {
		return err
	}
	if err := file.Write(key); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s has a new private key; its public key is %s. Delete the gateway's pod now: the next one uses it.\n", file, key.Public())
	return err
}

func runGateway(ctx context.Context, o *nodeOptions) error {
	ctx = logr.NewContext(ctx, o.logger().WithName("gateway"))
	config, err := apiServer()
	if err != nil {
		return err
	}
	cluster, err := agent.NewCluster(config, o.nodeName, o.namespace)
	if err != nil {
		return err
	}
	guard, err := o.guard(config, logr.FromContextOrDiscard(ctx))
	if err != nil {
		return err
	}
	registry := newRegistry()
	a := agent.New(agent.Config{
		Client: cluster.GetClient(), Secrets: cluster.GetAPIReader(), Key: keyfile.At(keyfile.Path), Kernel: agent.NewKernel(),
		Registry: registry, Events: cluster.GetEventRecorder("tombolo-gateway"), NodeName: o.nodeName, Namespace: o.namespace,
	})
	shown := pages.Pages{Metrics: registry, Guard: guard, Healthy: a.Healthy, Ready: func() error { return cmp.Or(cluster.Ready(), a.Ready()) }}
	// The client outlives the signal: the agent says when it ends.
	connected, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	return o.run(ctx,
		func(context.Context) error { return cluster.Start(connected) },
		func(ctx context.Context) error {
			return pages.Serve(ctx, shown.Handler(), guard, o.listenAddresses()...)
		},
		func(ctx context.Context) error { return agent.WatchKernel(ctx, a.Changed) },
		func(ctx context.Context) error {
			defer disconnect()
			if err := a.Watch(ctx, cluster); err != nil {
				return err
			}
			return a.Run(ctx)
		},
	)
}
