package pack

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
)

// Offer is what a cluster has to publish for a Service.
type Offer struct {
	groups map[portGroup]*group
	// Endpoints is how many there are, each counted once in each list of ports.
	Endpoints int
	// Skipped is what is not published, or what other clusters do not import, one for each reason.
	Skipped []screen.Skipped

	trigger time.Time // the latest of the local slices (mcs.LatestTrigger)
}

// portGroup is what all endpoints of a slice share.
type portGroup struct {
	family discoveryv1.AddressType
	ports  string // a canonical text of the list, and of whether they are external
}

func (p portGroup) compare(q portGroup) int {
	return cmp.Or(cmp.Compare(p.family, q.family), cmp.Compare(p.ports, q.ports))
}

// groupText tells groups with the same list of ports apart.
func groupText(ports string, external bool) string {
	if external {
		return ports + "external\n"
	}
	return ports
}

// group are the endpoints of one portGroup.
type group struct {
	text      string // as in portGroup
	ports     []discoveryv1.EndpointPort
	external  bool // they are no pods
	endpoints map[endpointID]discoveryv1.Endpoint
}

// endpointID tells endpoints of a group apart. Two hostnames at one address are two endpoints: pods
// of a headless Service in the network of one node.
type endpointID struct{ address, hostname string }

func (a endpointID) compare(b endpointID) int {
	return cmp.Or(cmp.Compare(a.address, b.address), cmp.Compare(a.hostname, b.hostname))
}

// idOf is the ID of an endpoint. Every endpoint that an API server admits has an address.
func idOf(e *discoveryv1.Endpoint) endpointID {
	return endpointID{e.Addresses[0], ptr.Deref(e.Hostname, "")}
}

// Offer returns what the local slices of a Service say, whoever made them. Two slices may hold one
// endpoint while the cluster moves it: it counts once, in its better state. Slices of host names
// are left out, and so is what other clusters would not import (screen.Endpoints).
func (p Publisher) Offer(service *corev1.Service, local []discoveryv1.EndpointSlice) Offer {
	offer := Offer{groups: map[portGroup]*group{}, trigger: mcs.LatestTrigger(local)}
	sorted := byName(local)
	for i := range sorted {
		if !published(sorted[i].AddressType) {
			continue
		}
		slice := sorted[i] // with the labels of a slice on the hub, as screen.Endpoints wants it
		slice.Labels = mcs.SliceLabels(p.Cluster, service.Name, map[string]string{v1alpha1.LabelNamespace: service.Namespace})
		endpoints, skipped := screen.Endpoints(&slice, p.CIDRs)
		offer.skip(skipped...)
		pods, external := endpoints, []discoveryv1.Endpoint(nil)
		if p.Judge != nil {
			pods, external, skipped = p.Judge(&sorted[i], endpoints)
			offer.skip(skipped...)
		}
		offer.add(&slice, pods, false)
		offer.add(&slice, external, true)
	}
	offer.count(cmp.Or(p.MaxEndpoints, screen.DefaultLimits().EndpointsPerService))
	return offer
}

// skip adds up what is skipped for one reason, and keeps the first message.
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

// count counts the endpoints. limit is how many of one family other clusters import.
func (o *Offer) count(limit int) {
	inFamily := map[discoveryv1.AddressType]int{}
	for key, g := range o.groups {
		o.Endpoints += len(g.endpoints)
		inFamily[key.family] += len(g.endpoints)
	}
	for _, t := range slices.Sorted(maps.Keys(inFamily)) {
		if over := inFamily[t] - limit; over > 0 {
			o.skip(screen.Skipped{Reason: screen.SkippedTooMany, Count: over, Message: fmt.Sprintf(
				"of %d %s endpoints other clusters import %d: spread them over several Services", inFamily[t], t, limit)})
		}
	}
}

func published(family discoveryv1.AddressType) bool {
	return family == discoveryv1.AddressTypeIPv4 || family == discoveryv1.AddressTypeIPv6
}

func (o *Offer) add(local *discoveryv1.EndpointSlice, endpoints []discoveryv1.Endpoint, external bool) {
	if len(endpoints) == 0 {
		return
	}
	ports, text := canonicalPorts(local.Ports)
	text = groupText(text, external)
	key := portGroup{local.AddressType, text}
	if o.groups[key] == nil {
		o.groups[key] = &group{text: text, ports: ports, external: external, endpoints: map[endpointID]discoveryv1.Endpoint{}}
	}
	for _, e := range endpoints {
		e.NodeName = nil // which means something in this cluster only
		id := idOf(&e)
		if have, twice := o.groups[key].endpoints[id]; !twice || use(e.Conditions) > use(have.Conditions) {
			o.groups[key].endpoints[id] = e
		}
	}
}

// use ranks how much traffic an endpoint may get. A condition that is unset counts as discovery/v1
// says.
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

// canonicalPorts returns the ports in a fixed order, with the API server's defaults for what is
// unset, and a text that is equal only for equal lists.
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
