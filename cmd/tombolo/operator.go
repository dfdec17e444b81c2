package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/controllers/dns"
	"github.com/tombolo-net/tombolo/controllers/operator"
)

func newOperatorCommand() *cobra.Command {
	o := &processOptions{}
	c := &cobra.Command{
		Use:   "operator",
		Short: "Export, import and merge Services through the hub",
		Long: `Runs the operator of this cluster. It exports Services to the hub, imports the Services of the other clusters,
and merges what the clusters of a clusterset say about the same Service.

Several operators may run in one cluster: a Lease decides which one works, and the others stand by.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return runOperator(cmd.Context(), o)
		},
	}
	o.bind(c.Flags(), ":7473")
	return c
}

func runOperator(ctx context.Context, o *processOptions) error {
	logger := o.logger()
	config, err := apiServer()
	if err != nil {
		return err
	}
	guard, err := o.guard(config, logger)
	if err != nil {
		return err
	}
	c := operator.Config{REST: config, Namespace: o.namespace, ListenAddresses: o.listenAddresses(), Guard: guard, Logger: logger}
	if inPod() {
		c.AskDNS = dns.Ask
	}
	mgr, err := operator.New(ctx, c)
	if err != nil {
		return err
	}
	return o.run(ctx, mgr.Start)
}

// inPod reports whether the process runs in a pod of the cluster, from where Services can be reached.
func inPod() bool { return os.Getenv("KUBERNETES_SERVICE_HOST") != "" }
