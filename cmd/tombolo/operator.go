package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/tombolo-net/tombolo/controllers/operator"
)

// operatorOptions are the flags of `tombolo operator`.
type operatorOptions struct {
	namespace     string
	listenAddress string
	profile       string
	log           zap.Options
}

func newOperatorCommand() *cobra.Command {
	o := operatorOptions{}
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Export, import and merge Services through the hub; one active per cluster",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"),
		"namespace that the operator runs in (default $POD_NAMESPACE)")
	cmd.Flags().StringVar(&o.listenAddress, "listen-address", ":7473", "address of /healthz, /readyz and /metrics")
	cmd.Flags().StringVar(&o.profile, "profile-address", "",
		"loopback address of Go's profiles, as 127.0.0.1:6060 (default none are served)")
	flags := flag.NewFlagSet("log", flag.ContinueOnError)
	o.log.BindFlags(flags)
	cmd.Flags().AddGoFlagSet(flags)
	return cmd
}

// Validate says which flag is wrong, and what it may be.
func (o operatorOptions) Validate() error {
	if o.namespace == "" {
		return errors.New("--namespace is empty: set it, or POD_NAMESPACE, to the namespace that the operator runs in")
	}
	if wrong := validation.IsDNS1123Label(o.namespace); len(wrong) > 0 {
		return fmt.Errorf("--namespace %q: %s", o.namespace, wrong[0])
	}
	if err := validateProfileAddress(o.profile); err != nil {
		return err
	}
	return operator.ValidateAddress(o.listenAddress)
}

// validateProfileAddress keeps profiles, which show memory, from leaving the pod.
func validateProfileAddress(address string) error {
	if address == "" {
		return nil
	}
	if a, err := netip.ParseAddrPort(address); err != nil || !a.Addr().IsLoopback() {
		return fmt.Errorf("--profile-address %q: want an address of the loopback with a port, as 127.0.0.1:6060", address)
	}
	return nil
}

func (o operatorOptions) run(ctx context.Context) error {
	logger := zap.New(zap.UseFlagOptions(&o.log))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster (run in a pod, or set KUBECONFIG): %w", err)
	}
	mgr, err := operator.New(ctx, operator.Config{
		REST: config, Namespace: o.namespace, ListenAddress: o.listenAddress, ProfileAddress: o.profile, Logger: logger,
	})
	if err != nil {
		return err
	}
	return mgr.Start(ctx)
}
