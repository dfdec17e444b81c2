package mcs

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Source is the cluster that slices on the hub come from, as the importing cluster sees it.
type Source struct {
	Cluster v1alpha1.ClusterID // required
	CIDRs   []netip.Prefix     // its endpoints' addresses lie in them; empty: nothing is imported from it
	Own     bool               // it is the importing cluster itself
	// SameZones is true if its zones are the importing cluster's zones of the same name
	// (clusterset.Area).
	SameZones bool
	// Ports are those of the cluster's export. If they are not known (nil), all of a slice's ports
	// count as the import has them.
	Ports []mcsv1beta1.ServicePort
	// Nodes are the nodes of the importing cluster's own endpoints, by address. The hub does not say them.
	Nodes map[string]string
}

// ImportedSlice is the slice that a cluster keeps for one from the hub, beside the ServiceImport
// that owns it, and what it lacks because it cannot be used (package screen). The hub's node names
// do not count: they would name nothing here, or the wrong node. Hints are made for
// the importing cluster, and never copied. That endpoints are no pods is kept for its own, too: nobody
// else believes it. A port stays if the import has it as the source exports
// it (servedPorts).
func ImportedSlice(hub *discoveryv1.EndpointSlice, owner *mcsv1beta1.ServiceImport, source Source) (*discoveryv1.EndpointSlice, []screen.Skipped) {
	endpoints, skipped := screen.Endpoints(hub, source.CIDRs)
	ports, skippedPorts := screen.Ports(hub)
	var more map[string]string
	if source.Own && clusterset.External(hub.Labels) {
		more = map[string]string{v1alpha1.LabelEndpoints: v1alpha1.EndpointsExternal}
	}
	for i := range endpoints {
		endpoints[i].NodeName = nil
		if node, known := source.Nodes[endpoints[i].Addresses[0]]; known && source.Own {
			endpoints[i].NodeName = ptr.To(node)
		}
		endpoints[i].Hints = source.hints(&endpoints[i], ptr.Deref(owner.Spec.TrafficDistribution, ""))
	}
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: owner.Namespace,
			Name:      hub.Name,
			Labels:    SliceLabels(source.Cluster, owner.Name, more),
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: mcsv1beta1.GroupVersion.String(),
				Kind:       mcsv1beta1.ServiceImportKindName,
				Name:       owner.Name,
				UID:        owner.UID,
				Controller: ptr.To(true),
			}},
		},
		AddressType: hub.AddressType,
		Endpoints:   endpoints,
		Ports:       servedPorts(ports, &owner.Spec, source.Ports),
	}, slices.Concat(skipped, skippedPorts)
}

// servedPorts are the ports of a slice that the import has as the slice's cluster exports them,
// with the same number. If two clusters export a port with one name and different numbers, the
// import has one of them. Traffic for it goes only to the clusters that expose it (KEP-1645,
// "Service Port"). A slice says the name only: by that alone, traffic would reach the other
// cluster's pods too.
//
// Clients of a Headless Service connect to its pods, on the numbers that their slices say: there
// all ports stay.
func servedPorts(ports []discoveryv1.EndpointPort, spec *mcsv1beta1.ServiceImportSpec, exported []mcsv1beta1.ServicePort) []discoveryv1.EndpointPort {
	if spec.Type == mcsv1beta1.Headless || exported == nil {
		return ports
	}
	type number struct {
		protocol corev1.Protocol
		port     int32
	}
	imported, served := map[string]number{}, map[string]bool{}
	for _, p := range spec.Ports {
		imported[p.Name] = number{protocolOf(p), p.Port}
	}
	for _, p := range exported {
		served[p.Name] = imported[p.Name] == number{protocolOf(p), p.Port}
	}
	kept := make([]discoveryv1.EndpointPort, 0, len(ports))
	for _, p := range ports {
		if served[ptr.Deref(p.Name, "")] {
			kept = append(kept, p)
		}
	}
	return kept
}

// SameSlice tells whether have is as wanted, so that nothing needs to be written.
func SameSlice(have, want *discoveryv1.EndpointSlice) bool {
	return have.AddressType == want.AddressType &&
		equality.Semantic.DeepEqual(have.Labels, want.Labels) &&
		equality.Semantic.DeepEqual(have.OwnerReferences, want.OwnerReferences) &&
		equality.Semantic.DeepEqual(have.Endpoints, want.Endpoints) &&
		equality.Semantic.DeepEqual(have.Ports, want.Ports)
}
