// Package optionalkind owns how a controller works with a kind whose CRD others install: before the
// operator starts, later, or never. It tells whether the kind is served, and watches its objects
// only then. A watch of a kind that is not served, or that the operator's role does not know yet,
// would keep the operator from starting. It reads and writes no object itself.
package optionalkind

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
)

// recheck is how soon we ask again while it is not known whether the kind is served.
const recheck = time.Second

// Kind is a kind that the API server may serve or not.
type Kind struct {
	CRD       string           // required, the name of its CRD, which the operator may get, list and watch
	GroupKind schema.GroupKind // required
	Versions  []string         // required, those that the controller knows, best first
	Namespace string           // optional, the one whose objects are cached; default all
}

// Watch follows a kind for one controller. Only that controller's reconciles, one at a time, may
// call State.
type Watch struct {
	kind       Kind
	mapper     meta.RESTMapper
	cache      cache.Cache
	controller controller.Controller // Bind sets it
	requests   handler.MapFunc       // Bind sets it
	watchesCRD bool
	watched    schema.GroupVersionKind // empty: nothing
}

// State is how the API server serves a kind.
type State struct {
	// Kind is the version to use. It is empty if the kind is not served.
	Kind schema.GroupVersionKind
	// Recheck is zero, or after what time to ask again: whether the kind is served is not known yet,
	// and nothing should be changed.
	Recheck time.Duration
}

// New returns a Watch with a cache of its own, which the manager runs. It holds the metadata of that
// one CRD, and the kind's objects while they are watched.
func New(mgr ctrl.Manager, kind Kind) (*Watch, error) {
	options := cache.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient(),
		ByObject: map[client.Object]cache.ByObject{
			crdMetadata(): {Field: fields.OneTermEqualSelector("metadata.name", kind.CRD)},
		},
	}
	if kind.Namespace != "" {
		options.DefaultNamespaces = map[string]cache.Config{kind.Namespace: {}}
	}
	made, err := cache.New(mgr.GetConfig(), options)
	if err != nil {
		return nil, fmt.Errorf("preparing the cache of %s: %w", kind.CRD, err)
	}
	return &Watch{kind: kind, mapper: mgr.GetRESTMapper(), cache: made}, mgr.Add(made)
}

// Bind names the controller that the CRD and objects of the kind wake, and which requests these
// become.
func (w *Watch) Bind(c controller.Controller, requests handler.MapFunc) {
	w.controller, w.requests = c, requests
}

// Reader reads objects of the kind from the cache, as unstructured, while State says that they are
// served.
func (w *Watch) Reader() client.Reader { return w.cache }

// State tells whether the kind is served. It begins and ends the watch of the kind's objects
// accordingly.
func (w *Watch) State(ctx context.Context) (State, error) {
	if known, err := w.watchCRD(ctx); err != nil || !known {
		return State{Recheck: recheck}, err
	}
	installed, err := w.installed(ctx)
	if err != nil {
		return State{}, err
	}
	if !installed {
		return State{}, w.stop(ctx)
	}
	mapping, err := w.mapper.RESTMapping(w.kind.GroupKind, w.kind.Versions...)
	if meta.IsNoMatchError(err) {
		return State{Recheck: recheck}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("asking how %s is served: %w", w.kind.GroupKind.Kind, err)
	}
	return State{Kind: mapping.GroupVersionKind}, w.start(mapping.GroupVersionKind)
}

// watchCRD watches the CRD from the first call on, and tells whether the cache has it by now. A watch
// that begins with the controller would have to succeed before the controller works.
func (w *Watch) watchCRD(ctx context.Context) (bool, error) {
	if !w.watchesCRD {
		if err := w.controller.Watch(source.Kind(w.cache, crdMetadata(), handler.TypedEnqueueRequestsFromMapFunc(
			func(ctx context.Context, crd *metav1.PartialObjectMetadata) []reconcile.Request {
				return w.requests(ctx, crd)
			}))); err != nil {
			return false, fmt.Errorf("watching CustomResourceDefinition %s: %w", w.kind.CRD, err)
		}
		w.watchesCRD = true
	}
	informer, err := w.cache.GetInformer(ctx, crdMetadata(), cache.BlockUntilSynced(false))
	if err != nil {
		return false, fmt.Errorf("reading CustomResourceDefinition %s: %w", w.kind.CRD, err)
	}
	return informer.HasSynced(), nil
}

// installed tells whether the CRD is there.
func (w *Watch) installed(ctx context.Context) (bool, error) {
	crd := crdMetadata()
	if err := w.cache.Get(ctx, client.ObjectKey{Name: w.kind.CRD}, crd); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("reading CustomResourceDefinition %s: %w", w.kind.CRD, err)
		}
		return false, nil
	}
	return crd.DeletionTimestamp == nil, nil
}

func (w *Watch) start(kind schema.GroupVersionKind) error {
	if w.watched == kind {
		return nil
	}
	if err := w.controller.Watch(source.Kind(w.cache, object(kind), handler.TypedEnqueueRequestsFromMapFunc(
		func(ctx context.Context, o *unstructured.Unstructured) []reconcile.Request { return w.requests(ctx, o) }))); err != nil {
		return fmt.Errorf("watching %s: %w", kind.Kind, err)
	}
	w.watched = kind
	return nil
}

func (w *Watch) stop(ctx context.Context) error {
	if w.watched.Empty() {
		return nil
	}
	if err := w.cache.RemoveInformer(ctx, object(w.watched)); err != nil {
		return fmt.Errorf("ending the watch of %s: %w", w.watched.Kind, err)
	}
	w.watched = schema.GroupVersionKind{}
	return nil
}

// object is an empty object of the kind.
func object(kind schema.GroupVersionKind) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(kind)
	return o
}

// crdMetadata is empty metadata of a CRD.
func crdMetadata() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"},
	}
}
