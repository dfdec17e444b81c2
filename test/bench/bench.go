package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/test/bench/figures"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

const (
	namespace = "bench"
	exporter  = "east"
	importer  = "west"

	gatewayLabel = "clusterset.tombolo.dev/gateway"
)

// bench is the lab that is measured, and the figures so far.
type bench struct {
	shell.Shell
	figures figures.List

	self       string // path of this program: nodes see the host's files
	api        map[string]client.Client
	clientNode string // a worker of the importing cluster
	serverNode string // a worker of the exporting cluster
	gateways   map[string]string
}

func newBench(ctx context.Context) (*bench, error) {
	sh, err := shell.New()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	b := &bench{Shell: sh, self: self, api: map[string]client.Client{}, gateways: map[string]string{}}
	for _, cluster := range []string{exporter, importer} {
		if b.api[cluster], err = newClient(cluster); err != nil {
			return nil, err
		}
		gateways, err := b.Nodes(ctx, cluster, gatewayLabel+"=true")
		if err != nil {
			return nil, err
		}
		b.gateways[cluster] = gateways[0]
	}
	for cluster, node := range map[string]*string{exporter: &b.serverNode, importer: &b.clientNode} {
		workers, err := b.Nodes(ctx, cluster, "!"+gatewayLabel)
		if err != nil {
			return nil, err
		}
		*node = workers[0]
	}
	return b, nil
}

// newClient reads and writes a cluster as the lab's admin, without a limit of its own.
func newClient(cluster string) (client.Client, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(),
		&clientcmd.ConfigOverrides{CurrentContext: cluster}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig for %s: %w", cluster, err)
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), mcsv1beta1.Install(scheme), discoveryv1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// measurement is one of those that run makes.
type measurement struct {
	key, name string
	measure   func(context.Context) error
}

func (b *bench) measurements() []measurement {
	return []measurement{
		{"propagation", "propagation of 100 endpoint changes", b.propagation},
		{"first-answer", "first answers of 20 exports", b.firstAnswers},
		{"ratios", "throughput and request rate, beside a tunnel made by hand", b.ratios},
	}
}

// run measures everything, or what only names. A measurement that fails does not stop the others.
func (b *bench) run(ctx context.Context, only []string) error {
	if err := b.prepare(ctx); err != nil {
		return err
	}
	var errs error
	for _, m := range b.measurements() {
		if len(only) == 0 || slices.Contains(only, m.key) {
			errs = errors.Join(errs, m.run(ctx))
		}
	}
	return errs
}

// run says on standard error what is measured, and how it went.
func (m measurement) run(ctx context.Context) error {
	start := time.Now()
	fmt.Fprintf(os.Stderr, "measuring %s\n", m.name)
	if err := m.measure(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "  failed after %s: %v\n", time.Since(start).Round(time.Second), err)
		return fmt.Errorf("measuring %s: %w", m.name, err)
	}
	fmt.Fprintf(os.Stderr, "  done in %s\n", time.Since(start).Round(time.Second))
	return nil
}
