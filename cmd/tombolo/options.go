package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/pages"
)

// processOptions are the flags and environment that every process has.
type processOptions struct {
	namespace      string
	listenAddress  string
	profileAddress string
	secureMetrics  bool
	log            zap.Options
}

// bind adds the flags, with the default of --listen-address.
func (o *processOptions) bind(flags *pflag.FlagSet, listenAddress string) {
	flags.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "the operator's namespace; POD_NAMESPACE sets the default")
	flags.StringVar(&o.listenAddress, "listen-address", listenAddress,
		"host:port where /metrics, /healthz and /readyz are served; without a host at POD_IP and 127.0.0.1, or at all addresses if POD_IP is not set")
	flags.StringVar(&o.profileAddress, "profile-address", "",
		"loopback address where Go's profiles are served, such as 127.0.0.1:6060; empty serves none")
	flags.BoolVar(&o.secureMetrics, "secure-metrics", false,
		"speak TLS at all addresses of --listen-address but loopback ones, and serve /metrics there only to those whom the API server lets get it")
	logFlags := flag.NewFlagSet("log", flag.ContinueOnError)
	o.log.BindFlags(logFlags)
	flags.AddGoFlagSet(logFlags)
}

// validate says which flag is wrong, and what it may be.
func (o *processOptions) validate() error {
	if o.namespace == "" {
		return errors.New("--namespace is empty: set it, or POD_NAMESPACE, to the namespace that the operator runs in")
	}
	if wrong := validation.IsDNS1123Label(o.namespace); len(wrong) > 0 {
		return fmt.Errorf("--namespace %q: %s", o.namespace, wrong[0])
	}
	if err := pages.ValidateAddress(o.listenAddress); err != nil {
		return fmt.Errorf("--listen-address %q: %w", o.listenAddress, err)
	}
	return validateLoopback("--profile-address", o.profileAddress)
}

// validateLoopback says what is wrong with the address of a flag that may be empty. Profiles show
// what is in memory, tokens too.
func validateLoopback(flag, address string) error {
	if address == "" {
		return nil
	}
	if err := pages.ValidateLoopback(address); err != nil {
		return fmt.Errorf("%s %q: %w", flag, address, err)
	}
	return nil
}

// listenAddresses are where the pages are served.
func (o *processOptions) listenAddresses() []string {
	return pages.Addresses(o.listenAddress, os.Getenv("POD_IP"))
}

// guard decides who sees metrics: nil, and everybody does, unless --secure-metrics is set.
func (o *processOptions) guard(api *rest.Config, log logr.Logger) (*pages.Guard, error) {
	if !o.secureMetrics {
		return nil, nil
	}
	return pages.NewGuard(api, log.WithName("pages"))
}

// logger makes the log of this process, which the libraries use, too.
func (o *processOptions) logger() logr.Logger {
	logger := zap.New(zap.UseFlagOptions(&o.log))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	return logger
}

// run runs the tasks, and serves profiles, until ctx ends or one of them fails.
func (o *processOptions) run(ctx context.Context, tasks ...func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	if o.profileAddress != "" {
		group.Go(func() error { return pages.Serve(ctx, pages.Profiles(), nil, o.profileAddress) })
	}
	for _, task := range tasks {
		group.Go(func() error { return task(ctx) })
	}
	return group.Wait()
}

// nodeOptions are the flags and environment that the agents of a node have.
type nodeOptions struct {
	processOptions
	nodeName string
	cleanup  bool
}

// bind adds the flags, with the default of --listen-address, and what --help calls the agent.
func (o *nodeOptions) bind(flags *pflag.FlagSet, listenAddress, agent string) {
	o.processOptions.bind(flags, listenAddress)
	if o.namespace == "" {
		o.namespace = v1alpha1.DefaultNamespace
	}
	flags.Lookup("namespace").DefValue = o.namespace
	flags.StringVar(&o.nodeName, "node-name", os.Getenv("NODE_NAME"), "the name of this node; NODE_NAME sets the default")
	flags.BoolVar(&o.cleanup, "cleanup", false, "remove everything that the "+agent+" made on this node, then exit")
}

func (o *nodeOptions) validate() error {
	if o.nodeName == "" {
		return errors.New("--node-name or NODE_NAME must be the name of this node")
	}
	return o.processOptions.validate()
}

// apiServer finds this cluster's API server.
func apiServer() (*rest.Config, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("finding this cluster's API server (run in a pod, or set KUBECONFIG): %w", err)
	}
	return config, nil
}

// newRegistry returns a registry with the metrics of Go and of this process.
func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}
