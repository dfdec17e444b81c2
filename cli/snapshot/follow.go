package snapshot

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// pause is how long changes are collected before they are shown.
const pause = 300 * time.Millisecond

// Follow calls show with what the clusters hold, and again after changes, until show returns done or
// an error, or ctx ends. It watches; the kinds must be served.
func Follow(ctx context.Context, clusters []*access.Cluster, show func([]topology.Snapshot) (done bool, err error)) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	changed := make(chan struct{}, 1)
	caches := make([]cache.Cache, 0, len(clusters))
	for _, c := range clusters {
		watching, err := watch(ctx, c, changed)
		if err != nil {
			return fmt.Errorf("watching the cluster of context %q: %w", c.Context, err)
		}
		caches = append(caches, watching)
	}
	for {
		snapshots := make([]topology.Snapshot, 0, len(clusters))
		for i, c := range clusters {
			snapshots = append(snapshots, Read(ctx, caches[i], c.Context))
		}
		if done, err := show(snapshots); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		select { // what came during the pause is shown now
		case <-changed:
		default:
		}
	}
}

// watch keeps what the picture is made of in a cache, and sends on changed after each change.
func watch(ctx context.Context, c *access.Cluster, changed chan<- struct{}) (cache.Cache, error) {
	imported := labels.SelectorFromSet(labels.Set(ImportedSlices))
	operator := labels.SelectorFromSet(labels.Set{"app.kubernetes.io/name": OperatorName})
	watching, err := cache.New(c.Config, cache.Options{Scheme: c.Scheme(), DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{&discoveryv1.EndpointSlice{}: {Label: imported}, &appsv1.Deployment{}: {Label: operator}}})
	if err != nil {
		return nil, err
	}
	mark := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	for _, object := range []client.Object{&v1alpha1.ClusterSet{}, &v1alpha1.RemoteCluster{}, &v1alpha1.GatewayNode{}, &v1alpha1.TrafficPolicy{},
		&v1alpha1.ExportPolicy{}, &mcsv1beta1.ServiceExport{}, &mcsv1beta1.ServiceImport{}, &discoveryv1.EndpointSlice{}, &corev1.Node{}, &appsv1.Deployment{}} {
		informer, err := watching.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, err
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { mark() }, UpdateFunc: func(any, any) { mark() }, DeleteFunc: func(any) { mark() },
		}); err != nil {
			return nil, err
		}
	}
	go func() { _ = watching.Start(ctx) }() // it returns when ctx ends, and only then
	if !watching.WaitForCacheSync(ctx) {
		return nil, ctx.Err()
	}
	return watching, nil
}
