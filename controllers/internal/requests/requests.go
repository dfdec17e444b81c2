// Package requests owns which events become the requests of a controller, and how, as far as several
// controllers do it the same way. What wakes a controller is in its own watches.go.
package requests

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Named is the one request for an object without a namespace.
func Named(name string) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: name}}}
}

// For is the one request for namespace/name, none if either is empty.
func For(namespace, name string) []reconcile.Request {
	if namespace == "" || name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: namespace, Name: name}}}
}

// TheClusterSet maps every event to this cluster's one ClusterSet.
func TheClusterSet(context.Context, client.Object) []reconcile.Request {
	return Named(v1alpha1.ClusterSetName)
}

// List returns a request for each object that the reader lists. It logs an error, and then returns
// none: the next event, or the next resync of the cache, asks again.
func List(ctx context.Context, reader client.Reader, list client.ObjectList, options ...client.ListOption) []reconcile.Request {
	return Map(ctx, reader, list, itself, options...)
}

// Map returns the requests that each object in the list is mapped to. The mapping must not change
// the object, which is the cache's own. An error is logged, as in List.
func Map(ctx context.Context, reader client.Reader, list client.ObjectList,
	requests func(context.Context, client.Object) []reconcile.Request, options ...client.ListOption) []reconcile.Request {
	if err := reader.List(ctx, list, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		logf.FromContext(ctx).Error(err, "cannot list what an event concerns", "list", fmt.Sprintf("%T", list))
		return nil
	}
	all := make([]reconcile.Request, 0, meta.LenList(list))
	_ = meta.EachListItem(list, func(item runtime.Object) error { // its only errors are those of this function
		all = append(all, requests(ctx, item.(client.Object))...)
		return nil
	})
	return all
}

func itself(_ context.Context, obj client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(obj)}}
}

// Index makes the cache find objects of the kind by fields.
func Index(ctx context.Context, indexer client.FieldIndexer, kind client.Object, fields map[string]client.IndexerFunc) error {
	for field, values := range fields {
		if err := indexer.IndexField(ctx, kind, field, values); err != nil {
			return fmt.Errorf("indexing %T by %s: %w", kind, field, err)
		}
	}
	return nil
}
