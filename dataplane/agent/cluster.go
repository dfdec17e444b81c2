package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

const (
	// byService is the index of EndpointSlices by the Service that they belong to.
	byService = "service"
	// byTarget is the index of TrafficPolicies by the ServiceImport that they are for.
	byTarget = "target"
)

// Cluster is this cluster's API server, with a cache of what the dataplane reads.
type Cluster struct {
	cluster.Cluster
	// served asks the API server which kinds it has.
	served meta.RESTMapper
}

// NewCluster returns this cluster's API server; it is to be started by the caller. It does not ask the server anything
// yet, so that an agent starts without it. The cache gives out its objects without copying: nobody may change them.
func NewCluster(config *rest.Config, namespace string) (Cluster, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, mcsv1beta1.Install} {
		if err := add(scheme); err != nil {
			return Cluster{}, fmt.Errorf("registering kinds: %w", err)
		}
	}
	config = rest.CopyConfig(config)
	config.QPS = -1 // the API server's priority and fairness is the limit
	c, err := cluster.New(config, func(o *cluster.Options) {
		o.Scheme = scheme
		o.Cache = cacheOptions(namespace)
		o.MapperProvider = func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return knownKinds(scheme) }
	})
	if err != nil {
		return Cluster{}, fmt.Errorf("preparing for this cluster's API server: %w", err)
	}
	served, err := apiutil.NewDynamicRESTMapper(c.GetConfig(), c.GetHTTPClient())
	if err != nil {
		return Cluster{}, fmt.Errorf("preparing for this cluster's API server: %w", err)
	}
	return Cluster{Cluster: c, served: served}, nil
}

// knownKinds maps the kinds that the dataplane uses to resources, without asking.
func knownKinds(scheme *runtime.Scheme) (meta.RESTMapper, error) {
	mapper := meta.NewDefaultRESTMapper(nil)
	for object, scope := range kinds() {
		gvk, err := apiutil.GVKForObject(object, scheme)
		if err != nil {
			return nil, err
		}
		mapper.Add(gvk, scope)
		mapper.Add(gvk.GroupVersion().WithKind(gvk.Kind+"List"), scope) // a cache of some namespaces asks for it
	}
	return mapper, nil
}

// kinds are those that the dataplane watches.
func kinds() map[client.Object]meta.RESTScope {
	return map[client.Object]meta.RESTScope{
		&v1alpha1.ClusterSet{}: meta.RESTScopeRoot, &v1alpha1.RemoteCluster{}: meta.RESTScopeRoot,
		&v1alpha1.GatewayNode{}: meta.RESTScopeNamespace, &corev1.Node{}: meta.RESTScopeRoot,
		&mcsv1beta1.ServiceImport{}: meta.RESTScopeNamespace, &discoveryv1.EndpointSlice{}: meta.RESTScopeNamespace,
		&v1alpha1.TrafficPolicy{}: meta.RESTScopeNamespace,
	}
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
			&discoveryv1.EndpointSlice{}: {Label: labels.NewSelector().Add(*imported), Transform: stripSlice},
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
	if transit, ok := node.Annotations[v1alpha1.AnnotationTransitAddress]; ok {
		slim.Annotations = map[string]string{v1alpha1.AnnotationTransitAddress: transit}
	}
	for _, c := range node.Status.Conditions {
		if c.Type == v1alpha1.NodeConditionDataplane {
			slim.Status.Conditions = append(slim.Status.Conditions, c)
		}
	}
	return slim, nil
}

// stripSlice keeps of an EndpointSlice what the dataplane reads, and what its endpoints have in common once: with many
// ServiceImports they are most of the cache.
func stripSlice(object any) (any, error) {
	slice, ok := object.(*discoveryv1.EndpointSlice)
	if !ok {
		return object, nil
	}
	slim := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: slice.Namespace, Name: slice.Name, UID: slice.UID,
			ResourceVersion: slice.ResourceVersion, DeletionTimestamp: slice.DeletionTimestamp, Labels: map[string]string{}},
		AddressType: slice.AddressType, Ports: slice.Ports, Endpoints: make([]discoveryv1.Endpoint, len(slice.Endpoints)),
	}
	for _, label := range []string{v1alpha1.LabelServiceName, v1alpha1.LabelSourceCluster, discoveryv1.LabelManagedBy} {
		if value, ok := slice.Labels[label]; ok {
			slim.Labels[label] = value
		}
	}
	texts := map[string]*string{}
	for i := range slice.Endpoints {
		e := &slice.Endpoints[i]
		slim.Endpoints[i] = discoveryv1.Endpoint{Addresses: e.Addresses, NodeName: once(texts, e.NodeName), Zone: once(texts, e.Zone),
			Conditions: discoveryv1.EndpointConditions{
				Ready: shared(e.Conditions.Ready), Serving: shared(e.Conditions.Serving), Terminating: shared(e.Conditions.Terminating)}}
	}
	return slim, nil
}

