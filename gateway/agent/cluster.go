package agent

import (
	"context"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/ingress"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/node"
)

// NewCluster returns the client of this cluster, with caches of what a gateway watches: the Nodes,
// the GatewayNodes, the ClusterSet, the RemoteClusters, and for the filter on the way in the
// ServiceExports, ExportPolicies, Services and EndpointSlices. It does not connect yet. Nobody may change what is in the cache.
func NewCluster(config *rest.Config, nodeName, namespace string) (*node.Cluster, error) {
	return node.NewCluster(node.ClusterConfig{
		REST:        config,
		AddToScheme: []func(*runtime.Scheme) error{corev1.AddToScheme, coordinationv1.AddToScheme, discoveryv1.AddToScheme, v1alpha1.AddToScheme, mcsv1beta1.Install},
		Kinds: []node.Kind{
			{Object: &corev1.Node{}, Scope: meta.RESTScopeRoot},
			{Object: &v1alpha1.ClusterSet{}, Scope: meta.RESTScopeRoot},
			{Object: &v1alpha1.GatewayNode{}, Scope: meta.RESTScopeNamespace},
			{Object: &v1alpha1.RemoteCluster{}, Scope: meta.RESTScopeRoot},
			{Object: &mcsv1beta1.ServiceExport{}, Scope: meta.RESTScopeNamespace},
			{Object: &v1alpha1.ExportPolicy{}, Scope: meta.RESTScopeNamespace},
			{Object: &discoveryv1.EndpointSlice{}, Scope: meta.RESTScopeNamespace},
			{Object: &corev1.Service{}, Scope: meta.RESTScopeNamespace},
			{Object: &corev1.Secret{}, Scope: meta.RESTScopeNamespace, Unwatched: true},
			{Object: &coordinationv1.Lease{}, Scope: meta.RESTScopeNamespace, Unwatched: true},
		},
		Cache: cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: map[client.Object]cache.ByObject{
			&corev1.Node{}:               {Transform: stripOthers(nodeName)},
			&v1alpha1.GatewayNode{}:      {Namespaces: map[string]cache.Config{namespace: {}}},
			&discoveryv1.EndpointSlice{}: {Transform: stripSlice},
			&corev1.Service{}:            {Transform: stripService},
		}},
		Indexes: indexes(),
	})
}

const (
	// byService is the index of EndpointSlices by the Service that they belong to.
	byService = "service"
	// byTarget is the index of ExportPolicies by the ServiceExport that they are for.
	byTarget = "target"
)

// indexes by which objects are looked up.
func indexes() []node.Index {
	return []node.Index{
		{Object: &discoveryv1.EndpointSlice{}, Field: byService, Values: func(o client.Object) []string {
			return []string{ingress.ServiceOf(o.(*discoveryv1.EndpointSlice)).Name}
		}},
		{Object: &v1alpha1.ExportPolicy{}, Field: byTarget, Values: func(o client.Object) []string {
			return []string{clusterset.ExportPolicyTarget(o.(*v1alpha1.ExportPolicy)).Name}
		}},
	}
}

// stripOthers keeps of other Nodes than this one their addresses.
func stripOthers(nodeName string) func(any) (any, error) {
	return func(object any) (any, error) {
		n, ok := object.(*corev1.Node)
		if !ok || n.Name == nodeName {
			return object, nil
		}
		return &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion},
			Status:     corev1.NodeStatus{Addresses: n.Status.Addresses},
		}, nil
	}
}

// stripSlice keeps of an EndpointSlice addresses and ports, and what says whose it is.
func stripSlice(object any) (any, error) {
	s, ok := object.(*discoveryv1.EndpointSlice)
	if !ok {
		return object, nil
	}
	slim := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name, UID: s.UID, ResourceVersion: s.ResourceVersion, Labels: map[string]string{}},
		Ports:      s.Ports, AddressType: s.AddressType, Endpoints: make([]discoveryv1.Endpoint, len(s.Endpoints)),
	}
	for _, label := range []string{discoveryv1.LabelServiceName, discoveryv1.LabelManagedBy, v1alpha1.LabelServiceName, v1alpha1.LabelSourceCluster} {
		if value, ok := s.Labels[label]; ok {
			slim.Labels[label] = value
		}
	}
	for i := range s.Endpoints {
		slim.Endpoints[i].Addresses = s.Endpoints[i].Addresses
	}
	return slim, nil
}

// stripService keeps of a Service whether it selects pods.
func stripService(object any) (any, error) {
	s, ok := object.(*corev1.Service)
	if !ok {
		return object, nil
	}
	slim := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name, UID: s.UID, ResourceVersion: s.ResourceVersion}}
	slim.Spec.Selector = s.Spec.Selector
	return slim, nil
}

// Watch makes each change of what the gateway watches mark the loops that it concerns. It returns
// when the caches are filled, or ctx ends; it waits for an API server that does not answer, or does
// not serve the kinds yet.
func (a *Agent) Watch(ctx context.Context, c *node.Cluster) error {
	return c.Watch(ctx, node.OnEvent(a.changed, a.same))
}

// changed marks the loops that an object concerns.
func (a *Agent) changed(o client.Object) {
	switch o := o.(type) {
	case *discoveryv1.EndpointSlice:
		a.admission.marks.slice(client.ObjectKeyFromObject(o))
	case *corev1.Service, *mcsv1beta1.ServiceExport:
		a.admission.marks.service(client.ObjectKeyFromObject(o))
	case *v1alpha1.ExportPolicy:
		a.admission.marks.service(clusterset.ExportPolicyTarget(o))
	case *corev1.Node:
		if a.admission.marks.network(); o.Name == a.cfg.NodeName {
			a.Changed()
		}
	default:
		a.Changed()
	}
	a.ingress.Mark()
}

// same reports whether two versions of an object are the same to this gateway.
func (a *Agent) same(before, after client.Object) bool {
	switch old := before.(type) {
	case *discoveryv1.EndpointSlice:
		now := after.(*discoveryv1.EndpointSlice)
		return equality.Semantic.DeepEqual(old.Endpoints, now.Endpoints) && equality.Semantic.DeepEqual(old.Ports, now.Ports) &&
			equality.Semantic.DeepEqual(old.Labels, now.Labels)
	case *corev1.Service:
		return (len(old.Spec.Selector) > 0) == (len(after.(*corev1.Service).Spec.Selector) > 0)
	case *mcsv1beta1.ServiceExport:
		return isOpen(old) == isOpen(after.(*mcsv1beta1.ServiceExport))
	case *v1alpha1.ExportPolicy:
		return old.UID == after.GetUID() && old.Generation == after.GetGeneration()
	case *corev1.Node:
		return old.Name != a.cfg.NodeName && equality.Semantic.DeepEqual(old.Status.Addresses, after.(*corev1.Node).Status.Addresses)
	}
	return a.sameSibling(before, after)
}

// sameSibling reports whether two versions of another gateway's GatewayNode are the same to this
// gateway: heartbeats and conditions are not its concern.
func (a *Agent) sameSibling(before, after client.Object) bool {
	old, ok := before.(*v1alpha1.GatewayNode)
	now, also := after.(*v1alpha1.GatewayNode)
	return ok && also && now.Name != a.cfg.NodeName && equality.Semantic.DeepEqual(old.Spec, now.Spec) &&
		equality.Semantic.DeepEqual(old.Status.Lane, now.Status.Lane) && old.DeletionTimestamp.Equal(now.DeletionTimestamp)
}
