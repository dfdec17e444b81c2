package pack

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// DefaultEndpointsPerSlice is how many endpoints a published slice holds if the ClusterSet does not
// say.
const DefaultEndpointsPerSlice = 100

// Publisher is a cluster that publishes EndpointSlices on the hub.
type Publisher struct {
	Cluster           v1alpha1.ClusterID
	HubNamespace      string
	CIDRs             []netip.Prefix // that its Member approves
	EndpointsPerSlice int            // at most; zero means DefaultEndpointsPerSlice
	MaxEndpoints      int            // of one family that others import; zero means screen.DefaultLimits
	// Judge tells the endpoints of a local slice that are pods from those that are not, and what is not
	// published. Nil: all are pods.
	Judge func(local *discoveryv1.EndpointSlice, endpoints []discoveryv1.Endpoint) (pods, external []discoveryv1.Endpoint, skipped []screen.Skipped)
}

// Packing is what to write to the hub. Then may only be written once all of First has succeeded: it
// removes endpoints from slices because other slices hold them.
//
// With this order a cache that is behind does no harm, as every write names the version that it
// replaces. The cache shows the hub as it was at some moment (one watch delivers all slices in
// order). Each of our later writes meets one of:
//   - an update or deletion of a slice that has changed since: a conflict, and nothing has happened;
//   - a new slice under a number that has been taken since: it exists already, and nothing has happened;
//   - an endpoint that has since been written to another slice, too: it is twice on the hub until the cache shows it,
//     and readers count an endpoint once;
//   - an endpoint that the cache shows in two slices, of which one has lost it since: taking it out of the other would
//     lose it. So First also holds the slice that is to keep it, even if it stays as it is: that write changes nothing,
//     but conflicts if the slice has changed.
//
// A caller that meets a conflict stops before Then, and packs again when the cache has caught up.
type Packing struct {
	First, Then Writes
}

// Writes are independent of each other. Puts without a resource version are new.
type Writes struct {
	Puts    []discoveryv1.EndpointSlice
	Deletes []discoveryv1.EndpointSlice
}

// None tells whether there is nothing to write.
func (p Packing) None() bool {
	return len(p.First.Puts)+len(p.First.Deletes)+len(p.Then.Puts)+len(p.Then.Deletes) == 0
}

// After returns the slices that the hub has once everything is written. before are those that it
// has now.
func (p Packing) After(before []discoveryv1.EndpointSlice) []discoveryv1.EndpointSlice {
	left := map[string]discoveryv1.EndpointSlice{}
	for _, s := range before {
		left[s.Name] = s
	}
	for _, writes := range []Writes{p.First, p.Then} {
		for _, s := range writes.Puts {
			left[s.Name] = s
		}
		for _, s := range writes.Deletes {
			delete(left, s.Name)
		}
	}
	return slices.Collect(maps.Values(left))
}

// Pack returns the writes after which the hub holds what is offered. have is what it holds for the
// Service now. Writes are few: endpoints stay where they are, and new ones go into a slice that is
// written anyway.
//
// Each of its Families, and each family of which the hub has a slice, keeps at least one
// slice, which may be empty. So a Service without any slice on the hub means that the hub has lost
// some (package endpointslice relies on that). The result does not depend on the order of the
// input.
func (p Publisher) Pack(service *corev1.Service, offer Offer, have []discoveryv1.EndpointSlice) Packing {
	packing, names := Packing{}, newNames(p.Cluster, service, have)
	families := map[discoveryv1.AddressType][]*discoveryv1.EndpointSlice{}
	for _, f := range p.Families(service, offer) {
		families[discoveryv1.AddressType(f)] = nil
	}
	for key := range offer.groups {
		families[key.family] = nil
	}
	sorted := byName(have)
	for i := range sorted {
		old := &sorted[i]
		if !names.fits(old.Name) || !published(old.AddressType) { // somebody else gave it our labels
			packing.First.Deletes = append(packing.First.Deletes, *old)
			continue
		}
		families[old.AddressType] = append(families[old.AddressType], old)
	}
	for _, t := range slices.Sorted(maps.Keys(families)) {
		f := newFamily(p.EndpointsPerSlice, offer.groups, t)
		f.pack(families[t])
		f.writes(&packing, func(b *bin) discoveryv1.EndpointSlice {
			slice := p.slice(service, names, t, b)
			mcs.SetTrigger(&slice, offer.trigger)
			return slice
		})
	}
	return packing
}

func byName(all []discoveryv1.EndpointSlice) []discoveryv1.EndpointSlice {
	return slices.SortedFunc(slices.Values(all), func(a, b discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
}

// slice is the bin as the hub should hold it.
func (p Publisher) slice(service *corev1.Service, names *names, family discoveryv1.AddressType, b *bin) discoveryv1.EndpointSlice {
	more := map[string]string{v1alpha1.LabelNamespace: service.Namespace}
	if b.group != nil && b.group.external && len(b.endpoints) > 0 {
		more[v1alpha1.LabelEndpoints] = v1alpha1.EndpointsExternal
	}
	want := discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: p.HubNamespace, Labels: mcs.SliceLabels(p.Cluster, service.Name, more)},
		AddressType: family,
		Endpoints:   b.endpoints,
		Ports:       b.ports,
	}
	if b.old != nil {
		want.Name, want.UID, want.ResourceVersion = b.old.Name, b.old.UID, b.old.ResourceVersion
	} else {
		want.Name = names.next()
	}
	return want
}

// names assigns the names of a Service's slices on the hub, by the lowest free number. A name has
// no other meaning.
type names struct {
	named func(n int) string
	base  string // what all names begin with
	used  map[string]bool
	n     int
}

func newNames(cluster v1alpha1.ClusterID, service *corev1.Service, have []discoveryv1.EndpointSlice) *names {
	all := &names{
		named: func(n int) string { return clusterset.HubSliceName(cluster, service.Namespace, service.Name, n) },
		base:  clusterset.HubName(cluster, service.Namespace, service.Name) + ".",
		used:  map[string]bool{},
	}
	for i := range have {
		all.used[have[i].Name] = true
	}
	return all
}

func (n *names) fits(name string) bool { return strings.HasPrefix(name, n.base) }

func (n *names) next() string {
	for ; ; n.n++ {
		if name := n.named(n.n); !n.used[name] {
			n.used[name] = true
			return name
		}
	}
}
