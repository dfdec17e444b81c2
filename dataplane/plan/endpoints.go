package plan

import (
	"cmp"
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// endpoint of a slice, as a plan sees it.
type endpoint struct {
	address netip.Addr
	// source is its slice's index in Input.Slices, item its own in there.
	source, item int32
	level        int16
	state        state
	// here: a pod of this node.
	here bool
}

// state of an endpoint, better ones first.
type state uint8

const (
	// isReady, in a cluster that can be reached.
	isReady state = iota
	// isCutOff: ready, but nothing leads to its cluster.
	isCutOff
	// isLeaving: terminating, and still serving.
	isLeaving
	// isNotReady, and not terminating: it may become ready.
	isNotReady
	// isGone: terminating, and not serving any more.
	isGone
)

// stateOf an endpoint: what is not said counts as discovery/v1 says. One that is ready though it terminates, as a Service
// that publishes addresses that are not ready has it, is ready, as it is for kube-proxy.
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
	// used is false of one that is left out.
	used, is4 bool
	// member is the index in view.members of the cluster that its endpoints are of.
	member int32
}

// view is what the ports of an import have in common. It is not changed once it is made.
type view struct {
	in      *Input
	ranking ranking
	levels  int
	// overprovisioning in percent; zero: no spillover.
	overprovisioning int
	// fingerprint of the ranking.
	fingerprint uint64
	members     []member
	// sources are beside Input.Slices.
	sources []source
	// endpoints that can be used, sorted by address, and those at one address by how good they are.
	endpoints []endpoint
	skips     []skip
}

// scratch is room for what most plans need, so that it need not be allocated.
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

// newView looks at all slices once. families tells of which the import has a clusterset IP.
func newView(in *Input, families families, skips []skip, s *scratch) view {
	v := view{in: in, ranking: newRanking(&in.Import.Spec, in.Policy, &in.Place), skips: skips,
		members: s.members[:0], sources: s.sources[:0], endpoints: s.endpoints[:0]}
	v.levels, v.overprovisioning = v.ranking.levels(), v.ranking.overprovisioning()
	v.fingerprint = v.ranking.fingerprint()
	endpoints := slices.Grow(s.endpoints[:0], sizeOf(in.Slices))
	for i, slice := range in.Slices {
		from, why := sourceOf(slice)
		if why != "" {
			v.skips = append(v.skips, skip{what: skippedSlice, name: slice.Name, why: why})
		}
		if from.used {
			id := sourceCluster(slice)
			index := slices.IndexFunc(v.members, func(m member) bool { return m.id == id })
			if index < 0 {
				index = len(v.members)
				v.members = append(v.members, v.ranking.member(id))
			}
			from.member = int32(index)
			endpoints, v.skips = v.addEndpoints(endpoints, v.skips, int32(i), from)
			if len(slice.Endpoints) > 0 && !families.has(from.is4) {
				v.skips = append(v.skips, families.skip(from.is4))
			}
		}
		v.sources = append(v.sources, from)
	}
	v.endpoints = endpoints
	slices.SortFunc(v.endpoints, func(a, b endpoint) int { return compareEndpoints(in.Slices, &a, &b) })
	return v
}

// sizeOf all slices: how many endpoints they hold.
func sizeOf(all []*discoveryv1.EndpointSlice) int {
	size := 0
	for _, slice := range all {
		if slice != nil {
			size += len(slice.Endpoints)
		}
	}
	return size
}

// sourceOf a slice. Of one that is another's, or that goes, nothing is said.
func sourceOf(slice *discoveryv1.EndpointSlice) (s source, why string) {
	if slice == nil || slice.Labels[discoveryv1.LabelManagedBy] != v1alpha1.ManagedBy || slice.DeletionTimestamp != nil {
		return source{}, ""
	}
	if sourceCluster(slice) == "" {
		return source{}, "it does not say of which cluster it is (label " + v1alpha1.LabelSourceCluster + "): delete it"
	}
	switch slice.AddressType {
	case discoveryv1.AddressTypeIPv4:
		return source{used: true, is4: true}, ""
	case discoveryv1.AddressTypeIPv6:
		return source{used: true}, ""
	}
	return source{}, "its addressType is neither IPv4 nor IPv6: publish endpoints by IP address"
}

func sourceCluster(slice *discoveryv1.EndpointSlice) v1alpha1.ClusterID {
	return v1alpha1.ClusterID(slice.Labels[v1alpha1.LabelSourceCluster])
}

func (v *view) addEndpoints(all []endpoint, skips []skip, index int32, from source) ([]endpoint, []skip) {
	slice, m := v.in.Slices[index], &v.members[from.member]
	for item := range slice.Endpoints {
		e := &slice.Endpoints[item]
		address, why := v.address(e, from.is4, m.own)
		if why != "" {
			// Further addresses of an endpoint are no further endpoints (discovery/v1 Endpoint.Addresses).
			first := append(e.Addresses, "")[0]
			skips = append(skips, skip{what: skippedEndpoint, name: first, cluster: m.id, why: why})
			continue
		}
		here := m.own && e.NodeName != nil && *e.NodeName == v.in.Place.Node
		all = append(all, endpoint{address: address, source: index, item: int32(item), here: here,
			level: int16(v.ranking.level(m, e.Zone, here)), state: stateOf(&e.Conditions, m.unreachable)})
	}
	return all, skips
}

// compareEndpoints by address, and those at one address by how good they are. It does not depend on the order of slices.
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
	return cmp.Or(cmp.Compare(sourceCluster(x), sourceCluster(y)), cmp.Compare(x.Name, y.Name), cmp.Compare(a.item, b.item))
}

// address of an endpoint, or why no flow is sent to it.
func (v *view) address(e *discoveryv1.Endpoint, is4, own bool) (address netip.Addr, why string) {
	if len(e.Addresses) == 0 {
		return netip.Addr{}, "it has no address: publish endpoints by IP address"
	}
	address, err := netip.ParseAddr(e.Addresses[0])
	switch {
	case err != nil:
		why = "it is no IP address: publish endpoints by IP address"
	case address.Is4In6():
		why = "it is an IPv4 address written as IPv6, which no packet carries: publish it in a slice of addressType IPv4"
	case address.Is4() != is4:
		why = "it is not of its slice's addressType: publish it in a slice of its own family"
	case address.Zone() != "":
		why = "it has a zone, which means something on its own node only: publish an address that others can reach"
	case address.IsUnspecified(), address.IsMulticast(), address == broadcast:
		why = "it is no single host's address: publish the address of a pod"
	case address.IsLoopback():
		why = "it is a loopback address, which every node takes for its own: publish an address that others can reach"
	case address.IsLinkLocalUnicast():
		why = "it is a link-local address, which means something on its own link only: publish an address that others can reach"
	case contains(v.in.Place.VIPs, address):
		why = "it is inside a VIP CIDR, so that flows to it would go in circles: publish the address of a pod"
	case !own && slices.Contains(v.in.Place.Addresses, address):
		// Of this cluster it may be an endpoint: a pod in the host's network, or what a Service without selector names.
		why = "it is this node's own address, yet another cluster's endpoint: see that the clusters' addresses do not overlap"
	}
	return address, why
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
