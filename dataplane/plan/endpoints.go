package plan

import (
	"cmp"
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// endpoint of a slice, as a plan sees it.
type endpoint struct {
	address netip.Addr
	// source is its slice's index in Input.Slices, item its own in there.
	source, item int32
	level        int16
	state        state
	// here: its slice says that it is a pod of this node.
	here bool
	// hairpin: it may be one.
	hairpin bool
}

// state of an endpoint; a better one is lower.
type state uint8

const (
	// isReady: it is ready, in a cluster that can be reached.
	isReady state = iota
	// isCutOff: it is ready, but nothing leads to its cluster.
	isCutOff
	// isLeaving: it is terminating, and still serves.
	isLeaving
	// isNotReady: it is neither ready nor terminating, and may become ready.
	isNotReady
	// isGone: it is terminating, and does not serve any more.
	isGone
)

// stateOf an endpoint. A condition that is unset counts as discovery/v1 says. An endpoint that is
// ready while it terminates counts as ready, as it does for kube-proxy: a Service with
// publishNotReadyAddresses has such endpoints.
func stateOf(c *discoveryv1.EndpointConditions, unreachable bool) state {
	is := func(b *bool, unsaid bool) bool { return b == nil && unsaid || b != nil && *b }
	switch r := is(c.Ready, true); {
	case r && unreachable:
		return isCutOff
	case r:
		return isReady
	case !is(c.Terminating, false):
		return isNotReady
	case is(c.Serving, false):
		return isLeaving
	}
	return isGone
}

// source is a slice, as a plan sees it.
type source struct {
	// used is false if the slice is left out.
	used, is4 bool
	// member is the index in portChooser.members of the cluster that its endpoints belong to.
	member int32
}

// portChooser chooses the endpoints for each port of one import. It holds what the ports have in
// common, and is not changed once it is made.
type portChooser struct {
	in      *Input
	ranking ranking
	levels  int
	// overprovisioning in percent; zero: no spillover.
	overprovisioning int
	// fingerprint of the ranking.
	fingerprint uint64
	members     []member
	// sources, one for each of Input.Slices, in the same order.
	sources []source
	// endpoints that can be used, sorted by address. At one address the best comes first.
	endpoints []endpoint
	skips     []skip
}

// scratch is memory on the stack for what most plans need, so that nothing is allocated for them.
type scratch struct {
	members    [8]member
	sources    [16]source
	endpoints  [32]endpoint
	candidates [32]candidate
	levels     [5]level
	groups     [8]group
	drains     [8]drain
	targets    [4]target
	services   [4]VirtualService
	ports      [4]servicePort
	memories   [4]portMemory
}

// newPortChooser reads all slices once. families are those in which the import has a clusterset IP.
func newPortChooser(in *Input, families families, skips []skip, s *scratch) portChooser {
	ch := portChooser{in: in, ranking: newRanking(&in.Import.Spec, in.Policy, &in.Place), skips: skips,
		members: s.members[:0], sources: s.sources[:0], endpoints: s.endpoints[:0]}
	ch.levels, ch.overprovisioning = ch.ranking.levels(), ch.ranking.overprovisioning()
	ch.fingerprint = ch.ranking.fingerprint()
	endpoints := slices.Grow(s.endpoints[:0], sizeOf(in.Slices))
	for i, slice := range in.Slices {
		from, why := sourceOf(slice, in.Import.UID)
		if why != "" {
			ch.skips = append(ch.skips, skip{what: skippedSlice, name: slice.Name, why: why})
		}
		if from.used {
			id := clusterset.SourceCluster(slice.Labels)
			index := slices.IndexFunc(ch.members, func(m member) bool { return m.id == id })
			if index < 0 {
				index = len(ch.members)
				ch.members = append(ch.members, ch.ranking.member(id))
			}
			from.member = int32(index)
			endpoints, ch.skips = ch.addEndpoints(endpoints, ch.skips, int32(i), from)
			if len(slice.Endpoints) > 0 && !families.has(from.is4) {
				ch.skips = append(ch.skips, families.skip(from.is4))
			}
		}
		ch.sources = append(ch.sources, from)
	}
	ch.endpoints = endpoints
	slices.SortFunc(ch.endpoints, func(a, b endpoint) int { return compareEndpoints(in.Slices, &a, &b) })
	return ch
}

// sizeOf is how many endpoints the slices hold.
func sizeOf(all []*discoveryv1.EndpointSlice) int {
	size := 0
	for _, slice := range all {
		if slice != nil {
			size += len(slice.Endpoints)
		}
	}
	return size
}

// sourceOf a slice of the ServiceImport with that UID, or why it is left out. A slice that tombolo did
// not make, or that is being deleted, is left out silently. The operator has made the ServiceImport
// the owner of each slice from the first version on.
func sourceOf(slice *discoveryv1.EndpointSlice, owner types.UID) (s source, why string) {
	if slice == nil || slice.Labels[discoveryv1.LabelManagedBy] != v1alpha1.ManagedBy || slice.DeletionTimestamp != nil {
		return source{}, ""
	}
	if clusterset.SourceCluster(slice.Labels) == "" {
		return source{}, "it does not say which cluster it comes from (label " + v1alpha1.LabelSourceCluster + "): delete it"
	}
	if !slices.ContainsFunc(slice.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == owner }) {
		return source{}, "it does not belong to this ServiceImport (metadata.ownerReferences): delete it"
	}
	switch slice.AddressType {
	case discoveryv1.AddressTypeIPv4:
		return source{used: true, is4: true}, ""
	case discoveryv1.AddressTypeIPv6:
		return source{used: true}, ""
	}
	return source{}, "its addressType is neither IPv4 nor IPv6: publish endpoints by IP address"
}

