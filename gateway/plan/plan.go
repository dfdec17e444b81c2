package plan

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// ErrNoIndex means that the hub has not yet said this cluster's index, so that there are no
// addresses to use.
var ErrNoIndex = errors.New("this cluster has no index yet: it comes from its Member on the hub")

// Tunnels is the first half of a plan: what does not depend on which links are up.
type Tunnels struct {
	WireGuard wireguard.Config
	// Links to probe, by ID.
	Links []Link
	// Clusters that are accepted, the one first that wins if two overlap.
	Clusters []Cluster
	// Siblings are the other gateways of this cluster to which packets may be handed over, by name.
	Siblings []Sibling
	// Handover is the device that leads to them; none without siblings.
	Handover vxlan.Config
	// MTU of the tunnels in bytes.
	MTU int
	// TunnelAddresses are this gateway's own, IPv4 first.
	TunnelAddresses []netip.Addr
	// Warnings, sorted.
	Warnings []Warning
}

// Cluster is a remote cluster that the gateway connects to.
type Cluster struct {
	ID v1alpha1.ClusterID
	// Index is its Member's.
	Index int32
	// Blocks are its transit blocks, IPv4 first. Prefixes are its CIDRs and its blocks, sorted.
	Blocks, Prefixes []netip.Prefix
	// Links to its gateways, by lane.
	Links []Link
}

// Link is one link of this gateway.
type Link struct {
	LinkID
	// Device that the link uses.
	Device string
	Lane   v1alpha1.Lane
	// PublicKey of the remote gateway.
	PublicKey wireguard.PublicKey
	// Endpoint that packets to the remote gateway go to, unless WireGuard has learned a better one.
	Endpoint netip.AddrPort
	// Endpoints are all that can be tried, best first.
	Endpoints []netip.AddrPort
	// TunnelAddress of the remote gateway that answers probes.
	TunnelAddress netip.Addr
}

// Warning says why a part of a remote cluster is left out, and what to do about it.
type Warning struct {
	// Cluster is empty if the warning is about this node.
	Cluster v1alpha1.ClusterID
	// Gateway is empty if the warning is about the whole cluster.
	Gateway string
	Message string
}

func (w Warning) compare(o Warning) int {
	return cmp.Or(cmp.Compare(w.Cluster, o.Cluster), cmp.Compare(w.Gateway, o.Gateway), cmp.Compare(w.Message, o.Message))
}

// NewTunnels is the first half of the plan for in. An error is about this cluster itself, and then
// there is no plan. What is wrong with a remote cluster is a warning.
func NewTunnels(in Input) (Tunnels, error) {
	own, err := TunnelAddresses(in.Transit, in.ClusterSetID, in.Index, in.Lane)
	if err != nil {
		return Tunnels{}, err
	}
	remotes, warnings := acceptRemotes(in)
	b := newBuilder(in, own)
	clusters := make([]Cluster, 0, len(remotes))
	for _, r := range remotes {
		r.Links = b.add(r)
		clusters = append(clusters, r.Cluster)
	}
	tunnels := Tunnels{
		WireGuard: b.config(), Links: b.links, Clusters: clusters, MTU: tunnelMTU(in.MTU), TunnelAddresses: own,
		Warnings: append(warnings, b.warnings...),
	}
	tunnels.addSiblings(in)
	if in.NoIPv6 != "" {
		tunnels.leaveOutIPv6(in)
	}
	slices.SortFunc(tunnels.Links, func(x, y Link) int { return x.compare(y.LinkID) })
	slices.SortFunc(tunnels.Warnings, Warning.compare)
	return tunnels, nil
}

// TunnelAddresses are a gateway's addresses inside the tunnels, IPv4 first. The error is ErrNoIndex
// or names what does not fit.
func TunnelAddresses(transit v1alpha1.CIDR, clusterSetID string, index int32, lane v1alpha1.Lane) ([]netip.Addr, error) {
	blocks, err := transitBlocks(transit, clusterSetID, index)
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.Addr, 0, len(blocks))
	for _, b := range blocks {
		addrs = append(addrs, clusterset.TunnelAddress(b, lane))
	}
	return addrs, nil
}

// transitBlocks are a Member's blocks, IPv4 first.
func transitBlocks(transit v1alpha1.CIDR, clusterSetID string, index int32) ([]netip.Prefix, error) {
	if index == 0 {
		return nil, ErrNoIndex
	}
	cidr, ok := clusterset.ParseCIDR(transit)
	if !ok {
		return nil, fmt.Errorf("transit CIDR %q: want an IPv4 CIDR without host bits, such as 245.0.0.0/8", transit)
	}
	block, err := clusterset.TransitBlock(cidr, index)
	if err != nil {
		return nil, err
	}
	return []netip.Prefix{block, clusterset.TransitBlock6(clusterSetID, index)}, nil
}
