package screen

import (
	"cmp"
	"fmt"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

const (
	// MaxServiceSlices is how many slices of one Service a cluster imports from one cluster: ten
	// times what 5,000 endpoints of both families need.
	MaxServiceSlices = 1000
	// destinationsPerEndpoint is how many ports each of Limits.EndpointsPerService may have. Each
	// pair of an endpoint and a port is a destination in every node's kernel.
	destinationsPerEndpoint = 10
)

// Share is what is imported of the slices that one cluster publishes. It names only the slices of
// which something is left out.
type Share struct {
	// Left is by the name of a slice: how many of its endpoints are imported, the first ones.
	Left map[string]int
	// Out are the slices that are not imported at all. They are also in Left.
	Out map[string]bool
	// Crowded are the Services, by their key, with more than MaxServiceSlices slices.
	Crowded map[ServiceKey]bool

	published, endpoints int // slices, and endpoints of Services within their own limits
}

// ServiceKey names a Service that a cluster publishes slices of.
type ServiceKey struct{ Namespace, Name string }

// ServiceOf is the Service that a slice on the hub says it is of.
func ServiceOf(slice *discoveryv1.EndpointSlice) ServiceKey {
	return ServiceKey{slice.Labels[v1alpha1.LabelNamespace], slice.Labels[v1alpha1.LabelServiceName]}
}

// ShareOf returns what is imported of all slices that one cluster publishes. Of one Service, first
// come the slices whose names sort first. Of all Services, the oldest slices come first, by the hub's
// clock. So every importer leaves out the same ones. It changes nothing, and its cost is that of
// looking at each slice once, unless there are too many.
func ShareOf(published []discoveryv1.EndpointSlice, limits Limits) Share {
	share := Share{Left: map[string]int{}, Out: map[string]bool{}, Crowded: map[ServiceKey]bool{}}
	services := map[ServiceKey][]*discoveryv1.EndpointSlice{}
	for i := range published {
		key := ServiceOf(&published[i])
		services[key] = append(services[key], &published[i])
	}
	share.published = len(published)
	number := 0
	for key, all := range services {
		if len(all) > MaxServiceSlices {
			share.Crowded[key] = true
		}
		n, e := share.ofService(all, limits)
		number, share.endpoints = number+n, share.endpoints+e
	}
	if number > limits.Slices || share.endpoints > limits.Endpoints {
		share.ofAll(published, limits)
	}
	return share
}

// ofService limits one Service's slices, and returns how many are left, with how many endpoints.
func (s *Share) ofService(all []*discoveryv1.EndpointSlice, limits Limits) (number, endpoints int) {
	total, ports := 0, 1
	for _, slice := range all {
		total += len(slice.Endpoints)
		ports = max(ports, min(len(slice.Ports), maxSlicePorts))
	}
	if len(all) <= MaxServiceSlices && total <= maxEndpoints(limits, ports) {
		return len(all), total
	}
	slices.SortFunc(all, func(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
	for _, slice := range all[min(len(all), MaxServiceSlices):] {
		s.leaveOut(slice)
	}
	all = all[:min(len(all), MaxServiceSlices)]
	most := map[discoveryv1.AddressType]int{}
	for _, slice := range all {
		ports := max(1, min(len(slice.Ports), maxSlicePorts))
		have, ok := most[slice.AddressType]
		if left := maxEndpoints(limits, ports); !ok || left < have {
			most[slice.AddressType] = left
		}
	}
	for _, slice := range all {
		left := max(0, most[slice.AddressType])
		if left < len(slice.Endpoints) {
			s.Left[slice.Name] = left
		}
		most[slice.AddressType] = left - min(left, len(slice.Endpoints))
		endpoints += min(left, len(slice.Endpoints))
	}
	return len(all), endpoints
}

// maxEndpoints is how many endpoints of one family of a Service with so many ports are imported.
func maxEndpoints(limits Limits, ports int) int {
	return min(limits.EndpointsPerService, destinationsPerEndpoint*limits.EndpointsPerService/ports)
}

// ofAll limits the slices of all Services together.
func (s *Share) ofAll(published []discoveryv1.EndpointSlice, limits Limits) {
	order := make([]*discoveryv1.EndpointSlice, 0, len(published))
	for i := range published {
		if !s.Out[published[i].Name] {
			order = append(order, &published[i])
		}
	}
	slices.SortFunc(order, func(a, b *discoveryv1.EndpointSlice) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	number, endpoints := limits.Slices, limits.Endpoints
	for _, slice := range order {
		n := s.Of(slice)
		if number == 0 || n > endpoints {
			s.leaveOut(slice)
			number = 0 // none that is younger comes in its place
			continue
		}
		number, endpoints = number-1, endpoints-n
	}
}

func (s *Share) leaveOut(slice *discoveryv1.EndpointSlice) {
	s.Left[slice.Name], s.Out[slice.Name] = 0, true
}

// Of is how many of the slice's endpoints are imported.
func (s *Share) Of(slice *discoveryv1.EndpointSlice) int {
	left, limited := s.Left[slice.Name]
	if !limited {
		return len(slice.Endpoints)
	}
	return min(left, len(slice.Endpoints))
}

// Differs tells whether more or less of the slice is imported than before, or whether its absence
// means something else than before.
func (s *Share) Differs(before Share, slice *discoveryv1.EndpointSlice) bool {
	left, limited := s.Left[slice.Name]
	was, wasLimited := before.Left[slice.Name]
	return limited != wasLimited || left != was || s.Out[slice.Name] != before.Out[slice.Name]
}

// Limit returns the slice with those of its endpoints that are imported, and what is left out. The
// slice and its endpoints are not changed; the result shares them.
func (s *Share) Limit(slice *discoveryv1.EndpointSlice, limits Limits) (*discoveryv1.EndpointSlice, []Skipped) {
	left := s.Of(slice)
	over := len(slice.Endpoints) - left
	if over == 0 {
		return slice, nil
	}
	limited := *slice
	limited.Endpoints = slice.Endpoints[:left:left]
	ports := max(1, min(len(slice.Ports), maxSlicePorts))
	need := limits.EndpointsPerService + over*max(1, ports/destinationsPerEndpoint)
	return &limited, []Skipped{{SkippedTooMany, fmt.Sprintf(
		"EndpointSlice %s: %d endpoints are beyond the %d that are imported of one family of a Service with %d ports: spread them over several Services; %s",
		slice.Name, over, maxEndpoints(limits, ports), ports, remedy(clusterset.SourceCluster(slice.Labels), "endpointsPerService", need)), over}}
}

// Told tells which slices are not imported at all; nil if all are. It is one for all of them: there
// may be many.
func (s *Share) Told(cluster v1alpha1.ClusterID, limits Limits) *Skipped {
	if len(s.Out) == 0 {
		return nil
	}
	raise := ""
	switch {
	case s.published > limits.Slices:
		raise = "; " + remedy(cluster, "slices", s.published)
	case s.endpoints > limits.Endpoints:
		raise = "; " + remedy(cluster, "endpoints", s.endpoints)
	}
	return &Skipped{SkippedSlices, fmt.Sprintf("EndpointSlices of cluster %s: %d of %d are left out: %d are imported from it, with %d endpoints, and %d of one Service: "+
		"delete ServiceExports there, or let fewer slices hold the endpoints%s", cluster, len(s.Out), s.published, limits.Slices, limits.Endpoints, MaxServiceSlices, raise), len(s.Out)}
}
