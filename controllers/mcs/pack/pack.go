package pack

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// DefaultEndpointsPerSlice is how many endpoints a published slice holds where the ClusterSet does
// not say.
const DefaultEndpointsPerSlice = 100

// Publisher is a cluster that publishes EndpointSlices on the hub.
type Publisher struct {
	Cluster           v1alpha1.ClusterID
	HubNamespace      string
	CIDRs             []netip.Prefix // that its Member approves
	EndpointsPerSlice int            // at most; zero means DefaultEndpointsPerSlice
}

// Packing is what to write to the hub. First comes before Then, which is only right once all of
// First has succeeded: Then takes endpoints out of slices because other slices hold them.
//
// That, and that every write names the version that it replaces, makes a cache that is behind
// harmless. It shows the hub as it was at some moment (one watch delivers all slices in order), and
// each of our later writes meets one of:
//   - an update or deletion of a slice that has changed since: a conflict, and nothing has happened;
//   - a new slice under a number that has been taken since: it exists already, and nothing has happened;
//   - an endpoint that has since been written to another slice, too: it is twice on the hub until the cache shows it,
//     and readers count an endpoint once;
//   - an endpoint that the cache shows in two slices, of which one has lost it since: taking it out of the other would
//     lose it. So First also holds the slice that is to keep it, even if it stays as it is: that write changes nothing,
//     but conflicts if the slice has changed.
//
// Whoever meets a conflict stops before Then, and packs anew when the cache has caught up.
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

// After returns the slices that the hub has once all is written, of those that it has before.
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

// Offer is what a cluster has to publish of a Service.
type Offer struct {
	groups map[portGroup]*group
	// Endpoints is how many there are, each counted once in each list of ports.
	Endpoints int
	// Skipped is what is not published, or not imported by others, one for each reason.
	Skipped []screen.Skipped
}

// portGroup is what all endpoints of a slice share.
type portGroup struct {
	family discoveryv1.AddressType
	ports  string // a canonical text of the list
}

func (p portGroup) compare(q portGroup) int {
	return cmp.Or(cmp.Compare(p.family, q.family), cmp.Compare(p.ports, q.ports))
}

// group are the endpoints of one portGroup.
type group struct {
	text      string // of the ports
	ports     []discoveryv1.EndpointPort
	endpoints map[endpointID]discoveryv1.Endpoint
}

// endpointID tells endpoints of a group apart. Two hostnames at one address are two endpoints: pods
// of a headless Service in the network of one node.
type endpointID struct{ address, hostname string }

func (a endpointID) compare(b endpointID) int {
	return cmp.Or(cmp.Compare(a.address, b.address), cmp.Compare(a.hostname, b.hostname))
}

// idOf is the ID of an endpoint with an address, as every one has that an API server lets in.
func idOf(e *discoveryv1.Endpoint) endpointID {
	return endpointID{e.Addresses[0], ptr.Deref(e.Hostname, "")}
}

// Offer returns what the local slices of a Service, whoever made them, say. An endpoint that two of
// them hold, as happens while the cluster moves it, counts once, in its better state. Slices of
// host names are left out, and so is what others would not import (screen.Endpoints).
func (p Publisher) Offer(service *corev1.Service, local []discoveryv1.EndpointSlice) Offer {
	offer := Offer{groups: map[portGroup]*group{}}
	sorted := byName(local)
	for i := range sorted {
		if !published(sorted[i].AddressType) {
			continue
		}
		slice := sorted[i] // with the labels of a slice on the hub, as screen.Endpoints wants it
		slice.Labels = mcs.SliceLabels(p.Cluster, service.Name, map[string]string{v1alpha1.LabelNamespace: service.Namespace})
		endpoints, skipped := screen.Endpoints(&slice, p.CIDRs)
		offer.skip(skipped...)
		offer.add(&slice, endpoints)
	}
	offer.count()
	return offer
}

// skip counts what is skipped for one reason together, with the first message.
func (o *Offer) skip(skipped ...screen.Skipped) {
	for _, s := range skipped {
		i := slices.IndexFunc(o.Skipped, func(have screen.Skipped) bool { return have.Reason == s.Reason })
		if i < 0 {
			o.Skipped = append(o.Skipped, s)
			continue
		}
		o.Skipped[i].Count += s.Count
	}
}

