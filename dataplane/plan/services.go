package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Key is what makes a virtual service distinct: an address, a protocol and a port.
type Key struct {
	Address  netip.Addr
	Protocol corev1.Protocol
	Port     uint16
}

// Compare orders keys by address, protocol and port.
func (k Key) Compare(other Key) int {
	return cmp.Or(k.Address.Compare(other.Address), cmp.Compare(k.Protocol, other.Protocol), cmp.Compare(k.Port, other.Port))
}

// VirtualService is one port of one clusterset IP.
type VirtualService struct {
	Key
	Scheduler v1alpha1.Scheduler
	// Affinity is how long a client stays with its endpoint; zero: every flow is on its own.
	Affinity time.Duration
	// Destinations sorted by address and port. None: the port is served and refuses, as no endpoint is ready.
	Destinations []Destination
}

// Destination is one endpoint.
type Destination struct {
	Address netip.Addr
	Port    uint16
	// Weight is its share of new flows, beside the other destinations' weights; zero: it keeps the flows that it has.
	Weight uint32
	// OnThisNode is true of a pod of this node: it may reach itself by way of the clusterset IP.
	OnThisNode bool
}

// Compare orders destinations by address and port.
func (d Destination) Compare(other Destination) int {
	return cmp.Or(d.Address.Compare(other.Address), cmp.Compare(d.Port, other.Port))
}

// Imported tells whether the ServiceImport is one that tombolo serves: made by tombolo, with clusterset IPs.
func Imported(si *mcsv1beta1.ServiceImport) bool {
	return si.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy && si.Spec.Type == mcsv1beta1.ClusterSetIP
}

// Services plans the virtual services of a ServiceImport. Ports are matched by name and protocol, and the slice has the
// real number (KEP-1645 "EndpointSlice"). Only ready endpoints get traffic; an endpoint that does not say counts as
// ready, as in discovery/v1.
func Services(in Input) Output {
	si := in.Import
	if !Imported(si) || si.DeletionTimestamp != nil {
		return Output{}
	}
	services := make([]VirtualService, 0, len(si.Spec.IPs)*len(si.Spec.Ports))
	for _, ip := range si.Spec.IPs {
		address, err := netip.ParseAddr(ip)
		if err != nil || !contains(in.Place.VIPs, address) {
			continue
		}
		for _, port := range si.Spec.Ports {
			if port.Port < 1 || port.Port > 65535 {
				continue
			}
			services = append(services, VirtualService{
				Key:          Key{Address: address, Protocol: protocolOf(&port.Protocol), Port: uint16(port.Port)},
				Scheduler:    v1alpha1.SchedulerRoundRobin,
				Affinity:     affinityOf(&si.Spec),
				Destinations: destinations(port, address.Is4(), in.Slices, in.Place),
			})
		}
	}
	return Output{Services: sortUnique(services)}
}

func contains(prefixes []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(address) })
}

// sortUnique keeps the first of two with one key.
func sortUnique(services []VirtualService) []VirtualService {
	slices.SortStableFunc(services, func(a, b VirtualService) int { return a.Key.Compare(b.Key) })
	return slices.CompactFunc(services, func(a, b VirtualService) bool { return a.Key == b.Key })
}

// defaultAffinity is what Kubernetes takes when the timeout is absent: three hours (core/v1
// DefaultClientIPServiceAffinitySeconds).
const defaultAffinity = 3 * time.Hour

func affinityOf(spec *mcsv1beta1.ServiceImportSpec) time.Duration {
	if spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	if c := spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		return time.Duration(*c.ClientIP.TimeoutSeconds) * time.Second
	}
	return defaultAffinity
}

func protocolOf(p *corev1.Protocol) corev1.Protocol {
	if p == nil || *p == "" {
		return corev1.ProtocolTCP
	}
	return *p
}

// weight of every destination. Preferences for zones and nodes will choose among the endpoints in destinations.
const weight = 1

// destinations of one port: the ready endpoints of the clusters that can be reached. If no such cluster has one, those
// of the others: links are called down by probes, which may be wrong, and to refuse would be to be sure.
func destinations(port mcsv1beta1.ServicePort, is4 bool, all []*discoveryv1.EndpointSlice, place Place) []Destination {
	var found, cutOff []Destination
	for _, slice := range all {
		number, ok := targetPort(slice, port)
		if !ok || !usable(slice, is4) {
			continue
		}
		ready := readyEndpoints(slice, number, is4, place)
		if place.Remotes[sourceCluster(slice)].Unreachable {
			cutOff = append(cutOff, ready...)
		} else {
			found = append(found, ready...)
		}
	}
	if len(found) == 0 {
		found = cutOff
	}
	slices.SortStableFunc(found, Destination.Compare)
	return slices.CompactFunc(found, func(a, b Destination) bool { return a.Compare(b) == 0 })
}

func readyEndpoints(slice *discoveryv1.EndpointSlice, number uint16, is4 bool, place Place) []Destination {
	var found []Destination
	local := sourceCluster(slice) == place.Cluster
	for i := range slice.Endpoints {
		endpoint := &slice.Endpoints[i]
		if ready := endpoint.Conditions.Ready; len(endpoint.Addresses) == 0 || ready != nil && !*ready {
			continue
		}
		// Further addresses of an endpoint are no further endpoints (discovery/v1 Endpoint.Addresses).
		address, err := netip.ParseAddr(endpoint.Addresses[0])
		if err != nil || address.Is4() != is4 {
			continue
		}
		found = append(found, Destination{Address: address, Port: number, Weight: weight,
			OnThisNode: local && endpoint.NodeName != nil && *endpoint.NodeName == place.Node})
	}
	return found
}

// usable tells whether the slice is of tombolo's and of that family.
func usable(slice *discoveryv1.EndpointSlice, is4 bool) bool {
	family := discoveryv1.AddressTypeIPv6
	if is4 {
		family = discoveryv1.AddressTypeIPv4
	}
	return slice.Labels[discoveryv1.LabelManagedBy] == v1alpha1.ManagedBy && slice.AddressType == family &&
		slice.DeletionTimestamp == nil
}

func sourceCluster(slice *discoveryv1.EndpointSlice) v1alpha1.ClusterID {
	return v1alpha1.ClusterID(slice.Labels[v1alpha1.LabelSourceCluster])
}

// targetPort is the slice's port of the same name and protocol.
func targetPort(slice *discoveryv1.EndpointSlice, port mcsv1beta1.ServicePort) (uint16, bool) {
	for _, p := range slice.Ports {
		name := ""
		if p.Name != nil {
			name = *p.Name
		}
		if name == port.Name && protocolOf(p.Protocol) == protocolOf(&port.Protocol) && p.Port != nil && *p.Port > 0 && *p.Port < 1<<16 {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}
