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
	corev1 "k8s.io/api/core/v1"

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

	ipvs ipvs.Table
	// owned are the VIP CIDRs in which marked services are ours: those of now, and those that were served before.
	owned []netip.Prefix
	// wanted is the table of services as IPVS should have it.
	wanted ipvs.Config
	// pending are the keys that changed since the kernel was last in step with them.
	pending map[ipvs.Key]bool
	// compared is false until the kernel's table was once read and in step as a whole.
	compared bool
	// audit tells whether this pass looks for what others did.
	audit bool
	// repairTook is how long the last comparison with all of the kernel's table took.
	repairTook time.Duration
	foreign    []ipvs.Key

	filter      filter.Table
	filterDirty bool
	hairpin     map[plan.Key][]netip.Addr

	routesDirty bool

	// drift are the sysctls that are not as they should be; nil until they were looked at.
	drift    []string
	written  writtenCondition
	problems problems
}

func (n *node) close() { n.ipvs.Close() }

func (n *node) ownVIPs(prefixes ...netip.Prefix) {
	for _, p := range prefixes {
		if !slices.Contains(n.owned, p) {
			n.owned = append(n.owned, p)
			n.compared = false
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
		k, ok := ipvsKey(key)
		if !ok {
			continue
		}
		if n.wanted.Services == nil {
			n.wanted.Services, n.pending, n.hairpin = map[ipvs.Key]ipvs.Service{}, map[ipvs.Key]bool{}, map[plan.Key][]netip.Addr{}
		}
		n.pending[k] = true
		service, exists := n.table.Get(key)
		if _, had := n.wanted.Services[k]; had != exists {
			n.filterDirty = true
		}
		if local := localAddresses(service); !slices.Equal(local, n.hairpin[key]) {
			n.filterDirty = true
			n.hairpin[key] = local
		}
		if !exists {
			delete(n.wanted.Services, k)
			delete(n.hairpin, key)
			continue
		}
		n.wanted.Services[k] = ipvsService(service)
	}
}

func (n *node) servicesDue(repair scope) bool {
	n.audit = repair > none
	return !n.compared || len(n.pending) > 0 || repair > none
}

// auditRounds is in how many repairs every service's destinations are compared once.
const auditRounds = 60

// syncServices brings the virtual services in step: all of them at first, then what changed, and in a repair what
// others did.
func (n *node) syncServices(ctx context.Context) (int, error) {
	scope := ipvs.Scope{VIPs: n.owned, Wanted: n.wanted}
	if !n.compared {
		result, err := n.ipvs.Sync(ctx, scope)
		n.foreign = result.Foreign
		if err == nil {
			n.compared = true
			clear(n.pending)
		}
		return len(result.Change.Operations), permission(err)
	}
	written, err := 0, error(nil)
	if len(n.pending) > 0 {
		var change ipvs.Change
		change, err = n.ipvs.SyncKeys(ctx, scope, slices.SortedFunc(maps.Keys(n.pending), ipvs.Key.Compare))
		written = len(change.Operations)
		if err == nil {
			clear(n.pending)
		}
	}
	if !n.audit {
		return written, permission(err)
	}
	begin := time.Now()
	result, errRepair := n.ipvs.Repair(ctx, scope, len(n.wanted.Services)/auditRounds+1)
	n.repairTook = time.Since(begin)
	if errRepair == nil {
		n.foreign = result.Foreign
	}
	return written + len(result.Change.Operations), permission(errors.Join(err, errRepair))
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
	for key := range n.wanted.Services {
		want.Served = append(want.Served, filter.Port{Address: key.Address, Protocol: strings.ToLower(key.Protocol.String()), Port: key.Port})
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
	if n.compared {
		drift, _ := ipvs.SetSysctls()
		n.drift = append(n.drift, drift...)
	}
}

var protocols = map[corev1.Protocol]ipvs.Protocol{
	corev1.ProtocolTCP: ipvs.TCP, corev1.ProtocolUDP: ipvs.UDP, corev1.ProtocolSCTP: ipvs.SCTP,
}

// ipvsKey is false for a protocol that IPVS does not know.
func ipvsKey(key plan.Key) (ipvs.Key, bool) {
	protocol, ok := protocols[key.Protocol]
	return ipvs.Key{Address: key.Address, Port: key.Port, Protocol: protocol}, ok
}

func ipvsService(v plan.VirtualService) ipvs.Service {
	service := ipvs.Service{Scheduler: string(v.Scheduler), Affinity: v.Affinity,
		Destinations: make([]ipvs.Destination, 0, len(v.Destinations))}
	for _, d := range v.Destinations {
		service.Destinations = append(service.Destinations, ipvs.Destination{Address: d.Address, Port: d.Port, Weight: d.Weight})
	}
	return service
}

func samePlace(a, b plan.Place) bool {
	return a.Cluster == b.Cluster && a.Node == b.Node && slices.Equal(a.VIPs, b.VIPs) && maps.Equal(a.Unreachable, b.Unreachable)
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
