package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/filter"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// node is what this node's kernel should be, and what is known of how it is. It is used by the loop only.
type node struct {
	// planned is false until there was something to plan from: then the kernel is left alone.
	planned bool
	place   plan.Place
	network plan.Network
	// asked is the backend that the ClusterSet asks for.
	asked   v1alpha1.DataplaneBackend
	verdict verdict
	// counters says whether nftables is to count flows, and counting whether serving does.
	counters, counting bool
	// noIPVS says why this kernel has no IPVS, as of the last repair; nil if it has.
	noIPVS error
	table  plan.Table
	// memory is what the plans of ServiceImports need to know of those before them, and again when to plan them anew.
	memory map[types.NamespacedName]plan.Memory
	// recalled is what an earlier life of this agent served, for the first plans.
	recalled servicesByKey
	again    map[types.NamespacedName]time.Time
	skips    skips

	// serving is what serves clusterset IPs, by the backend of that name; nil while nothing may.
	serving   backend
	servingBy v1alpha1.DataplaneBackend
	// leaving is the other backend, until nothing of it is left in the kernel.
	leaving backend
	// owned are the VIP CIDRs that are ours: those of now, and those that were served before.
	owned []netip.Prefix
	// wanted are the virtual services that the kernel should have.
	wanted servicesByKey
	// destinations is how many they have.
	destinations int
	// changed are the keys that changed since the backend was last told.
	changed map[plan.Key]bool
	// inStep is false until the backend has once brought the kernel in step with all of wanted.
	inStep bool
	// failed is why the kernel is not in step with wanted since the last attempt; nil if it is.
	failed error
	// retries say when to try again what failed.
	retries struct{ services, filter, routes retry }

	filter      filter.Table
	filterDirty bool
	hairpin     map[plan.Key][]netip.Addr

	routesDirty bool
	// routesTouched is set when the kernel says that somebody changed routes, rules or addresses.
	routesTouched atomic.Bool

	sysctls ipvs.Sysctls
	// drift are the sysctls that are not as they should be; nil until they were looked at.
	drift   []string
	written writtenCondition
	// said is what the condition said when it was last looked at; zero if that failed.
	said saying
	// remarked are the remarks of the last report.
	remarked string
	problems problems
}

func (n *node) close() {
	for _, b := range []backend{n.serving, n.leaving} {
		if b != nil {
			b.close()
		}
	}
	n.serving, n.leaving = nil, nil
	n.sysctls.Close()
}

func (n *node) ownVIPs(prefixes ...netip.Prefix) {
	for _, p := range prefixes {
		if !slices.Contains(n.owned, p) {
			n.owned = append(n.owned, p)
			n.close() // the next ones know all of them
		}
	}
}

func (n *node) setNetwork(network plan.Network) {
	n.ownVIPs(network.VIPs...)
	if !n.planned || !slices.Equal(n.network.VIPs, network.VIPs) || !slices.Equal(n.network.Own, network.Own) ||
		!slices.Equal(n.network.Remote, network.Remote) || !slices.Equal(n.network.Transit, network.Transit) ||
		!slices.Equal(n.network.TransitCIDRs, network.TransitCIDRs) {
		n.filterDirty = true
	}
	if !n.planned || !route.Diff(n.network.Routes, network.Routes).Empty() {
		n.routesDirty = true
	}
	n.network = network
}

// grow makes room for so many ServiceImports, the first time.
func (n *node) grow(imports int) {
	if n.memory != nil {
		return
	}
	n.table.Grow(imports)
	n.memory, n.again = make(map[types.NamespacedName]plan.Memory, imports), map[types.NamespacedName]time.Time{}
	n.wanted, n.changed, n.hairpin = make(servicesByKey, imports), make(map[plan.Key]bool, imports), map[plan.Key][]netip.Addr{}
}

// take takes over the plan for a ServiceImport; the zero Output: there is none any more.
func (n *node) take(name types.NamespacedName, planned plan.Output) {
	n.grow(1)
	n.setServices(n.table.Put(name, planned.Services))
	delete(n.again, name)
	if len(planned.Services) > 0 {
		n.memory[name] = planned.Memory
	} else {
		delete(n.memory, name)
	}
	if !planned.Again.IsZero() {
		n.again[name] = planned.Again
	}
}

