package clusterproperty

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/tombolo-net/tombolo/controllers/internal/requests"
)

// watcher watches properties while their kind is served. A watch of a kind that is not served would
// keep the operator from starting. It is not safe for concurrent use.
type watcher struct {
	controller controller.Controller // nil: it watches nothing
	cache      cache.Cache
	kind       schema.GroupVersionKind // what is watched; empty: nothing
}

func (w *watcher) start(kind schema.GroupVersionKind) error {
	if w.controller == nil || w.kind == kind {
		return nil
	}
	all := property(kind, "")
	if err := w.controller.Watch(source.Kind(w.cache, all, handler.TypedEnqueueRequestsFromMapFunc(
		func(ctx context.Context, _ *unstructured.Unstructured) []reconcile.Request {
			return requests.TheClusterSet(ctx, nil)
		}))); err != nil {
		return fmt.Errorf("watching ClusterProperties: %w", err)
	}
	w.kind = kind
	return nil
}

func (w *watcher) stop(ctx context.Context) error {
	if w.kind.Empty() {
		return nil
	}
	if err := w.cache.RemoveInformer(ctx, property(w.kind, "")); err != nil {
		return fmt.Errorf("ending the watch of ClusterProperties: %w", err)
	}
	w.kind = schema.GroupVersionKind{}
	return nil
}