// once is the first pointer of the texts to that text.
func once(texts map[string]*string, text *string) *string {
	if text == nil {
		return nil
	}
	if _, ok := texts[*text]; !ok {
		texts[*text] = text
	}
	return texts[*text]
}

var yes, no = ptr.To(true), ptr.To(false)

// shared is a pointer to the same truth, which everybody has; nobody may change what is in the cache.
func shared(b *bool) *bool {
	switch {
	case b == nil:
		return nil
	case *b:
		return yes
	}
	return no
}

// watchRetry is how long to wait for kinds that the API server does not serve yet.
const watchRetry = 3 * time.Second

// Watch marks what events are about, and returns when all that is watched has been read once, or ctx ends. While the
// API server is away or lacks the CRDs it keeps trying, and Ready says what it waits for.
func (a *Agent) Watch(ctx context.Context, c Cluster) error {
	for {
		err := a.checkServed(c)
		if err == nil {
			break
		}
		if why := err.Error(); ptr.Deref(a.waiting.Swap(&why), "") != why {
			a.log(ctx).Error(err, "waiting for what the dataplane watches")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchRetry):
		}
	}
	a.waiting.Store(ptr.To("reading what the dataplane watches"))
	if err := a.watchAll(ctx, c.GetCache()); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// checkServed tells whether the API server answers and has all the kinds.
func (a *Agent) checkServed(c Cluster) error {
	var missing []error
	for object := range kinds() {
		gvk, err := apiutil.GVKForObject(object, c.GetScheme())
		if err != nil {
			return err
		}
		if _, err := c.served.RESTMapping(gvk.GroupKind(), gvk.Version); meta.IsNoMatchError(err) {
			missing = append(missing, fmt.Errorf("%s is not served: install the CRDs", gvk.GroupKind()))
		} else if err != nil {
			return fmt.Errorf("asking this cluster's API server for its kinds: %w", err)
		}
	}
	slices.SortFunc(missing, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return errors.Join(missing...)
}

func (a *Agent) watchAll(ctx context.Context, c cache.Cache) error {
	if err := c.IndexField(ctx, &discoveryv1.EndpointSlice{}, byService, serviceOf); err != nil {
		return fmt.Errorf("indexing EndpointSlices: %w", err)
	}
	if err := c.IndexField(ctx, &v1alpha1.TrafficPolicy{}, byTarget, targetOf); err != nil {
		return fmt.Errorf("indexing TrafficPolicies: %w", err)
	}
	var told []toolscache.DoneChecker
	for object := range kinds() {
		informer, err := c.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching %T: %w", object, err)
		}
		handler, err := informer.AddEventHandler(onEvent(a.mark))
		if err != nil {
			return fmt.Errorf("watching %T: %w", object, err)
		}
		told = append(told, handler.HasSyncedChecker())
	}
	// Not only until the caches are filled: a first pass while events about them are still told would share the CPU with
	// that, and a second one would plan again what they mark.
	for _, all := range told {
		select {
		case <-all.Done():
		case <-ctx.Done():
			return nil
		}
	}
	a.dirty.start()
	return nil
}

// mark remembers what an event is about.
func (a *Agent) mark(o client.Object) {
	switch o := o.(type) {
	case *mcsv1beta1.ServiceImport:
		a.dirty.service(client.ObjectKeyFromObject(o))
	case *discoveryv1.EndpointSlice:
		a.dirty.service(importOf(o))
	case *v1alpha1.TrafficPolicy:
		a.dirty.service(clusterset.PolicyTarget(o))
	default:
		a.dirty.network()
	}
}

// alike tells whether two versions of an object are the same in all that is kept of them: of a Node, most of what its
// kubelet writes again and again is not.
func alike(old, now client.Object) bool {
	switch old := old.(type) {
	case *mcsv1beta1.ServiceImport:
		same := *old
		same.ResourceVersion = now.GetResourceVersion()
		return equality.Semantic.DeepEqual(&same, now)
	case *corev1.Node:
		same := *old
		same.ResourceVersion = now.GetResourceVersion()
		return equality.Semantic.DeepEqual(&same, now)
	}
	return false // most others are written for a reason
}

func onEvent(mark func(client.Object)) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { mark(o.(client.Object)) },
		UpdateFunc: func(before, after any) {
			old, now := before.(client.Object), after.(client.Object)
			if alike(old, now) {
				return
			}
			mark(old) // what it was about may be something else
			mark(now)
		},
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

// targetOf is the index byTarget.
func targetOf(o client.Object) []string {
	return []string{o.(*v1alpha1.TrafficPolicy).Spec.TargetRef.Name}
}
