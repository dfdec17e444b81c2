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
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// ErrNoIndex means that the hub has not yet said this cluster's index, so that there are no
// addresses to use.
var ErrNoIndex = errors.New("this cluster has no index yet: it comes from its Member on the hub")

// Config is what the gateway's node should look like.
type Config struct {
	WireGuard wireguard.Config
	Routes    route.Config
	// Links to probe, by ID.
	Links []Link
	// TunnelAddresses are this gateway's own, IPv4 first.
	TunnelAddresses []netip.Addr
	// Warnings, sorted.
	Warnings []Warning
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
	// TunnelAddress of the remote gateway that answers probes.
	TunnelAddress netip.Addr
}

// Warning says why a part of a remote cluster is left out, and what to do about it.
type Warning struct {
	Cluster v1alpha1.ClusterID
	// Gateway is empty if the warning is about the whole cluster.
	Gateway string
	Message string
}

func (w Warning) compare(o Warning) int {
	return cmp.Or(cmp.Compare(w.Cluster, o.Cluster), cmp.Compare(w.Gateway, o.Gateway), cmp.Compare(w.Message, o.Message))
}

// New is the plan for in. An error is about this cluster itself, and then there is no plan. What is
// wrong with a remote cluster is a warning.
func New(in Input) (Config, error) {
	own, err := TunnelAddresses(in.Transit, in.ClusterSetID, in.Index, in.Lane)
	if err != nil {
		return Config{}, err
	}
	clusters, warnings := acceptRemotes(in)
	t := newTunnels(in, own)
	for i := range clusters {
		clusters[i].links = t.add(&clusters[i])
	}
	config := Config{
		WireGuard:       t.config(),
		Routes:          routesTo(clusters, own, in.Usable),
		Links:           t.links,
		TunnelAddresses: own,
		Warnings:        append(warnings, t.warnings...),
	}
	slices.SortFunc(config.Links, func(x, y Link) int { return x.compare(y.LinkID) })
	slices.SortFunc(config.Warnings, Warning.compare)
	return config, nil
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
