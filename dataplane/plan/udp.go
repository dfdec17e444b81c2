package plan

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// UDP are the endpoints in the EndpointSlices of a ServiceImport that may send UDP: those that this
// cluster exports, and those of other clusters, ready or not. Port zero stands for all ports, as of a
// headless Service without ports. Both are sorted.
type UDP struct{ Exported, Imported []serviceport.Key }

// UDPOf reads the slices as a gateway of this cluster does when it decides what is an answer.
func UDPOf(own v1alpha1.ClusterID, all []*discoveryv1.EndpointSlice) (u UDP) {
	for _, slice := range all {
		list := &u.Imported
		switch clusterset.SourceCluster(slice.Labels) {
		case "":
			continue
		case own:
			list = &u.Exported
		}
		*list = appendUDP(*list, slice)
	}
	for _, list := range []*[]serviceport.Key{&u.Exported, &u.Imported} {
		slices.SortFunc(*list, serviceport.Key.Compare)
		*list = slices.Compact(*list)
	}
	return u
}

func appendUDP(all []serviceport.Key, slice *discoveryv1.EndpointSlice) []serviceport.Key {
	ports := udpPorts(slice.Ports)
	if len(ports) == 0 {
		return all
	}
	for i := range slice.Endpoints {
		for _, text := range slice.Endpoints[i].Addresses {
			address, err := netip.ParseAddr(text)
			if err != nil {
				continue
			}
			for _, port := range ports {
				all = append(all, serviceport.Key{Address: address.Unmap(), Protocol: serviceport.UDP, Port: port})
			}
		}
	}
	return all
}

// udpPorts are those of UDP, or zero if the slice lists no ports.
func udpPorts(all []discoveryv1.EndpointPort) (ports []uint16) {
	if len(all) == 0 {
		return []uint16{0}
	}
	for _, p := range all {
		if p.Protocol != nil && *p.Protocol == corev1.ProtocolUDP && p.Port != nil && *p.Port > 0 && *p.Port <= 65535 {
			ports = append(ports, uint16(*p.Port))
		}
	}
	return ports
}
