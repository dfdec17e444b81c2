//go:build integration

package controlplane

import (
	"context"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func TestStart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	started := time.Now()
	cp, err := Start(ctx, Config{Clusters: []ClusterConfig{
		{Name: "east"}, {Name: "west"}, {Name: "hub", Controllers: HubControllers()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer cp.Stop()
	t.Logf("ready after %v", time.Since(started))
	for _, c := range cp.Clusters() {
		client := kubernetes.NewForConfigOrDie(c.RESTConfig())
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "only-in-" + c.Name()}}
		if _, err := client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
			t.Errorf("cluster %s: %v", c.Name(), err)
		}
	}
	restart(ctx, t, cp.Cluster("west"))
	waitForAccount(ctx, t, kubernetes.NewForConfigOrDie(cp.Cluster("hub").RESTConfig()), "only-in-hub")
	stopping := time.Now()
	if err := cp.Stop(); err != nil {
		t.Error(err)
	}
	t.Logf("stopped after %v", time.Since(stopping))
	if _, err := os.Stat(cp.Dir()); !os.IsNotExist(err) {
		t.Errorf("folder %s is still there: %v", cp.Dir(), err)
	}
}

// restart stops an API server and starts it again: it has what it knew.
func restart(ctx context.Context, t *testing.T, c *Cluster) {
	t.Helper()
	client := kubernetes.NewForConfigOrDie(c.RESTConfig())
	for range 2 {
		c.StopAPIServer()
	}
	if _, err := client.CoreV1().Namespaces().Get(ctx, "only-in-west", metav1.GetOptions{}); err == nil {
		t.Error("it answers though it was stopped")
	}
	for range 2 {
		if err := c.StartAPIServer(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.CoreV1().Namespaces().Get(ctx, "only-in-west", metav1.GetOptions{}); err != nil {
		t.Errorf("after it was started again: %v", err)
	}
}

// waitForAccount waits until the hub's controllers have given the namespace its ServiceAccount.
func waitForAccount(ctx context.Context, t *testing.T, client kubernetes.Interface, namespace string) {
	t.Helper()
	for {
		_, err := client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