// remembered is the memory for the next plan of a ServiceImport. Without one there is what the kernel still has, so that
// a restart ends no flow to an endpoint that drains. (nftables keeps its flows by itself.)
func (n *node) remembered(si *mcsv1beta1.ServiceImport) plan.Memory {
	if memory, ok := n.memory[types.NamespacedName{Namespace: si.Namespace, Name: si.Name}]; ok || len(n.recalled) == 0 {
		return memory
	}
	var served []plan.VirtualService
	for _, ip := range si.Spec.IPs {
		address, err := netip.ParseAddr(ip)
		if err != nil {
			continue
		}
		for _, port := range si.Spec.Ports {
			key := plan.Key{Address: address, Protocol: cmp.Or(port.Protocol, corev1.ProtocolTCP), Port: uint16(port.Port)}
			if service, ok := n.recalled[key]; ok {
				served = append(served, service)
			}
		}
	}
	return plan.Recall(served)
}

// due are the ServiceImports whose time to be planned anew has come.
func (n *node) due(now time.Time) []types.NamespacedName {
	var names []types.NamespacedName
	for name, at := range n.again {
		if !now.Before(at) {
			names = append(names, name)
		}
	}
	return names
}

// setServices takes over from the table of services what those keys are now.
func (n *node) setServices(keys []plan.Key) {
	for _, key := range keys {
		if _, ok := ipvsKey(key); !ok {
			continue
		}
		n.changed[key] = true
		service, exists := n.table.Get(key)
		n.destinations += len(service.Destinations) - len(n.wanted[key].Destinations)
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

// serve takes the backend of the verdict. The other one leaves as soon as the kernel is in step with this one, also if it
// is from an earlier life of this agent: established flows go on, and no new one finds nobody.
func (n *node) serve() {
	if n.serving != nil && n.servingBy == n.verdict.backend && n.counting == n.counters {
		return
	}
	n.close()
	n.servingBy, n.counting, n.inStep = n.verdict.backend, n.counters, false
	n.failed, n.retries.services = nil, retry{}
	nft := newNFTBackend(n.counters)
	nft.owned = slices.Clone(n.owned)
	n.serving, n.leaving = newIPVSBackend(slices.Clone(n.owned)), nft
	if n.servingBy == v1alpha1.BackendNFTables {
		n.serving, n.leaving = n.leaving, n.serving
	}
}

func (n *node) servicesDue(ctx context.Context, repair scope) bool {
	return !n.inStep || len(n.changed) > 0 || n.failed != nil && repair > none || repair == everything ||
		repair > none && n.serving.touched(ctx)
}

// syncServices tells the backend what changed, all of it at first, and has it look for what others did in a repair. What
// failed is tried again less and less often; an audit tries it in any case.
func (n *node) syncServices(ctx context.Context, repair scope) (did outcome, err error) {
	now, first := time.Now(), !n.inStep
	pending := first || len(n.changed) > 0 || n.failed != nil
	told := pending && (n.retries.services.due(now, len(n.changed) > 0 || n.loaded()) || repair == everything)
	if told {
		did, n.failed = n.tell(ctx)
		n.retries.services.record(now, n.failed)
	}
	idle := !told && n.failed != nil
	if repair > none && (!first || !told) {
		mended, err := n.serving.repair(ctx, repair == everything)
		did = did.and(mended)
		if err != nil && n.failed == nil {
			n.failed = err
			n.retries.services.record(now, err)
		}
	}
	if n.leaving != nil && n.failed == nil && (first || repair == everything) {
		left, gone, errLeave := n.leaving.leave(ctx, now)
		if gone {
			n.leaving.close()
			n.leaving = nil
		}
		did, err = did.and(left), errLeave
	}
	did.idle = idle
	return did, remedied(errors.Join(n.failed, err))
}

// tell the backend what changed, or all there is until the kernel was once in step.
func (n *node) tell(ctx context.Context) (outcome, error) {
	keys := n.changed
	if !n.inStep {
		keys = allKeys(n.wanted)
		maps.Copy(keys, n.changed) // those that went since a first attempt that failed
	}
	did, err := n.serving.sync(ctx, n.wanted, slices.SortedFunc(maps.Keys(keys), plan.Key.Compare))
	clear(n.changed) // a backend remembers what it could not do
	n.inStep = n.inStep || err == nil
	return did, err
}

// loaded tells whether IPVS is there by now, for want of which the last attempt failed.
func (n *node) loaded() bool {
	return n.servingBy == v1alpha1.BackendIPVS && n.noIPVS == nil && errors.Is(n.failed, ipvs.ErrNoModule)
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
	if r := &n.retries.filter; r.failing() {
		return r.due(time.Now(), n.filterDirty) || repair == everything
	}
	return n.filterDirty || repair > none && n.filter.Touched()
}

func (n *node) syncFilter(ctx context.Context) (outcome, error) {
	touched := !n.filterDirty && !n.retries.filter.failing()
	want := filter.Config{VIPs: n.network.VIPs, Own: n.network.Own, Remote: n.network.Remote,
		Transit: n.network.Transit, TransitCIDRs: n.network.TransitCIDRs}
	for key := range n.wanted {
		want.Served = append(want.Served, filter.Port{Address: key.Address, Protocol: strings.ToLower(string(key.Protocol)), Port: key.Port})
	}
	for _, addresses := range n.hairpin {
		want.Hairpin = append(want.Hairpin, addresses...)
	}
	change, err := n.filter.Update(ctx, want)
	n.filterDirty = false
	err = nftables.Diagnose(ctx, err)
	n.retries.filter.record(time.Now(), err)
	did := outcome{written: change.Size()}
	if touched && change.Replace {
		did.mended = []string{"the nftables table " + filter.TableName}
	} else if touched && !change.Empty() {
		did.mended = []string{fmt.Sprintf("%d elements of the nftables table %s", change.Size(), filter.TableName)}
	}
	return did, remedied(err)
}

// routesDue: the kernel tells when somebody changes routes; should it have lost a message, an audit finds out.
func (n *node) routesDue(repair scope) bool {
	if r := &n.retries.routes; r.failing() {
		return r.due(time.Now(), n.routesDirty || n.routesTouched.Swap(false)) || repair == everything
	}
	return n.routesDirty || repair > none && n.routesTouched.Swap(false) || repair == everything
}

func (n *node) syncRoutes(ctx context.Context) (outcome, error) {
	touched := !n.routesDirty && !n.retries.routes.failing()
	change, err := route.Sync(ctx, n.network.Routes)
	n.routesDirty = false
	n.retries.routes.record(time.Now(), err)
	did := outcome{written: change.Size()}
	if touched {
		did.mended = mendedRoutes(change)
	}
	return did, remedied(err)
}

// mendedRoutes is what was not as it should be, in words.
func mendedRoutes(change route.Change) []string {
	words := slices.Concat(inWords(change.SetRoutes), inWords(change.DeleteRoutes), inWords(change.AddRules), inWords(change.DeleteRules),
		inWords(change.SetNeighbours), inWords(change.DeleteNeighbours), inWords(change.SetForwards), inWords(change.DeleteForwards))
	if change.AddVXLAN != nil || change.SetVXLAN != nil || change.DeleteVXLAN {
		words = append([]string{"the VXLAN device"}, words...)
	}
	return words
}

// sysctlsDue: without IPVS there is nothing to look at.
func (n *node) sysctlsDue(repair scope) bool {
	return n.drift == nil || repair > none && (len(n.drift) > 0 || n.byIPVS() && n.sysctls.Differ())
}

// byIPVS tells whether IPVS serves.
func (n *node) byIPVS() bool { return n.inStep && n.servingBy == v1alpha1.BackendIPVS }

// syncSysctls sets what may be set and remembers the rest.
func (n *node) syncSysctls(context.Context) (outcome, error) {
	first := n.drift == nil
	n.drift = []string{}
	if !n.byIPVS() {
		return outcome{}, nil
	}
	drift, written := n.sysctls.Set()
	n.drift = append(n.drift, drift...)
	did := outcome{written: len(written)}
	if !first {
		did.mended = written
	}
	return did, nil
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
