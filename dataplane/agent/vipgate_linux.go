package agent

import (
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// vipGate keeps filter and routes in order: without the filter, the node's own listeners would
// answer on every clusterset IP that a route leads to the node. The filter comes before a route, and
// goes after it.
type vipGate struct {
	// guarded are the VIP CIDRs that the filter's table in the kernel guards, as of the last attempt.
	guarded []netip.Prefix
	// led are the VIP CIDRs that the kernel's routes lead to this node, as of the last attempt.
	led []netip.Prefix
}

// recall takes over what an earlier life of this agent left: its routes, and the table called that
// if there is one. If the kernel does not tell, what is there stays.
func (g *vipGate) recall(have route.Config, table string) {
	g.led = plan.LocalVIPs(have)
	if exists, err := nft.TableExists(table); exists || err != nil {
		g.guarded = g.led
	}
}

// filterFailed takes note that the table could not be brought in step. What the kernel has of it
// still guards.
func (g *vipGate) filterFailed(table string) {
	if exists, err := nft.TableExists(table); err == nil && !exists {
		g.guarded = nil
	}
}

// routed takes note of the routes that were written, or of the attempt.
func (g *vipGate) routed(written route.Config, err error) {
	led := plan.LocalVIPs(written)
	if err != nil {
		led = g.guard(led)
	}
	g.led = led
}

// guard returns what the filter must guard: what is wanted, and what is still led here.
func (g *vipGate) guard(wanted []netip.Prefix) []netip.Prefix {
	all := slices.Concat(wanted, g.led)
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all)
}

// pass returns the routes without those to VIP CIDRs that are not guarded.
func (g *vipGate) pass(wanted route.Config) route.Config {
	wanted.Routes = slices.DeleteFunc(slices.Clone(wanted.Routes), func(r route.Route) bool {
		return plan.LeadsToVIPs(r) && !slices.ContainsFunc(g.guarded, func(p netip.Prefix) bool {
			return p.Bits() <= r.Destination.Bits() && clusterset.Contains([]netip.Prefix{p}, r.Destination.Addr())
		})
	})
	return wanted
}
