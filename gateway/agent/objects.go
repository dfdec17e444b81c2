package agent

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// objects are this cluster's objects, as its API server sent them last. They belong to the cache:
// nobody may change them.
type objects struct {
	// clusterSet is nil if this cluster belongs to none.
	clusterSet *v1alpha1.ClusterSet
	// gateway is this node's GatewayNode, nil before it is made.
	gateway *v1alpha1.GatewayNode
	node    *corev1.Node
	// gateways are this cluster's, this one among them.
	gateways []v1alpha1.GatewayNode
	// remotes by name.
	remotes []v1alpha1.RemoteCluster
}

// readObjects reads them from the caches.
func (a *Agent) readObjects(ctx context.Context) (objects, error) {
	var o objects
	var err error
	if o.clusterSet, err = get(ctx, a.cfg.Client, client.ObjectKey{Name: v1alpha1.ClusterSetName}, &v1alpha1.ClusterSet{}); err != nil {
		return objects{}, err
	}
	var gateways v1alpha1.GatewayNodeList
	if err := a.cfg.Client.List(ctx, &gateways, client.InNamespace(a.cfg.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return objects{}, fmt.Errorf("listing GatewayNodes: %w", err)
	}
	o.gateways = gateways.Items
	if i := slices.IndexFunc(o.gateways, func(g v1alpha1.GatewayNode) bool { return g.Name == a.cfg.NodeName }); i >= 0 {
		o.gateway = &o.gateways[i]
	}
	if o.node, err = get(ctx, a.cfg.Client, client.ObjectKey{Name: a.cfg.NodeName}, &corev1.Node{}); err != nil {
		return objects{}, err
	}
	if o.node == nil {
		return objects{}, fmt.Errorf("node %s does not exist: NODE_NAME must be the name of this pod's node", a.cfg.NodeName)
	}
	var list v1alpha1.RemoteClusterList
	if err := a.cfg.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return objects{}, fmt.Errorf("listing RemoteClusters: %w", err)
	}
	o.remotes = slices.Clone(list.Items)
	slices.SortFunc(o.remotes, func(x, y v1alpha1.RemoteCluster) int { return strings.Compare(x.Name, y.Name) })
	return o, nil
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

// input is what the plan needs of the objects. It includes RemoteClusters that the operator does
// not accept: their specs hold what was in use before, or nothing.
func (o objects) input(key wireguard.PrivateKey) plan.Input {
	in := plan.Input{
		Name: o.gateway.Name, Lane: *o.gateway.Status.Lane,
		ClusterID: o.clusterSet.Spec.ClusterID, ClusterSetID: o.clusterSet.Spec.ClusterSetID,
		Index: o.clusterSet.Status.Index, CIDRs: o.clusterSet.Status.CIDRs,
		Transit: o.clusterSet.Spec.TransitCIDR, BasePort: o.clusterSet.Spec.Gateway.Port,
		PrivateKey: key, Underlay: clusterset.InternalIPs(o.node),
		VXLANID: o.clusterSet.Spec.Dataplane.VXLANID, VXLANPort: o.clusterSet.Spec.Dataplane.VXLANPort, Siblings: o.siblings(),
	}
	for _, r := range o.remotes {
		in.Remotes = append(in.Remotes, plan.Remote{
			ClusterID: v1alpha1.ClusterID(r.Name), Created: r.CreationTimestamp.Time,
			Index: r.Spec.Index, CIDRs: r.Spec.CIDRs, Gateways: r.Spec.Gateways,
		})
	}
	return in
}

// siblings are the other gateways of this cluster that have a lane.
func (o objects) siblings() []plan.GatewayPeer {
	var siblings []plan.GatewayPeer
	for _, g := range o.gateways {
		if g.Name == o.gateway.Name || g.Status.Lane == nil || g.DeletionTimestamp != nil {
			continue
		}
		s := plan.GatewayPeer{Name: g.Name, Lane: *g.Status.Lane, PublicKey: g.Spec.PublicKey}
		for _, text := range g.Spec.UnderlayAddresses {
			if addr, err := netip.ParseAddr(string(text)); err == nil {
				s.Underlay = append(s.Underlay, addr.Unmap())
			}
		}
		siblings = append(siblings, s)
	}
	return siblings
}

// wireGuardMode is what the ClusterSet says about who serves the devices.
func (o objects) wireGuardMode() v1alpha1.WireGuardMode {
	if o.clusterSet == nil {
		return v1alpha1.WireGuardAuto
	}
	return cmp.Or(o.clusterSet.Spec.Gateway.WireGuard, v1alpha1.WireGuardAuto)
}

// userspaceReason says in the condition why this process serves the devices.
func (o objects) userspaceReason() string {
	if o.wireGuardMode() == v1alpha1.WireGuardUserspace {
		return "userspace WireGuard, as the ClusterSet's spec.gateway.wireguard asks for"
	}
	return "userspace WireGuard: this kernel has no module wireguard"
}

// linksUp are the links that the gateway last reported as up.
func (o objects) linksUp(gateway string) map[plan.LinkID]bool {
	up := map[plan.LinkID]bool{}
	for _, r := range o.remotes {
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

// pending says what the objects lack for a plan; empty if nothing.
func (o objects) pending() string {
	switch {
	case o.gateway == nil || o.gateway.Status.Lane == nil:
		return "waiting for the operator to assign this gateway a lane"
	case o.clusterSet.Status.Index == 0:
		return "waiting for this cluster's index: the operator reads it from the Member on the hub"
	}
	return ""
}
