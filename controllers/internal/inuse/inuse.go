// Package inuse owns what is known of the addresses that this cluster itself uses: those of pods,
// Services and nodes. It judges nothing (package clusterset does).
package inuse

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// +kubebuilder:rbac:groups="",resources=nodes;services,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=servicecidrs,verbs=list

// Reader reads the addresses that are in use.
type Reader struct {
	Cached client.Reader // required: Nodes and Services
	// Direct reads ServiceCIDRs. Kubernetes before 1.33 does not serve them, so a cache would wait
	// for them forever.
	Direct client.Reader // required
}

// Blocks returns the ranges that are in use, with the user of each.
func (r Reader) Blocks(ctx context.Context) ([]clusterset.Block, error) {
	nodes, err := r.nodes(ctx)
	if err != nil {
		return nil, err
	}
	services, err := r.ServiceBlocks(ctx)
	return append(nodes, services...), err
}

// ServiceBlocks returns those that Services use. They do not depend on what nodes say of themselves.
func (r Reader) ServiceBlocks(ctx context.Context) ([]clusterset.Block, error) {
	ranges, err := r.serviceCIDRs(ctx)
	if err != nil {
		return nil, err
	}
	services, err := r.clusterIPs(ctx)
	if err != nil {
		return nil, err
	}
	return append(ranges, services...), nil
}

// APIServer returns the addresses of this cluster's API server: the endpoints of the Service
// default/kubernetes, which it writes itself.
func (r Reader) APIServer(ctx context.Context) ([]clusterset.Block, error) {
	list := &discoveryv1.EndpointSliceList{}
	if err := r.Cached.List(ctx, list, client.InNamespace(metav1.NamespaceDefault),
		client.MatchingLabels{discoveryv1.LabelServiceName: "kubernetes"}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing EndpointSlices of the API server: %w", err)
	}
	var blocks []clusterset.Block
	for i := range list.Items {
		for _, e := range list.Items[i].Endpoints {
			for _, a := range e.Addresses {
				blocks = appendAddr(blocks, a, "the API server")
			}
		}
	}
	return blocks, nil
}

func (r Reader) nodes(ctx context.Context) ([]clusterset.Block, error) {
	list := &corev1.NodeList{}
	if err := r.Cached.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing Nodes: %w", err)
	}
	var blocks []clusterset.Block
	for i := range list.Items {
		node := &list.Items[i]
		for _, cidr := range node.Spec.PodCIDRs {
			blocks = appendPrefix(blocks, cidr, fmt.Sprintf("the pods of node %s (Node.spec.podCIDRs)", node.Name))
		}
		for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
			for _, a := range clusterset.AddressesOf(node, kind) {
				blocks = append(blocks, clusterset.Block{Prefix: netip.PrefixFrom(a, a.BitLen()), Owner: "node " + node.Name})
			}
		}
	}
	return blocks, nil
}

func (r Reader) serviceCIDRs(ctx context.Context) ([]clusterset.Block, error) {
	list := &networkingv1.ServiceCIDRList{}
	if err := r.Direct.List(ctx, list); err != nil {
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("listing ServiceCIDRs: %w", err)
	}
	var blocks []clusterset.Block
	for _, item := range list.Items {
		for _, cidr := range item.Spec.CIDRs {
			blocks = appendPrefix(blocks, cidr, "the Services (ServiceCIDR "+item.Name+")")
		}
	}
	return blocks, nil
}

// clusterIPs show where Services are, also if there are no ServiceCIDRs.
func (r Reader) clusterIPs(ctx context.Context) ([]clusterset.Block, error) {
	list := &corev1.ServiceList{}
	if err := r.Cached.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing Services: %w", err)
	}
	var blocks []clusterset.Block
	for i := range list.Items {
		for _, ip := range list.Items[i].Spec.ClusterIPs {
			blocks = appendAddr(blocks, ip, "Service "+client.ObjectKeyFromObject(&list.Items[i]).String())
		}
	}
	return blocks, nil
}

func appendPrefix(blocks []clusterset.Block, text, owner string) []clusterset.Block {
	if p, err := netip.ParsePrefix(text); err == nil {
		return append(blocks, clusterset.Block{Prefix: p.Masked(), Owner: owner})
	}
	return blocks
}

func appendAddr(blocks []clusterset.Block, text, owner string) []clusterset.Block {
	if a, err := netip.ParseAddr(text); err == nil {
		return append(blocks, clusterset.Block{Prefix: netip.PrefixFrom(a, a.BitLen()), Owner: owner})
	}
	return blocks // "None", of a headless Service
}

// NodeChanged passes what changes the addresses of a node or its pods.
func NodeChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*corev1.Node), e.ObjectNew.(*corev1.Node)
		return !equality.Semantic.DeepEqual(before.Spec.PodCIDRs, after.Spec.PodCIDRs) ||
			!equality.Semantic.DeepEqual(before.Status.Addresses, after.Status.Addresses)
	}}
}
