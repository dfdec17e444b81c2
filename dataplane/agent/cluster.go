package agent

import (
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
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
)

const (
	// byService is the index of EndpointSlices by the Service that they belong to.
	byService = "service"
	// byTarget is the index of TrafficPolicies by the ServiceImport that they are for.
	byTarget = "target"
)

// NewCluster returns this cluster's API server with a cache of what the dataplane reads. The caller
// starts it. It asks the server nothing, so that an agent starts without one. The cache returns its
// objects without copying: nobody may change them.
func NewCluster(config *rest.Config, namespace string) (*node.Cluster, error) {
	return node.NewCluster(node.ClusterConfig{
		REST:        config,
		AddToScheme: []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, mcsv1beta1.Install},
		Kinds: []node.Kind{
			{Object: &v1alpha1.ClusterSet{}, Scope: meta.RESTScopeRoot},
			{Object: &v1alpha1.RemoteCluster{}, Scope: meta.RESTScopeRoot},
			{Object: &v1alpha1.GatewayNode{}, Scope: meta.RESTScopeNamespace},
			{Object: &corev1.Node{}, Scope: meta.RESTScopeRoot},
			{Object: &mcsv1beta1.ServiceImport{}, Scope: meta.RESTScopeNamespace},
			{Object: &discoveryv1.EndpointSlice{}, Scope: meta.RESTScopeNamespace},
			{Object: &v1alpha1.TrafficPolicy{}, Scope: meta.RESTScopeNamespace},
		},
		Cache: cacheOptions(namespace),
		Indexes: []node.Index{
			{Object: &discoveryv1.EndpointSlice{}, Field: byService, Values: serviceOf},
			{Object: &v1alpha1.TrafficPolicy{}, Field: byTarget, Values: targetOf},
		},
	})
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

// stripNode keeps of a Node what the dataplane reads. The rest would be most of the cache of a
// large cluster.
func stripNode(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	slim := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion,
			CreationTimestamp: node.CreationTimestamp, Labels: node.Labels},
		Spec:   corev1.NodeSpec{PodCIDRs: node.Spec.PodCIDRs},
		Status: corev1.NodeStatus{Addresses: node.Status.Addresses},
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

// stripSlice keeps of an EndpointSlice what the dataplane reads, and keeps once what its endpoints
// have in common: with many ServiceImports the slices are most of the cache.
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
	for _, label := range []string{v1alpha1.LabelServiceName, v1alpha1.LabelSourceCluster, v1alpha1.LabelEndpoints, discoveryv1.LabelManagedBy} {
		if value, ok := slice.Labels[label]; ok {
			slim.Labels[label] = value
		}
	}
	if at, ok := slice.Annotations[corev1.EndpointsLastChangeTriggerTime]; ok {
		slim.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: at}
	}
	for _, o := range slice.OwnerReferences {
		slim.OwnerReferences = append(slim.OwnerReferences, metav1.OwnerReference{UID: o.UID})
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

// once returns the first pointer to that text.
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

// shared returns a pointer to the same value for everybody: nobody may change what is in the cache.
func shared(b *bool) *bool {
	switch {
	case b == nil:
		return nil
	case *b:
		return yes
	}
	return no
}

// alike reports whether two versions of an object are the same in all that the cache keeps of them.
// Most of what a kubelet writes to its Node again and again is not kept.
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
	return false // most other objects are written for a reason
}

// serviceOf is the index byService.
func serviceOf(o client.Object) []string {
	return []string{o.GetLabels()[v1alpha1.LabelServiceName]}
}

// targetOf is the index byTarget.
func targetOf(o client.Object) []string {
	return []string{o.(*v1alpha1.TrafficPolicy).Spec.TargetRef.Name}
}
