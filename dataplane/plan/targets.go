package plan

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// target is one port of one clusterset IP of an import.
type target struct {
	Key
	// name of the port in the import.
	name string
}

// families in which an import has a clusterset IP, whether or not this node serves it.
type families struct{ ip4, ip6 bool }

func (f families) has(is4 bool) bool { return is4 && f.ip4 || !is4 && f.ip6 }

// skip says that endpoints of a family are left out because the import has no clusterset IP of it.
func (f families) skip(is4 bool) skip {
	name := "IPv6"
	if is4 {
		name = "IPv4"
	}
	return skip{what: skippedFamily, name: name, why: "the ServiceImport has no clusterset IP of that family: " +
		"give the ClusterSets a block of it in vipCIDRs, or export the Service without it"}
}

// targetsOf an import, sorted by their keys, the families in which it has a clusterset IP, and what
// of it cannot be served. If two targets are alike, the first counts. An import that is not served
// has none.
func targetsOf(in *Input, s *scratch) (targets []target, has families, skips []skip) {
	if in.Import == nil || !clusterset.Served(in.Import) {
		return nil, families{}, nil
	}
	ports, skips := usablePorts(in.Import.Spec.Ports, s.ports[:0])
	targets = s.targets[:0]
	for i, text := range in.Import.Spec.IPs {
		address, err := netip.ParseAddr(text)
		if err == nil {
			has.ip4, has.ip6 = has.ip4 || address.Is4(), has.ip6 || address.Is6()
			if !slices.ContainsFunc(in.Place.VIPs, func(p netip.Prefix) bool { return p.Addr().Is4() == address.Is4() }) {
				continue // a node without addresses of the family does not serve it, and has no clients of it either
			}
		}
		why := ""
		switch {
		case err != nil:
			why = "it is not an IP address"
		case slices.Contains(in.Import.Spec.IPs[:i], text):
			why = "the ServiceImport has it twice"
		case !clusterset.Contains(in.Place.VIPs, address):
			why = "it is outside the VIP CIDRs that this node serves, so that no flow to it gets here: see vipCIDRs of the ClusterSet"
		}
		if why != "" {
			skips = append(skips, skip{what: skippedIP, name: text, why: why})
			continue
		}
		for _, p := range ports {
			targets = append(targets, target{Key: Key{Address: address, Protocol: serviceport.ParseProtocol(string(p.protocol)), Port: p.number}, name: p.name})
		}
	}
	slices.SortStableFunc(targets, func(a, b target) int { return a.Key.Compare(b.Key) })
	// Two texts may be one address.
	return slices.CompactFunc(targets, func(a, b target) bool { return a.Key == b.Key }), has, skips
}

// servicePort is a port of an import that can be served.
type servicePort struct {
	name     string
	protocol corev1.Protocol
	number   uint16
}

// usablePorts are appended to usable, in their order. Names are distinct, and so are the numbers of
// each protocol (KEP-1645, "Service Port").
func usablePorts(all []mcsv1beta1.ServicePort, usable []servicePort) ([]servicePort, []skip) {
	var skips []skip
	for i := range all {
		p := servicePort{name: all[i].Name, protocol: protocolOf(&all[i].Protocol), number: uint16(all[i].Port)}
		why := ""
		switch {
		case all[i].Port < 1 || all[i].Port > 65535:
			why = "it is not from 1 to 65535"
		case !clusterset.KnownProtocol(p.protocol):
			why = "its protocol is not TCP, UDP or SCTP"
		case slices.ContainsFunc(usable, func(q servicePort) bool { return q.protocol == p.protocol && q.number == p.number }):
			why = "another port has its number, and only the first is served: give each port of the Service a number of its own"
		case slices.ContainsFunc(usable, func(q servicePort) bool { return q.name == p.name }):
			why = "another port has its name, and only the first is served: give each port of the Service a name of its own"
		}
		if why != "" {
			skips = append(skips, skip{what: skippedPort, name: fmt.Sprintf("%d/%s %q", all[i].Port, clip(string(p.protocol)), clip(p.name)), why: why})
			continue
		}
		usable = append(usable, p)
	}
	return usable, skips
}

// number of the slice's port of the same name and protocol; zero if it has none.
func (t *target) number(slice *discoveryv1.EndpointSlice) uint16 {
	for i := range slice.Ports {
		p := &slice.Ports[i]
		name := ""
		if p.Name != nil {
			name = *p.Name
		}
		if name == t.name && string(protocolOf(p.Protocol)) == t.Protocol.String() && p.Port != nil && *p.Port > 0 && *p.Port < 1<<16 {
			return uint16(*p.Port)
		}
	}
	return 0
}

func protocolOf(p *corev1.Protocol) corev1.Protocol {
	if p == nil || *p == "" {
		return corev1.ProtocolTCP
	}
	return *p
}
