package clusterproperty

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
)

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,resourceNames=clusterproperties.about.k8s.io,verbs=get;list;watch
// +kubebuilder:rbac:groups=about.k8s.io,resources=clusterproperties,verbs=list;watch
// +kubebuilder:rbac:groups=about.k8s.io,resources=clusterproperties,resourceNames=cluster.clusterset.k8s.io;clusterset.k8s.io,verbs=get;create;patch;delete

// CacheObjects say what the operator's cache holds for this package: of the CRDs the one that it may read.
func CacheObjects() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		crdMetadata(): {Field: fields.OneTermEqualSelector("metadata.name", crdName)},
	}
}

// SetUp adds the controller to the manager, whose cache must be that of CacheObjects.
func (r *Reconciler) SetUp(mgr ctrl.Manager) error {
	made, err := ctrl.NewControllerManagedBy(mgr).
		Named("about").
		WithOptions(retry.Options(1)).
		For(&v1alpha1.ClusterSet{}).
		WatchesMetadata(crdMetadata(), handler.EnqueueRequestsFromMapFunc(theOne)).
		WatchesRawSource(r.Hub.OnChange(func(ctx context.Context) []reconcile.Request { return theOne(ctx, nil) })).
		Build(r)
	r.watch = watcher{controller: made, cache: mgr.GetCache()}
	return err
}

func theOne(context.Context, client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: v1alpha1.ClusterSetName}}}
}

// watcher watches properties while their kind is served: a watch of a kind that is not there would keep the operator
// from starting. It is not safe for concurrent use.
type watcher struct {
	controller controller.Controller // nil: watches nothing
	cache      cache.Cache
	kind       schema.GroupVersionKind // what is watched; empty: nothing
}

func (w *watcher) start(kind schema.GroupVersionKind) error {
	if w.controller == nil || w.kind == kind {
		return nil
	}
	all := property(kind, "")
	if err := w.controller.Watch(source.Kind(w.cache, all, handler.TypedEnqueueRequestsFromMapFunc(
		func(ctx context.Context, _ *unstructured.Unstructured) []reconcile.Request { return theOne(ctx, nil) }))); err != nil {
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
