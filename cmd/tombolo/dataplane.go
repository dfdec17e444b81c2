package main

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/dataplane/agent"
	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/pages"
)

// dataplaneOptions are the flags and environment of `tombolo dataplane`.
type dataplaneOptions struct {
	nodeOptions
	debugAddress string
	kubeProxy    string
	prepare      bool
}

func newDataplaneCommand() *cobra.Command {
	o := &dataplaneOptions{}
	c := &cobra.Command{
		Use:   "dataplane",
		Short: "Run the dataplane agent of this node: clusterset IPs, and routes to the gateways",
		Long: `Runs the dataplane agent of this node. It makes the kernel serve the clusterset IPs of all ServiceImports and
routes packets for other clusters to a gateway. It reports its state in a condition of the Node.

When the agent ends, the kernel goes on serving; --cleanup removes what the agent made.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rtnl.ExplainErrors()
			switch {
			case o.cleanup:
				return agent.Cleanup(o.newContext(cmd.Context()))
			case o.prepare:
				return agent.Prepare(o.newContext(cmd.Context()))
			}
			if err := o.validate(); err != nil {
				return err
			}
			return o.run(o.newContext(cmd.Context()))
		},
	}
	o.bind(c.Flags(), ":7475", "dataplane")
	c.Flags().StringVar(&o.debugAddress, "debug-address", debugAddress,
		"loopback address where /explain/<namespace>/<name> says where flows to an imported Service go, and why; empty serves nothing")
	c.Flags().StringVar(&o.kubeProxy, "kube-proxy-address", backend.DefaultKubeProxy, "host:port where this node's kube-proxy serves its metrics")
	c.Flags().BoolVar(&o.prepare, "init", false, "load kernel modules and set sysctls, then exit; this needs a privileged container")
	c.MarkFlagsMutuallyExclusive("init", "cleanup")
	return c
}

func (o *dataplaneOptions) validate() error {
	if err := o.nodeOptions.validate(); err != nil {
		return err
	}
	if err := pages.ValidateAddress(o.kubeProxy); err != nil {
		return fmt.Errorf("--kube-proxy-address %q: %w", o.kubeProxy, err)
	}
	return validateLoopback("--debug-address", o.debugAddress)
}

// newContext returns ctx with the agent's log.
func (o *dataplaneOptions) newContext(ctx context.Context) context.Context {
	return logr.NewContext(ctx, o.logger().WithName("dataplane"))
}

func (o *dataplaneOptions) run(ctx context.Context) error {
	config, err := apiServer()
	if err != nil {
		return err
	}
	cluster, err := agent.NewCluster(config, o.namespace)
	if err != nil {
		return err
	}
	guard, err := o.guard(config, logr.FromContextOrDiscard(ctx))
	if err != nil {
		return err
	}
	registry := newRegistry()
	a := agent.New(agent.Config{
		Client: cluster.GetClient(), NodeName: o.nodeName, Namespace: o.namespace,
		Metrics: agent.NewMetrics(registry), KubeProxy: o.kubeProxy,
		Events: cluster.GetEventRecorder("tombolo-dataplane"),
	})
	shown := pages.Pages{Metrics: registry, Guard: guard, Healthy: a.Healthy, Ready: a.Ready}
	return o.nodeOptions.run(ctx,
		cluster.Start,
		func(ctx context.Context) error {
			return pages.Serve(ctx, shown.Handler(), guard, o.listenAddresses()...)
		},
		func(ctx context.Context) error {
			if o.debugAddress == "" {
				return nil
			}
			return pages.Serve(ctx, a.DebugHandler(), nil, o.debugAddress)
		},
		func(ctx context.Context) error { return a.Watch(ctx, cluster) },
		a.Run,
	)
}
