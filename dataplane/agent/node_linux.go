package agent

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/filter"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/dataplane/route"
)

// node is what this node's kernel should be, and what is known of how it is. It is used by the loop only.
type node struct {
	// planned is false until there was something to plan from: then the kernel is left alone.
	planned bool
	place   plan.Place
	network plan.Network
	backend v1alpha1.DataplaneBackend
	verdict verdict
	table   plan.Table

	// serving is what serves clusterset IPs; nil while nothing may.
	serving backend
	// owned are the VIP CIDRs that are ours: those of now, and those that were served before.
	owned []netip.Prefix
	// wanted are the virtual services that the kernel should have.
	wanted servicesByKey
	// changed are the keys that changed since the backend was last told.
	changed map[plan.Key]bool
	// inStep is false until the backend has once brought the kernel in step with all of wanted.
	inStep bool
	// repairTook is how long the last repair of the virtual services took.
	repairTook time.Duration

	filter      filter.Table
	filterDirty bool
	hairpin     map[plan.Key][]netip.Addr

	routesDirty bool

	// drift are the sysctls that are not as they should be; nil until they were looked at.
	drift    []string
	written  writtenCondition
	problems problems
}

func (n *node) close() {
	if n.serving != nil {
		n.serving.close()
	}
}

func (n *node) ownVIPs(prefixes ...netip.Prefix) {
	for _, p := range prefixes {
		if !slices.Contains(n.owned, p) {
			n.owned = append(n.owned, p)
			n.close()
			n.serving = nil // the next one knows all of them
		}
	}
}

func (n *node) setNetwork(network plan.Network) {
	n.ownVIPs(network.VIPs...)
	if !n.planned || !slices.Equal(n.network.VIPs, network.VIPs) || !slices.Equal(n.network.Own, network.Own) ||
		!slices.Equal(n.network.Remote, network.Remote) {
		n.filterDirty = true
	}
	if !n.planned || !route.Diff(n.network.Routes, network.Routes).Empty() {
		n.routesDirty = true
	}
	n.network = network
}

// setServices takes over from the table of services what those keys are now.
func (n *node) setServices(keys []plan.Key) {
	for _, key := range keys {
		if _, ok := ipvsKey(key); !ok {
			continue
		}
		if n.wanted == nil {
			n.wanted, n.changed, n.hairpin = servicesByKey{}, map[plan.Key]bool{}, map[plan.Key][]netip.Addr{}
		}
		n.changed[key] = true
		service, exists := n.table.Get(key)
		if _, had := n.wanted[key]; had != exists {
			n.filterDirty = true
		}
		if local := localAddresses(service); !slices.Equal(local, n.hairpin[key]) {
			n.filterDirty = true
			n.hairpin[key] = local
		}
		if !exists {
			delete(n.wanted, key)
			delete(n.hairpin, key)
			continue
		}
		n.wanted[key] = service
	}
}

// serve takes the backend that serves from now on.
func (n *node) serve() {
	if n.serving == nil {
		n.serving, n.inStep = newIPVSBackend(slices.Clone(n.owned)), false
	}
}

func (n *node) servicesDue(repair scope) bool {
	return !n.inStep || len(n.changed) > 0 || repair > none
}

// syncServices tells the backend what changed, all of it at first, and has it look for what others did in a repair.
func (n *node) syncServices(ctx context.Context, repair scope) (int, error) {
	keys := n.changed
	if !n.inStep {
		keys = allKeys(n.wanted)
	}
	first := !n.inStep
	written, err := n.serving.sync(ctx, n.wanted, slices.SortedFunc(maps.Keys(keys), plan.Key.Compare))
	clear(n.changed) // a backend remembers what it could not do
	n.inStep = n.inStep || err == nil
	if repair == none || first {
		return written, permission(err)
	}
	begin := time.Now()
	repaired, errRepair := n.serving.repair(ctx, n.wanted)
	n.repairTook = time.Since(begin)
	return written + repaired, permission(errors.Join(err, errRepair))
}

func allKeys(all servicesByKey) map[plan.Key]bool {
	keys := make(map[plan.Key]bool, len(all))
	for key := range all {
		keys[key] = true
	}
	return keys
}

// filterDue costs one netlink request in a repair, as long as nobody writes to nftables.
func (n *node) filterDue(repair scope) bool {
	switch {
	case n.filterDirty:
		return true
	case repair == everything:
		return n.filter.Touched()
	}
	return false
}

func (n *node) syncFilter(ctx context.Context) (int, error) {
	want := filter.Config{VIPs: n.network.VIPs, Own: n.network.Own, Remote: n.network.Remote}
	for key := range n.wanted {
		want.Served = append(want.Served, filter.Port{Address: key.Address, Protocol: strings.ToLower(string(key.Protocol)), Port: key.Port})
	}
	for _, addresses := range n.hairpin {
		want.Hairpin = append(want.Hairpin, addresses...)
	}
	change, err := n.filter.Update(ctx, want)
	n.filterDirty = err != nil
	return change.Size(), permission(err)
}

func (n *node) routesDue(repair scope) bool { return n.routesDirty || repair == everything }

func (n *node) syncRoutes(ctx context.Context) (int, error) {
	change, err := route.Sync(ctx, n.network.Routes)
	n.routesDirty = err != nil
	return change.Size(), permission(err)
}

// checkSysctls sets what may be set and remembers the rest. Without the module there is nothing to look at.
func (n *node) checkSysctls() {
	n.drift = []string{}
	if n.inStep {
		drift, _ := ipvs.SetSysctls()
		n.drift = append(n.drift, drift...)
	}
}

// mayChangeNetwork tells whether this thread has CAP_NET_ADMIN in effect.
func mayChangeNetwork() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return true // whether it may, the kernel will tell
	}
	return data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}

// localAddresses are those of the service's endpoints on this node.
func localAddresses(v plan.VirtualService) []netip.Addr {
	var local []netip.Addr
	for _, d := range v.Destinations {
		if d.OnThisNode {
			local = append(local, d.Address)
		}
	}
	return local
}
