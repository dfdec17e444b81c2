//go:build integration

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/operator"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// startReplica runs an operator until it is stopped, at the latest when the test ends.
func startReplica(t *testing.T, name string, config *rest.Config, addresses ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := operator.New(ctx, operator.Config{Registry: prometheus.NewRegistry(), REST: config, Namespace: v1alpha1.DefaultNamespace,
		ListenAddresses: addresses, Logger: testr.New(t).WithName(name)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx); close(done) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the %s operator: %v", name, err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// holder is who has the Lease of the cluster's operators, and nobody if it was given back.
func holder(t *testing.T, c *members.Cluster) string {
	t.Helper()
	lease := &coordinationv1.Lease{}
	err := c.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultNamespace, Name: "tombolo-operator"}, lease)
	if err != nil || lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// TestStandby: the second of two operators is healthy and ready, asks for no write but of the Lease,
// and takes over at once when the first one ends.
func TestStandby(t *testing.T) {
	north := clusters["north"]
	stopFirst := startReplica(t, "first", north.OperatorConfig())
	members.Eventually(t, func() error {
		if holder(t, north) == "" {
			return errors.New("nobody leads")
		}
		return nil
	})
	first := holder(t, north)
	gate, config := members.NewOwnGate(t, north)
	address := freeAddress(t)
	startReplica(t, "second", config, address)
	for _, path := range []string{"/healthz", "/readyz"} {
		members.Eventually(t, func() error {
			response, err := http.Get("http://" + address + path)
			if err != nil {
				return err
			}
			if response.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s answers %s", path, response.Status)
			}
			return errors.Join(err, response.Body.Close())
		})
	}
	time.Sleep(3 * time.Second) // longer than controllers take to start
	if writes := gate.Writes(); len(writes) > 0 {
		t.Errorf("the standby asked for writes: %v", writes)
	}
	if now := holder(t, north); now != first {
		t.Errorf("the Lease went from %s to %s", first, now)
	}
	stopFirst()
	began := time.Now()
	members.Eventually(t, func() error {
		if now := holder(t, north); now == "" || now == first {
			return fmt.Errorf("%q leads", now)
		}
		return nil
	})
	t.Logf("the standby took over after %s", time.Since(began))
}
