package agent

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// byService is the index of EndpointSlices by the Service that they belong to.
const byService = "service"

// NewCluster returns this cluster's API server with a cache of what the dataplane reads; it is to be started by the
// caller. The cache gives out its objects without copying: nobody may change them.
func NewCluster(config *rest.Config, namespace string) (cluster.Cluster, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, mcsv1beta1.Install} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering kinds: %w", err)
		}
	}
	config = rest.CopyConfig(config)
	config.QPS = -1 // the API server's priority and fairness is the limit
	c, err := cluster.New(config, func(o *cluster.Options) {
		o.Scheme = scheme
		o.Cache = cacheOptions(namespace)
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to this cluster's API server: %w", err)
	}
	return c, nil
}

func cacheOptions(namespace string) cache.Options {
	imported, err := labels.NewRequirement(v1alpha1.LabelServiceName, selection.Exists, nil)
	if err != nil {
		panic(err) // a constant label key
	}
	return cache.Options{
		DefaultUnsafeDisableDeepCopy: ptr.To(true),
		DefaultTransform:             cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&discoveryv1.EndpointSlice{}: {Label: labels.NewSelector().Add(*imported)},
			&v1alpha1.GatewayNode{}:      {Namespaces: map[string]cache.Config{namespace: {}}},
			&corev1.Node{}:               {Transform: stripNode},
		},
	}
}

// stripNode keeps of a Node what the dataplane reads; the rest of it is most of the cache of a large cluster.
func stripNode(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	slim := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion, Labels: node.Labels},
		Spec:       corev1.NodeSpec{PodCIDRs: node.Spec.PodCIDRs},
		Status:     corev1.NodeStatus{Addresses: node.Status.Addresses},
	}
	for _, c := range node.Status.Conditions {
		if c.Type == v1alpha1.NodeConditionDataplane {
			slim.Status.Conditions = append(slim.Status.Conditions, c)
		}
	}
	return slim, nil
}

// watched are the kinds whose objects make the network, beside ServiceImports and EndpointSlices.
func watched() []client.Object {
	return []client.Object{&v1alpha1.ClusterSet{}, &v1alpha1.RemoteCluster{}, &v1alpha1.GatewayNode{}, &corev1.Node{}}
}

// watchRetry is how long to wait for kinds that the API server does not serve yet.
const watchRetry = 3 * time.Second

// Watch marks what events are about, and returns when all that is watched has been read once, or ctx ends. While the
// API server is away or lacks the CRDs it keeps trying and says why.
func (a *Agent) Watch(ctx context.Context, c cache.Cache) error {
	for {
		err := a.watchAll(ctx, c)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		a.waiting.Store(ptr.To(err.Error()))
		a.log(ctx).Error(err, "waiting for what the dataplane watches")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchRetry):
		}
	}
}

func (a *Agent) watchAll(ctx context.Context, c cache.Cache) error {
	if !a.indexed {
		if err := c.IndexField(ctx, &discoveryv1.EndpointSlice{}, byService, serviceOf); err != nil {
			return fmt.Errorf("watching EndpointSlices: %w", err)
		}
		a.indexed = true
	}
	handlers := map[client.Object]func(client.Object){
		&mcsv1beta1.ServiceImport{}: func(o client.Object) { a.dirty.service(client.ObjectKeyFromObject(o)) },
		&discoveryv1.EndpointSlice{}: func(o client.Object) {
			a.dirty.service(types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetLabels()[v1alpha1.LabelServiceName]})
		},
	}
	for _, object := range watched() {
		handlers[object] = func(client.Object) { a.dirty.network() }
	}
	for object, mark := range handlers {
		kind := fmt.Sprintf("%T", object)
		if a.watching[kind] {
			continue
		}
		informer, err := c.GetInformer(ctx, object)
		if err != nil {
			return fmt.Errorf("watching %s: %w", kind, err)
		}
		if _, err := informer.AddEventHandler(onEvent(mark)); err != nil {
			return fmt.Errorf("watching %s: %w", kind, err)
		}
		a.watching[kind] = true
	}
	if !c.WaitForCacheSync(ctx) {
		return fmt.Errorf("reading what the dataplane watches: %w", context.Cause(ctx))
	}
	a.dirty.start()
	return nil
}

func onEvent(mark func(client.Object)) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { mark(o.(client.Object)) },
		UpdateFunc: func(_, o any) { mark(o.(client.Object)) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			if object, ok := o.(client.Object); ok {
				mark(object)
			}
		},
	}
}

// serviceOf is the index byService.
func serviceOf(o client.Object) []string {
	return []string{o.GetLabels()[v1alpha1.LabelServiceName]}
}