func (ch *portChooser) addEndpoints(all []endpoint, skips []skip, index int32, from source) ([]endpoint, []skip) {
	slice, m := ch.in.Slices[index], &ch.members[from.member]
	for item := range slice.Endpoints {
		e := &slice.Endpoints[item]
		address, why := ch.address(e, from.is4, m)
		if why != "" {
			// Further addresses of an endpoint are not further endpoints (discovery/v1
			// Endpoint.Addresses).
			first := append(e.Addresses, "")[0]
			skips = append(skips, skip{what: skippedEndpoint, name: first, cluster: m.id, why: why})
			continue
		}
		here := m.own && e.NodeName != nil && *e.NodeName == ch.in.Place.Node
		all = append(all, endpoint{address: address, source: index, item: int32(item), here: here, hairpin: here || m.own && ch.mayBeHere(e, address),
			level: int16(ch.ranking.level(m, e.Zone, here)), state: stateOf(&e.Conditions, m.unreachable)})
	}
	return all, skips
}

// mayBeHere tells whether an endpoint of this cluster may be a pod of this node, though its slice does
// not say so. A slice that somebody wrote by hand may name no node, or a wrong one.
func (ch *portChooser) mayBeHere(e *discoveryv1.Endpoint, address netip.Addr) bool {
	return e.NodeName == nil || clusterset.Contains(ch.in.Place.Pods, address)
}

// compareEndpoints by address. At one address the better endpoint comes first. The order of slices
// does not matter.
func compareEndpoints(all []*discoveryv1.EndpointSlice, a, b *endpoint) int {
	if c := a.address.Compare(b.address); c != 0 {
		return c
	}
	switch {
	case a.level == noLevel && b.level != noLevel:
		return 1
	case a.level != noLevel && b.level == noLevel:
		return -1
	}
	if c := cmp.Or(cmp.Compare(a.state, b.state), cmp.Compare(a.level, b.level)); c != 0 {
		return c
	}
	x, y := all[a.source], all[b.source]
	return cmp.Or(cmp.Compare(clusterset.SourceCluster(x.Labels), clusterset.SourceCluster(y.Labels)), cmp.Compare(x.Name, y.Name), cmp.Compare(a.item, b.item))
}

// address of an endpoint, or why no flow is sent to it.
func (ch *portChooser) address(e *discoveryv1.Endpoint, is4 bool, m *member) (address netip.Addr, why string) {
	if len(e.Addresses) == 0 {
		return netip.Addr{}, "it has no address: publish endpoints by IP address"
	}
	address, err := netip.ParseAddr(e.Addresses[0])
	if err != nil {
		return address, "it is not an IP address: publish endpoints by IP address"
	}
	if fault := clusterset.FaultOf(address); fault != "" {
		return address, "it " + string(fault) + ": publish an address that others can reach"
	}
	switch {
	case address.Is4() != is4:
		why = "it is not of its slice's addressType: publish it in a slice of its own family"
	case clusterset.Contains(ch.in.Place.VIPs, address):
		why = "it is inside a VIP CIDR, so that flows to it would go in circles: publish the address of a pod"
	case !m.own && slices.Contains(ch.in.Place.Addresses, address):
		// In this cluster it may be an endpoint: a pod in the host's network, or what a Service
		// without selector names.
		why = "it is this node's own address, yet another cluster's endpoint: make the clusters' addresses differ"
	case ch.in.Place.CIDRs != nil && !clusterset.Contains(m.cidrs, address):
		why = "it is outside its cluster's CIDRs: delete its slice, unless tombolo made it a moment ago"
	}
	return address, why
}
