package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/filter"
	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/node"
)

// filterTable is the part that refuses what nothing serves, and keeps the sources of packets
// between clusters.
type filterTable struct {
	attempts
	table   *firewall.Table
	planned firewall.Config
	wanted  *plan.Table
	network plan.Network
	// gate says what is guarded. vips are what the last attempt was to guard, and overlay is the last
	// one that there was.
	gate    *vipGate
	vips    []netip.Prefix
	overlay plan.Overlay
	// elements are those of endpoints.
	elements firewall.Elements[owner]
	// dirty is true if what is wanted may have changed since the last attempt.
	dirty bool
}

// owner is who adds elements to the filter: a port of a clusterset IP, or a ServiceImport.
type owner struct {
	port    plan.Key
	imports types.NamespacedName
}

func newFilterTable(wanted *plan.Table, gate *vipGate, writes *nft.Writes) *filterTable {
	return &filterTable{attempts: attempts{retry: newRetry()}, table: firewall.New(firewall.FilterTable).Share(writes), wanted: wanted, gate: gate, dirty: true}
}

func (f *filterTable) name() string { return "filter" }

func (f *filterTable) setNetwork(network plan.Network) {
	old := f.network
	f.dirty = f.dirty || !slices.Equal(old.VIPs, network.VIPs) || !slices.Equal(old.Own, network.Own) ||
		!slices.Equal(old.Remote, network.Remote) || !slices.Equal(old.Transit, network.Transit) ||
		!slices.Equal(old.TransitCIDRs, network.TransitCIDRs) || !slices.Equal(old.Tunnel, network.Tunnel) ||
		!old.Overlay.Equal(network.Overlay) || old.Open != network.Open
	f.network = network
	if network.Overlay.Port != 0 {
		f.overlay = network.Overlay
	}
}

// replace takes note of services that were replaced in the table.
func (f *filterTable) replace(replaced []plan.Replaced) {
	for _, r := range replaced {
		var has filter.Endpoints
		if service, exists := f.wanted.Get(r.Key); exists {
			has = filter.Endpoints{Served: []plan.Key{r.Key}, Hairpin: hairpins(service)}
		}
		f.put(owner{port: r.Key}, has)
	}
}

// putImport takes note of the endpoints of a ServiceImport that may send UDP, and of those that are no
// pods.
func (f *filterTable) putImport(name types.NamespacedName, udp plan.UDP, external []netip.Addr) {
	f.put(owner{imports: name}, filter.Endpoints{External: external, Answering: udp.Imported, Exported: udp.Exported})
}

func (f *filterTable) put(o owner, has filter.Endpoints) {
	if f.elements.Put(o, has.Elements()) {
		f.dirty = true
	}
}

// due costs one netlink request in a repair, as long as nobody writes to nftables.
func (f *filterTable) due(_ context.Context, now time.Time, cause node.Cause) bool {
	f.dirty = f.dirty || f.stale()
	if f.retry.Failing() {
		return f.retry.Due(now, f.dirty) || cause == node.Audited
	}
	return f.dirty || cause != node.Marked && f.table.Touched()
}

func (f *filterTable) sync(ctx context.Context, now time.Time, _ node.Cause) (backend.Change, error) {
	touched := !f.dirty && !f.retry.Failing()
	if !touched {
		f.vips, f.dirty = f.gate.guard(f.network.VIPs), false
		f.planned = filter.Table(f.input())
	}
	change, err := f.table.Sync(ctx, f.planned)
	if err == nil {
		f.gate.guarded = f.vips
	} else {
		f.gate.filterFailed(firewall.FilterTable)
	}
	did := backend.Change{Written: change.Size()}
	if touched && change.Replace {
		did.Mended = []string{"the nftables table " + firewall.FilterTable}
	} else if touched && !change.Empty() {
		did.Mended = []string{fmt.Sprintf("%d elements of the nftables table %s", change.Size(), firewall.FilterTable)}
	}
	return did, f.record(now, nftables.Diagnose(ctx, err))
}

// stale reports whether other VIP CIDRs are to be guarded than at the last attempt.
func (f *filterTable) stale() bool {
	for _, p := range f.vips {
		if !slices.Contains(f.network.VIPs, p) && !slices.Contains(f.gate.led, p) {
			return true
		}
	}
	missing := func(p netip.Prefix) bool { return !slices.Contains(f.vips, p) }
	return slices.ContainsFunc(f.network.VIPs, missing) || slices.ContainsFunc(f.gate.led, missing)
}

// filterAfterRoutes is the filter once more, for what may go when the routes have gone.
type filterAfterRoutes struct{ *filterTable }

func (f filterAfterRoutes) due(ctx context.Context, now time.Time, cause node.Cause) bool {
	return f.stale() && f.filterTable.due(ctx, now, cause)
}

// input returns what the table depends on.
func (f *filterTable) input() filter.Input {
	in := filter.Input{VIPs: f.vips, Own: f.network.Own, Remote: f.network.Remote, Tunnel: f.network.Tunnel,
		Transit: f.network.Transit, TransitCIDRs: f.network.TransitCIDRs, Open: f.network.Open, Endpoints: f.elements.Sets()}
	if f.network.Overlay.Port != 0 || len(f.gate.led) > 0 { // the VXLAN goes with the routes
		in.Overlay = f.overlay
	}
	return in
}

// hairpins returns the addresses of the service's endpoints that may reach themselves from this node.
func hairpins(v plan.VirtualService) []netip.Addr {
	var all []netip.Addr
	for _, d := range v.Destinations {
		if d.Hairpin {
			all = append(all, d.Address)
		}
	}
	return all
}
