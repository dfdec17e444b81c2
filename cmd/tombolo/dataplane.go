package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/agent"
)

// dataplaneOptions are the flags and environment of `tombolo dataplane`.
type dataplaneOptions struct {
	nodeName  string
	namespace string
	address   string
	debug     string
	kubeProxy string
	profile   string
	prepare   bool
	cleanup   bool
}

func newDataplaneCommand() *cobra.Command {
	o := dataplaneOptions{nodeName: os.Getenv("NODE_NAME"), namespace: os.Getenv("POD_NAMESPACE")}
	if o.namespace == "" {
		o.namespace = v1alpha1.DefaultNamespace
	}
	c := &cobra.Command{
		Use:   "dataplane",
		Short: "Run the dataplane agent of this node: clusterset IPs, and routes to the gateways",
		Long: `Runs the dataplane agent of this node. It makes the kernel serve the clusterset IPs of all ServiceImports and
leads packets for other clusters to a gateway, and says in a condition of the Node how that is.

When it ends, the kernel stays as it is and carries on; --cleanup removes what it has made.`,
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
	c.Flags().StringVar(&o.address, "address", ":7475", "where /metrics, /healthz and /readyz are served")
	c.Flags().StringVar(&o.debug, "debug-address", "127.0.0.1:7476", "where /explain/<namespace>/<name> says where flows to an imported Service go, and why; empty for nowhere")
	c.Flags().StringVar(&o.kubeProxy, "kube-proxy-address", agent.DefaultKubeProxy, "where this node's kube-proxy serves its metrics")
	c.Flags().StringVar(&o.profile, "profile-address", "",
		"loopback address of Go's profiles, as 127.0.0.1:6060 (default none are served)")
	c.Flags().BoolVar(&o.prepare, "init", false, "load kernel modules and set sysctls, which needs privileges, and end")
	c.Flags().BoolVar(&o.cleanup, "cleanup", false, "remove from this node all that the dataplane has made, and end")
	c.MarkFlagsMutuallyExclusive("init", "cleanup")
	return c
}

func (o dataplaneOptions) validate() error {
	if o.cleanup || o.prepare {
		return nil
	}
	if o.nodeName == "" {
		return errors.New("--node-name or NODE_NAME must be the name of this node")
	}
	for flag, address := range map[string]string{"--address": o.address, "--kube-proxy-address": o.kubeProxy} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fmt.Errorf("%s %q: want host:port or :port: %w", flag, address, err)
		}
	}
	if err := validateProfileAddress(o.profile); err != nil {
		return err
	}
	if o.debug == "" {
		return nil
	}
	if address, err := netip.ParseAddrPort(o.debug); err != nil || !address.Addr().IsLoopback() {
		return fmt.Errorf("--debug-address %q: want a loopback address and a port, such as 127.0.0.1:7476: it shows endpoints to whoever asks", o.debug)
	}
	return nil
}

func (o dataplaneOptions) run(ctx context.Context) error {
	log := klog.NewKlogr().WithName("dataplane")
	ctrl.SetLogger(log)
	ctx = logr.NewContext(ctx, log)
	switch {
	case o.cleanup:
		return agent.Cleanup(ctx)
	case o.prepare:
		return agent.Prepare(ctx)
	}
	restConfig, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding this cluster's API server: %w", err)
	}
	cluster, err := agent.NewCluster(restConfig, o.namespace)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a := agent.New(agent.Config{
		Client: cluster.GetClient(), NodeName: o.nodeName, Namespace: o.namespace,
		Metrics: agent.NewMetrics(registry), KubeProxy: agent.KubeProxy{Address: o.kubeProxy},
		Events: cluster.GetEventRecorder("tombolo-dataplane"),
	})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return cluster.Start(ctx) })
	group.Go(func() error {
		return pages{metrics: registry, healthy: a.Healthy, ready: a.Ready}.serve(ctx, o.address)
	})
	if o.debug != "" {
		group.Go(func() error { return serveHTTP(ctx, o.debug, a.DebugHandler()) })
	}
	if o.profile != "" {
		group.Go(func() error { return serveHTTP(ctx, o.profile, profiles()) })
	}
	group.Go(func() error { return a.Watch(ctx, cluster) })
	group.Go(func() error { return a.Run(ctx) })
	return group.Wait()
}
