package exchange

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// ownCache is the cache of one member of many that live in one API server, each in a namespace of
// it. Of the ClusterSet and the hub's Secret a cluster has one, so those come from here, and all
// else from the API server.
type ownCache struct {
	cache.Cache
	set    *v1alpha1.ClusterSet
	secret *corev1.Secret
}

// Get answers from the API server's cache, except for the two.
func (c *ownCache) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	switch into := obj.(type) {
	case *v1alpha1.ClusterSet:
		if key.Name != c.set.Name {
			return apierrors.NewNotFound(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "clustersets"}, key.Name)
		}
		c.set.DeepCopyInto(into)
		return nil
	case *corev1.Secret:
		if key != client.ObjectKeyFromObject(c.secret) {
			return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
		}
		c.secret.DeepCopyInto(into)
		return nil
	}
	return c.Cache.Get(ctx, key, obj, opts...)
}

// GetInformer reports the two once: they never change.
func (c *ownCache) GetInformer(ctx context.Context, obj client.Object, opts ...cache.InformerGetOption) (cache.Informer, error) {
	switch obj.(type) {
	case *v1alpha1.ClusterSet:
		return still{of: c.set.DeepCopy()}, nil
	case *corev1.Secret:
		return still{of: c.secret.DeepCopy()}, nil
	}
	return c.Cache.GetInformer(ctx, obj, opts...)
}

// still is an informer of one object that never changes. It has only the methods that are called.
type still struct {
	cache.Informer
	of client.Object
}

// AddEventHandler reports the object at once.
func (s still) AddEventHandler(handler toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	handler.OnAdd(s.of, true)
	return complete{}, nil
}

// AddEventHandlerWithOptions is AddEventHandler.
func (s still) AddEventHandlerWithOptions(handler toolscache.ResourceEventHandler, _ toolscache.HandlerOptions) (toolscache.ResourceEventHandlerRegistration, error) {
	return s.AddEventHandler(handler)
}

// HasSynced returns true: there is nothing to wait for.
func (still) HasSynced() bool { return true }

// complete is the registration of a handler that has seen everything.
type complete struct {
	toolscache.ResourceEventHandlerRegistration
}

// HasSynced returns true: there is nothing to wait for.
func (complete) HasSynced() bool { return true }