func (o *Offer) count() {
	inFamily := map[discoveryv1.AddressType]int{}
	for key, g := range o.groups {
		o.Endpoints += len(g.endpoints)
		inFamily[key.family] += len(g.endpoints)
	}
	for _, t := range slices.Sorted(maps.Keys(inFamily)) {
		if over := inFamily[t] - screen.MaxEndpoints; over > 0 {
			o.skip(screen.Skipped{Reason: screen.SkippedTooMany, Count: over, Message: fmt.Sprintf(
				"of %d %s endpoints other clusters import %d: spread them over several Services", inFamily[t], t, screen.MaxEndpoints)})
		}
	}
}

func published(family discoveryv1.AddressType) bool {
	return family == discoveryv1.AddressTypeIPv4 || family == discoveryv1.AddressTypeIPv6
}

func (o *Offer) add(local *discoveryv1.EndpointSlice, endpoints []discoveryv1.Endpoint) {
	if len(endpoints) == 0 {
		return
	}
	ports, text := canonicalPorts(local.Ports)
	key := portGroup{local.AddressType, text}
	if o.groups[key] == nil {
		o.groups[key] = &group{text: text, ports: ports, endpoints: map[endpointID]discoveryv1.Endpoint{}}
	}
	for _, e := range endpoints {
		id := idOf(&e)
		if have, twice := o.groups[key].endpoints[id]; !twice || use(e.Conditions) > use(have.Conditions) {
			o.groups[key].endpoints[id] = e
		}
	}
}

// use ranks how much traffic an endpoint may get: what is unset counts as discovery/v1 says.
func use(c discoveryv1.EndpointConditions) int {
	ready := ptr.Deref(c.Ready, true)
	switch {
	case ready && !ptr.Deref(c.Terminating, false):
		return 3
	case ready:
		return 2
	case ptr.Deref(c.Serving, ready):
		return 1
	}
	return 0
}

// canonicalPorts returns the ports in one order, with what is unset as the API server defaults it,
// and a text that is equal for equal lists only.
func canonicalPorts(ports []discoveryv1.EndpointPort) ([]discoveryv1.EndpointPort, string) {
	type entry struct {
		port discoveryv1.EndpointPort
		text string
	}
	entries := make([]entry, 0, len(ports))
	for _, p := range ports {
		p = *p.DeepCopy()
		p.Name, p.Protocol = ptr.To(ptr.Deref(p.Name, "")), ptr.To(ptr.Deref(p.Protocol, corev1.ProtocolTCP))
		number := "every port"
		if p.Port != nil {
			number = fmt.Sprint(*p.Port)
		}
		entries = append(entries, entry{p, fmt.Sprintf("%q %s %s %q", *p.Name, *p.Protocol, number, ptr.Deref(p.AppProtocol, ""))})
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.text, b.text) })
	var sorted []discoveryv1.EndpointPort
	var text strings.Builder
	for _, e := range entries {
		sorted = append(sorted, e.port)
		text.WriteString(e.text + "\n")
	}
	return sorted, text.String()
}

// Pack returns the writes that make have, what the hub holds of the Service, hold what is offered,
// with few writes: endpoints stay where they are, new ones go where a slice is written anyway. Each
// family of the Service, and each that the hub has a slice of, keeps one, an empty one if need be:
// so a Service without any slice on the hub is a loss and no news (package endpointslice relies on
// that). The same input gives the same result, in whatever order it comes.
func (p Publisher) Pack(service *corev1.Service, offer Offer, have []discoveryv1.EndpointSlice) Packing {
	packing, names := Packing{}, newNames(p.Cluster, service, have)
	families := map[discoveryv1.AddressType][]*discoveryv1.EndpointSlice{}
	for _, f := range service.Spec.IPFamilies {
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
		f.writes(&packing, func(b *bin) discoveryv1.EndpointSlice { return p.slice(service, names, t, b) })
	}
	return packing
}

func byName(all []discoveryv1.EndpointSlice) []discoveryv1.EndpointSlice {
	return slices.SortedFunc(slices.Values(all), func(a, b discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
}

// slice is the bin as the hub should hold it.
func (p Publisher) slice(service *corev1.Service, names *names, family discoveryv1.AddressType, b *bin) discoveryv1.EndpointSlice {
	want := discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.HubNamespace,
			Labels: mcs.SliceLabels(p.Cluster, service.Name, map[string]string{
				v1alpha1.LabelNamespace: service.Namespace,
			}),
		},
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

// names gives out the names of a Service's slices on the hub, by the lowest free number. A name has
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
