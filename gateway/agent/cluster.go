package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// watchRetry is how long to wait before a watch that could not be set up is tried again.
const watchRetry = 5 * time.Second

// NewCluster returns the client of this cluster, with caches of what a gateway watches: its own Node and GatewayNode,
// the ClusterSet, the RemoteClusters. It does not connect yet.
func NewCluster(restConfig *rest.Config, nodeName, namespace string) (cluster.Cluster, error) {
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	restConfig = rest.CopyConfig(restConfig)
	restConfig.QPS = -1 // the API server's own fairness decides
	own := fields.OneTermEqualSelector("metadata.name", nodeName)
	c, err := cluster.New(restConfig, func(o *cluster.Options) {
		o.Scheme = scheme
		o.Cache.ByObject = map[client.Object]cache.ByObject{
			&corev1.Node{}:          {Field: own},
			&v1alpha1.GatewayNode{}: {Field: own, Namespaces: map[string]cache.Config{namespace: {}}},
		}
	})
	if err != nil {
		return nil, fmt.Errorf("making a client of this cluster: %w", err)
	}
	return c, nil
}

// Watch makes changes of what the gateway watches call changed, and returns when the caches are filled, or ctx ends. An
// API server that does not answer, or does not know the kinds yet, is waited for.
func Watch(ctx context.Context, c cache.Cache, changed func()) {
	on := toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { changed() },
		UpdateFunc: func(_, _ any) { changed() },
		DeleteFunc: func(any) { changed() },
	}
	kinds := []client.Object{&corev1.Node{}, &v1alpha1.GatewayNode{}, &v1alpha1.ClusterSet{}, &v1alpha1.RemoteCluster{}}
	for _, kind := range kinds {
		for {
			err := watch(ctx, c, kind, on)
			if err == nil {
				break
			}
			logr.FromContextOrDiscard(ctx).Error(err, "cannot watch, will be tried again", "kind", fmt.Sprintf("%T", kind))
			select {
			case <-ctx.Done():
				return
			case <-time.After(watchRetry):
			}
		}
	}
}

func watch(ctx context.Context, c cache.Cache, kind client.Object, on toolscache.ResourceEventHandler) error {
	informer, err := c.GetInformer(ctx, kind)
	if err != nil {
		return fmt.Errorf("getting the informer of %T: %w", kind, err)
	}
	if _, err := informer.AddEventHandler(on); err != nil {
		return fmt.Errorf("watching %T: %w", kind, err)
	}
	return nil
}
