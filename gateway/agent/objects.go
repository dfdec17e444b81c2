package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// view is what this cluster's API server said last. Its objects belong to the cache: they are read only.
type view struct {
	// clusterSet is nil if this cluster belongs to none.
	clusterSet *v1alpha1.ClusterSet
	// gateway is this node's GatewayNode, nil before it is made.
	gateway *v1alpha1.GatewayNode
	node    *corev1.Node
	// remotes by name.
	remotes []v1alpha1.RemoteCluster
}

// observe reads the view from the caches.
func (a *Agent) observe(ctx context.Context) (view, error) {
	var v view
	var err error
	if v.clusterSet, err = get(ctx, a.cfg.Client, client.ObjectKey{Name: v1alpha1.ClusterSetName}, &v1alpha1.ClusterSet{}); err != nil {
		return view{}, err
	}
	key := client.ObjectKey{Namespace: a.cfg.Namespace, Name: a.cfg.NodeName}
	if v.gateway, err = get(ctx, a.cfg.Client, key, &v1alpha1.GatewayNode{}); err != nil {
		return view{}, err
	}
	if v.node, err = get(ctx, a.cfg.Client, client.ObjectKey{Name: a.cfg.NodeName}, &corev1.Node{}); err != nil {
		return view{}, err
	}
	if v.node == nil {
		return view{}, fmt.Errorf("node %s is not there: NODE_NAME must be the name of this pod's node", a.cfg.NodeName)
	}
	var list v1alpha1.RemoteClusterList
	if err := a.cfg.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return view{}, fmt.Errorf("listing RemoteClusters: %w", err)
	}
	v.remotes = slices.Clone(list.Items)
	slices.SortFunc(v.remotes, func(x, y v1alpha1.RemoteCluster) int { return compareText(x.Name, y.Name) })
	return v, nil
}

// get reads one object; nil if it is absent.
func get[T client.Object](ctx context.Context, c client.Reader, key client.ObjectKey, into T) (T, error) {
	var none T
	switch err := c.Get(ctx, key, into); {
	case apierrors.IsNotFound(err):
		return none, nil
	case err != nil:
		return none, fmt.Errorf("reading %T %s: %w", into, key, err)
	}
	return into, nil
}

// input is what the plan needs from the view. The specs of RemoteClusters that the operator does not accept are in it:
// they hold what was in use before, or nothing.
func (v view) input(key wireguard.PrivateKey) plan.Input {
	in := plan.Input{
		Name: v.gateway.Name, Lane: *v.gateway.Status.Lane,
		ClusterID: v.clusterSet.Spec.ClusterID, ClusterSetID: v.clusterSet.Spec.ClusterSetID,
		Index: v.clusterSet.Status.Index, CIDRs: v.clusterSet.Status.CIDRs,
		Transit: v.clusterSet.Spec.TransitCIDR, BasePort: v.clusterSet.Spec.Gateway.Port,
		PrivateKey: key, Underlay: underlayAddresses(v.node),
	}
	for _, r := range v.remotes {
		in.Remotes = append(in.Remotes, plan.Remote{
			ClusterID: v1alpha1.ClusterID(r.Name), Created: r.CreationTimestamp.Time,
			Index: r.Spec.Index, CIDRs: r.Spec.CIDRs, Gateways: r.Spec.Gateways,
		})
	}
	return in
}

// linksUp are the links that the gateway has last reported as up.
func (v view) linksUp(gateway string) map[plan.LinkID]bool {
	up := map[plan.LinkID]bool{}
	for _, r := range v.remotes {
		for _, entry := range r.Status.Links {
			for _, l := range entry.Links {
				if entry.Gateway == gateway && l.State == v1alpha1.LinkUp {
					up[plan.LinkID{Cluster: v1alpha1.ClusterID(r.Name), Gateway: l.RemoteGateway}] = true
				}
			}
		}
	}
	return up
}

// pending says what the view lacks for a plan; empty if nothing.
func (v view) pending() string {
	switch {
	case v.gateway == nil || v.gateway.Status.Lane == nil:
		return "waiting for the operator to give this gateway a lane"
	case v.clusterSet.Status.Index == 0:
		return "waiting for this cluster's index: the operator takes it from the Member on the hub"
	}
	return ""
}

// nodeAddresses are the node's addresses of that type, in the node's order, without what cannot be read.
func nodeAddresses(node *corev1.Node, kind corev1.NodeAddressType) []netip.Addr {
	var addrs []netip.Addr
	for _, a := range node.Status.Addresses {
		addr, err := netip.ParseAddr(a.Address)
		if a.Type == kind && err == nil && !slices.Contains(addrs, addr.Unmap()) {
			addrs = append(addrs, addr.Unmap())
		}
	}
	return addrs
}

// underlayAddresses are the node's InternalIPs, the first of each family.
func underlayAddresses(node *corev1.Node) []netip.Addr {
	var addrs []netip.Addr
	for _, addr := range nodeAddresses(node, corev1.NodeInternalIP) {
		if !slices.ContainsFunc(addrs, func(have netip.Addr) bool { return have.Is4() == addr.Is4() }) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}
