package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/filter"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/conntrack"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// Cleanup removes from this node all that the dataplane has made, and nothing else. It needs no API
// server: the kernel knows which VIP CIDRs were served. It tries every part.
func Cleanup(ctx context.Context) error {
	var errs []error
	vips, err := servedVIPs(ctx)
	errs = append(errs, err)
	errs = append(errs, backend.Remove(ctx, vips))
	if _, err := syncNetwork(ctx, network{}); err != nil {
		errs = append(errs, fmt.Errorf("removing routes: %w", err))
	}
	if _, err := firewall.New(firewall.FilterTable).Sync(ctx, firewall.Config{}); err != nil {
		errs = append(errs, fmt.Errorf("removing the filter: %w", err))
	}
	if _, err := firewall.New(firewall.NodeTable).Sync(ctx, firewall.Config{}); err != nil {
		errs = append(errs, fmt.Errorf("removing what admits packets: %w", err))
	}
	// Only now: until nothing serves, new flows come. Without this, flows under way would go on to
	// where nothing serves.
	if _, err := conntrack.DeleteInside(ctx, vips); err != nil {
		errs = append(errs, fmt.Errorf("removing tracked flows: %w", err))
	}
	return remedied(errors.Join(errs...))
}

// servedVIPs returns the blocks of the local routes, and the addresses that the filter lets
// through, in case a route is missing.
func servedVIPs(ctx context.Context) ([]netip.Prefix, error) {
	routes, err := route.DataplaneOwner().Read(ctx)
	if err != nil {
		return nil, err
	}
	vips := plan.LocalVIPs(routes)
	table, err := firewall.New(firewall.FilterTable).Read(ctx)
	for _, a := range filter.Served(table) {
		vips = append(vips, netip.PrefixFrom(a, a.BitLen()))
	}
	return vips, err
}
