//go:build integration

// Package running runs the operator, or one of its controllers, in a cluster of test/harness/members
// until a test ends. It does so with the operator's own rights.
package running

import (
	"context"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/operator"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// Operator runs the cluster's operator until the test ends.
func Operator(t *testing.T, c *members.Cluster) {
	t.Helper()
	run(t, func(ctx context.Context) (ctrl.Manager, error) {
		return operator.New(ctx, operator.Config{
			REST: c.OperatorConfig(), Namespace: v1alpha1.DefaultNamespace, Logger: testr.New(t), Registry: prometheus.NewRegistry(),
		})
	})
}

// Controller runs what setUp adds to a manager like the operator's until the test ends.
func Controller(t *testing.T, c *members.Cluster, options config.Controller, setUp func(context.Context, ctrl.Manager) error) {
	t.Helper()
	options.SkipNameValidation = ptr.To(true) // each test has controllers of the same names
	run(t, func(ctx context.Context) (ctrl.Manager, error) {
		mgr, err := ctrl.NewManager(c.OperatorConfig(), ctrl.Options{
			Scheme: operator.NewScheme(), Cache: operator.CacheOptions(v1alpha1.DefaultNamespace), Logger: testr.New(t),
			Controller: options, Metrics: metricsserver.Options{BindAddress: "0"},
		})
		if err != nil {
			return nil, err
		}
		return mgr, setUp(ctx, mgr)
	})
}

func run(t *testing.T, prepare func(context.Context) (ctrl.Manager, error)) {
	t.Helper()
	ctx, cancel := context.WithCancel(logr.NewContext(context.Background(), testr.New(t)))
	mgr, err := prepare(ctx)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the manager: %v", err)
		}
	})
}
