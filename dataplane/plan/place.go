package plan

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Place is where the plan is for.
type Place struct {
	// Cluster is this cluster's ID.
	Cluster v1alpha1.ClusterID
	// Node is this node's name, Zone the zone in its labels; empty if it has none.
	Node, Zone string
	// Area of this cluster.
	Area clusterset.Area
	// VIPs are the VIP CIDRs that this node serves. A clusterset IP outside of them is not served:
	// nothing would lead to it.
	VIPs []netip.Prefix
	// Pods are the prefixes of this node's pods, as far as its Node says.
	Pods []netip.Prefix
	// Addresses of this node. They are not endpoints of other clusters.
	Addresses []netip.Addr
	// Remotes are the other members, by their cluster IDs.
	Remotes map[v1alpha1.ClusterID]Remote
	// CIDRs are those of each cluster, this one among them: an endpoint outside of its cluster's gets
	// no flows. Nil: that is not known, and every address counts.
	CIDRs map[v1alpha1.ClusterID][]netip.Prefix
	// Locality is where flows go without trafficDistribution; empty: to all endpoints alike.
	Locality v1alpha1.Locality
	// FailBack is how long endpoints that had failed must be well before flows go back to them.
	FailBack time.Duration
}

// Remote is another member.
type Remote struct {
	Area clusterset.Area
	// Unreachable is true if nothing leads to it. Its endpoints then count as not ready while
	// others are ready.
	Unreachable bool
}

// Equal tells whether two places are the same in every field.
func (p Place) Equal(other Place) bool {
	return p.Cluster == other.Cluster && p.Node == other.Node && p.Zone == other.Zone && p.Area == other.Area &&
		slices.Equal(p.VIPs, other.VIPs) && slices.Equal(p.Addresses, other.Addresses) && slices.Equal(p.Pods, other.Pods) &&
		maps.Equal(p.Remotes, other.Remotes) && maps.EqualFunc(p.CIDRs, other.CIDRs, slices.Equal) && p.Locality == other.Locality && p.FailBack == other.FailBack
}

// NewPlace is the place of a node, with the VIP CIDRs that it can serve.
func NewPlace(in NetworkInput, vips []netip.Prefix) Place {
	set := in.ClusterSet
	place := Place{
		Cluster: set.Spec.ClusterID, Node: in.Node, Area: clusterset.Area{Region: set.Status.Region, ZoneDomain: set.Status.ZoneDomain},
		VIPs: vips, Remotes: remotes(in.Remotes, in.Live),
		CIDRs: cidrs(set.Spec.ClusterID, prefixes(set.Status.CIDRs), in.Remotes), Locality: set.Spec.Dataplane.Locality, FailBack: defaultFailBack,
	}
	if s := set.Spec.Dataplane.FailBackSeconds; s != nil {
		place.FailBack = time.Duration(*s) * time.Second
	}
	for _, node := range in.Nodes {
		if node.Name == in.Node {
			place.Zone = node.Labels[corev1.LabelTopologyZone]
			place.Pods = podCIDRs(node)
			place.Addresses = clusterset.AddressesOf(node, corev1.NodeInternalIP)
		}
	}
	return place
}

// defaultFailBack is the API's default.
const defaultFailBack = 30 * time.Second

// WithRemotes is the place among these other members, by the links of the live gateways of this
// cluster.
func (p Place) WithRemotes(all []*v1alpha1.RemoteCluster, live clusterset.LiveGateways) Place {
	p.Remotes = remotes(all, live)
	p.CIDRs = cidrs(p.Cluster, p.CIDRs[p.Cluster], all)
	return p
}

// cidrs are those of this cluster and of the others.
func cidrs(own v1alpha1.ClusterID, ownCIDRs []netip.Prefix, all []*v1alpha1.RemoteCluster) map[v1alpha1.ClusterID][]netip.Prefix {
	found := make(map[v1alpha1.ClusterID][]netip.Prefix, len(all)+1)
	for _, r := range all {
		found[v1alpha1.ClusterID(r.Name)] = prefixes(r.Spec.CIDRs)
	}
	found[own] = ownCIDRs
	return found
}

func remotes(all []*v1alpha1.RemoteCluster, live clusterset.LiveGateways) map[v1alpha1.ClusterID]Remote {
	found := make(map[v1alpha1.ClusterID]Remote, len(all))
	for _, r := range all {
		found[v1alpha1.ClusterID(r.Name)] = Remote{
			Area:        clusterset.Area{Region: r.Spec.Region, ZoneDomain: r.Spec.ZoneDomain},
			Unreachable: !clusterset.Reachable(r, live),
		}
	}
	return found
}

// area of a cluster, this one or another; the zero Area if nothing is known of it.
func (p *Place) area(cluster v1alpha1.ClusterID) clusterset.Area {
	if cluster == p.Cluster {
		return p.Area
	}
	return p.Remotes[cluster].Area
}
