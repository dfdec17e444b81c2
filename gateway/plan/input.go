package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// Input is all that a plan depends on.
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
	// Underlay are this node's addresses outside the tunnels; without any, both families are taken to be there.
	Underlay []netip.Addr
	// MTU of the underlay in bytes.
	MTU int
	// Remotes are the other clusters, in any order.
	Remotes []Remote
	// Usable tells whether a link carries traffic now. Links that are not named do not.
	Usable map[LinkID]bool
}

// Remote is another cluster as its RemoteCluster describes it.
type Remote struct {
	ClusterID v1alpha1.ClusterID
	// Created is when this cluster learned of it: of two that collide the older one stays.
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

// bySeniority is the remotes with the one first that wins when two collide.
func bySeniority(remotes []Remote) []Remote {
	return slices.SortedFunc(slices.Values(remotes), func(a, b Remote) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ClusterID, b.ClusterID))
	})
}

// parseCIDR reads one CIDR in its canonical form.
func parseCIDR(c v1alpha1.CIDR) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(string(c))
	if err != nil || p != p.Masked() {
		return netip.Prefix{}, false
	}
	return p, true
}
