package agent

import (
	"context"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
)

// NewCluster returns the client of this cluster, with caches of what a gateway watches: its own
// Node, the GatewayNodes, the ClusterSet, the RemoteClusters. It does not connect yet.
func NewCluster(config *rest.Config, nodeName, namespace string) (*node.Cluster, error) {
	own := fields.OneTermEqualSelector("metadata.name", nodeName)
	return node.NewCluster(node.ClusterConfig{
		REST:        config,
		AddToScheme: []func(*runtime.Scheme) error{corev1.AddToScheme, coordinationv1.AddToScheme, v1alpha1.AddToScheme},
		Kinds: []node.Kind{
			{Object: &corev1.Node{}, Scope: meta.RESTScopeRoot},
			{Object: &v1alpha1.ClusterSet{}, Scope: meta.RESTScopeRoot},
			{Object: &v1alpha1.GatewayNode{}, Scope: meta.RESTScopeNamespace},
			{Object: &v1alpha1.RemoteCluster{}, Scope: meta.RESTScopeRoot},
			{Object: &corev1.Secret{}, Scope: meta.RESTScopeNamespace, Unwatched: true},
			{Object: &coordinationv1.Lease{}, Scope: meta.RESTScopeNamespace, Unwatched: true},
		},
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&corev1.Node{}:          {Field: own},
			&v1alpha1.GatewayNode{}: {Namespaces: map[string]cache.Config{namespace: {}}},
		}},
	})
}

// Watch makes each change of what the gateway watches mark both loops. It returns when the caches
// are filled, or ctx ends; it waits for an API server that does not answer, or does not serve the
// kinds yet.
func (a *Agent) Watch(ctx context.Context, c *node.Cluster) error {
	return c.Watch(ctx, node.OnEvent(func(client.Object) { a.Changed() }, a.sameSibling))
}

// sameSibling reports whether two versions of another gateway's GatewayNode are the same to this
// gateway: heartbeats and conditions are not its concern.
func (a *Agent) sameSibling(before, after client.Object) bool {
	old, ok := before.(*v1alpha1.GatewayNode)
	now, also := after.(*v1alpha1.GatewayNode)
	return ok && also && now.Name != a.cfg.NodeName && equality.Semantic.DeepEqual(old.Spec, now.Spec) &&
		equality.Semantic.DeepEqual(old.Status.Lane, now.Status.Lane) && old.DeletionTimestamp.Equal(now.DeletionTimestamp)
}
