package plan

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// Input is all that the tunnels depend on.
type Input struct {
	// Name of this gateway.
	Name string
	// Lane of this gateway.
	Lane v1alpha1.Lane
	// ClusterID, ClusterSetID, Index and CIDRs are this cluster's own. Index zero: not known yet.
	ClusterID    v1alpha1.ClusterID
	ClusterSetID string
	Index        int32
	CIDRs        []v1alpha1.CIDR
	// Transit is the IPv4 block that tunnel addresses come from.
	Transit v1alpha1.CIDR
	// BasePort: device tombolo<j> listens on BasePort+j.
	BasePort v1alpha1.Port
	// PrivateKey of this gateway.
	PrivateKey wireguard.PrivateKey
	// Userspace: this process serves the WireGuard devices.
	Userspace bool
	// Underlay are this node's addresses outside the tunnels. Without any, the node counts as
	// having both families.
	Underlay []netip.Addr
	// NoIPv6 says why this node has no IPv6, which is then left out; empty if it has.
	NoIPv6 string
	// MTU of the underlay in bytes.
	MTU int
	// VXLANID and VXLANPort are those of the VXLAN that joins the cluster's nodes.
	VXLANID   int32
	VXLANPort v1alpha1.Port
	// Endpoints are the ones to send to, where it is not the first of a gateway's that can be used.
	// One that the gateway no longer publishes does not count.
	Endpoints map[LinkID]netip.AddrPort
	// Siblings are the other gateways of this cluster, in any order.
	Siblings []GatewayPeer
	// Remotes are the other clusters, in any order.
	Remotes []Remote
}

// GatewayPeer is another gateway of this cluster as its GatewayNode describes it.
type GatewayPeer struct {
	Name      string
	Lane      v1alpha1.Lane
	PublicKey string
	// Underlay are its node's addresses outside the tunnels.
	Underlay []netip.Addr
}

// View is how links and siblings are now: what the routes depend on, besides the tunnels.
type View struct {
	// Links of this gateway. One that is not in it is not up.
	Links map[LinkID]LinkView
	// Siblings by name. One that is not in it does not answer.
	Siblings map[string]SiblingView
	// Leaving: this node is no gateway any more, and others have stopped to send by it.
	Leaving bool
}

// SiblingView is how another gateway of this cluster is.
type SiblingView struct {
	// Up: it answers over the hand-over device.
	Up bool
	// Draining: flows should leave it.
	Draining bool
	// Reaches are the clusters to which it has a link that is up.
	Reaches map[v1alpha1.ClusterID]bool
}

// LinkView is how one link is.
type LinkView struct {
	// Up: the link carries packets.
	Up bool
	// Draining: flows should leave the remote gateway.
	Draining bool
	// New: no probe was answered yet, so that nothing is known of the link.
	New bool
}

// Remote is another cluster as its RemoteCluster describes it.
type Remote struct {
	ClusterID v1alpha1.ClusterID
	// Created is when this cluster learned of it. If two overlap, the older one stays.
	Created  time.Time
	Index    int32
	CIDRs    []v1alpha1.CIDR
	Gateways []v1alpha1.RemoteGateway
}

// LinkID names a link of this gateway.
type LinkID struct {
	Cluster v1alpha1.ClusterID
	// Gateway is the remote gateway's name.
	Gateway string
}

// compare orders links by cluster, then gateway.
func (l LinkID) compare(o LinkID) int {
	return cmp.Or(cmp.Compare(l.Cluster, o.Cluster), cmp.Compare(l.Gateway, o.Gateway))
}
