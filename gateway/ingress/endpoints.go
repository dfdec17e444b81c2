package ingress

import (
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// Export is what a Service's ServiceExport says. The zero Export: the Service is not exported.
type Export struct {
	// Open is true if others may reach the Service.
	Open bool
	// Audience says which ones; nil: all.
	Audience *v1alpha1.ExportAudience
	// Selector is true if the Service has a selector.
	Selector bool
}

// ServiceOf returns the name of the Service that a slice belongs to. An imported slice belongs to the
// ServiceImport of that name.
func ServiceOf(s *discoveryv1.EndpointSlice) types.NamespacedName {
	label := discoveryv1.LabelServiceName
	if clusterset.SourceCluster(s.Labels) != "" {
		label = v1alpha1.LabelServiceName
	}
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[label]}
}

// Imported tells whether another cluster exports the slice's endpoints.
func (in Input) Imported(s *discoveryv1.EndpointSlice) bool {
	source := clusterset.SourceCluster(s.Labels)
	return source != "" && source != in.Cluster
}

// Elements are what a slice adds to the sets, by the names of the sets. Endpoints of this cluster count
// if they are inside its CIDRs, for each sender that the export is for. Imported endpoints count if they
// are inside the CIDRs of their own cluster. A slice that somebody wrote does not count by itself: what
// the operator published of it comes in a slice of this cluster's own import.
func (in Input) Elements(s *discoveryv1.EndpointSlice, export Export) map[string][]string {
	own := clusterset.SourceCluster(s.Labels) == in.Cluster
	switch {
	case in.Imported(s):
		source := clusterset.SourceCluster(s.Labels)
		i := slices.IndexFunc(in.Senders, func(sender Sender) bool { return sender.Cluster == source })
		if i < 0 {
			return nil
		}
		return elementsOf(s, in.Senders[i].Prefixes, "imported", "")
	case !export.Open:
		return nil
	case own && s.Labels[discoveryv1.LabelManagedBy] != v1alpha1.ManagedBy:
		return nil
	case !own && clusterset.HandWritten(s, export.Selector):
		return nil
	case export.Audience == nil:
		return elementsOf(s, in.CIDRs, "exported", "")
	}
	var to []v1alpha1.ClusterID
	for _, sender := range in.Senders {
		if clusterset.InAudience(export.Audience, sender.Cluster, sender.Region) {
			to = append(to, sender.Cluster)
		}
	}
	return elementsOf(s, in.CIDRs, "exported", to...)
}

// elementsOf are the slice's endpoints inside the prefixes, ready or not: the last packets of a pod that
// ends must pass, too. A slice that lists no ports stands for all of them, as of a headless Service
// without ports. They are in a set for each of the clusters.
func elementsOf(s *discoveryv1.EndpointSlice, inside []netip.Prefix, set string, clusters ...v1alpha1.ClusterID) map[string][]string {
	elements := map[string][]string{}
	for i := range s.Endpoints {
		for _, text := range s.Endpoints[i].Addresses {
			addr, err := netip.ParseAddr(text)
			if err != nil || clusterset.FaultOf(addr) != "" || !clusterset.Contains(inside, addr) {
				continue
			}
			for _, cluster := range clusters {
				f := familyOf(addr)
				if hosts := f.set(set+"-hosts", cluster); len(s.Ports) == 0 {
					elements[hosts] = append(elements[hosts], string(addr.AsSlice()))
				}
				ports := f.set(set, cluster)
				for _, p := range s.Ports {
					if key, ok := portOf(addr, p); ok {
						elements[ports] = append(elements[ports], string(nft.AppendService(nil, key)))
					}
				}
			}
		}
	}
	return elements
}

func portOf(addr netip.Addr, p discoveryv1.EndpointPort) (serviceport.Key, bool) {
	protocol := serviceport.TCP
	if p.Protocol != nil {
		protocol = serviceport.ParseProtocol(string(*p.Protocol))
	}
	if p.Port == nil || *p.Port < 1 || *p.Port > 65535 || !protocol.Known() {
		return serviceport.Key{}, false
	}
	return serviceport.Key{Address: addr, Protocol: protocol, Port: uint16(*p.Port)}, true
}

// set is the name of a set of endpoints of the family, of those that only the cluster may reach if it is
// not empty. A cluster ID may begin with a digit and hold dots, which a name of nft may not begin with,
// but may hold.
func (f family) set(name string, cluster v1alpha1.ClusterID) string {
	if cluster == "" {
		return name + f.suffix
	}
	return name + f.suffix + "-to-" + string(cluster)
}
