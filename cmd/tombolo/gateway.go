package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/agent"
)

// gatewayOptions are the flags and environment of `tombolo gateway`.
type gatewayOptions struct {
	nodeName  string
	namespace string
	address   string
	cleanup   bool
}

func newGatewayCommand() *cobra.Command {
	o := gatewayOptions{nodeName: os.Getenv("NODE_NAME"), namespace: os.Getenv("POD_NAMESPACE")}
	if o.namespace == "" {
		o.namespace = v1alpha1.DefaultNamespace
	}
	c := &cobra.Command{
		Use:   "gateway",
		Short: "Run the gateway agent of this node: tunnels to the gateways of the other clusters",
		Long: `Runs the gateway agent of this node. It makes WireGuard tunnels to the gateways of the other clusters, routes to
their CIDRs over the links that are up, and says in GatewayNode and RemoteCluster how they are.

When it ends, tunnels and routes stay as they are and carry on; --cleanup removes them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	c.Flags().StringVar(&o.nodeName, "node-name", o.nodeName, "the name of this node (default: $NODE_NAME)")
	c.Flags().StringVar(&o.namespace, "namespace", o.namespace, "the operator's namespace (default: $POD_NAMESPACE)")
	c.Flags().StringVar(&o.address, "address", ":7474", "where /metrics, /healthz and /readyz are served")
	c.Flags().BoolVar(&o.cleanup, "cleanup", false, "remove from this node all that the gateway has made, and end")
	return c
}

func (o gatewayOptions) validate() error {
	if o.cleanup {
		return nil
	}
	if o.nodeName == "" {
		return errors.New("--node-name or NODE_NAME must be the name of this node")
	}
	if _, _, err := net.SplitHostPort(o.address); err != nil {
		return fmt.Errorf("--address %q: want host:port or :port: %w", o.address, err)
	}
	return nil
}

func (o gatewayOptions) run(ctx context.Context) error {
	log := klog.NewKlogr().WithName("gateway")
	ctrl.SetLogger(log)
	ctx = logr.NewContext(ctx, log)
	node := agent.NewNode()
	if o.cleanup {
		return agent.Cleanup(ctx, node)
	}
	restConfig, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding this cluster's API server: %w", err)
	}
	cluster, err := agent.NewCluster(restConfig, o.nodeName, o.namespace)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a := agent.New(agent.Config{
		Client: cluster.GetClient(), Secrets: cluster.GetAPIReader(), Kernel: node,
		Metrics: agent.NewMetrics(registry), NodeName: o.nodeName, Namespace: o.namespace,
	})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return cluster.Start(ctx) })
	group.Go(func() error { return pages{metrics: registry, ready: a.Ready}.serve(ctx, o.address) })
	group.Go(func() error { return agent.WatchKernel(ctx, a.Changed) })
	group.Go(func() error {
		agent.Watch(ctx, cluster.GetCache(), a.Changed)
		return a.Run(ctx)
	})
	return group.Wait()
}
