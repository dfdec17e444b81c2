package mcs

import (
	"net/netip"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// ImportedSlice is the slice that a cluster keeps of one from the hub, beside the ServiceImport that owns it. Endpoints
// outside cidrs, those under which the source cluster is seen from here, are left out. Node names are kept for the
// importing cluster's own endpoints only: elsewhere they name nothing.
func ImportedSlice(hub *discoveryv1.EndpointSlice, owner *mcsv1beta1.ServiceImport, cidrs []netip.Prefix, own bool) *discoveryv1.EndpointSlice {
	endpoints, _ := filterEndpoints(hub.Endpoints, cidrs)
	if !own {
		for i := range endpoints {
			endpoints[i].NodeName = nil
		}
	}
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: owner.Namespace,
			Name:      hub.Name,
			Labels:    sliceLabels(SourceCluster(hub.Labels), owner.Name, nil),
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
		Ports:       hub.Ports,
	}
}

// SameSlice tells whether have is as it should be, so that nothing needs to be written.
func SameSlice(have, want *discoveryv1.EndpointSlice) bool {
	return have.AddressType == want.AddressType &&
		equality.Semantic.DeepEqual(have.Labels, want.Labels) &&
		equality.Semantic.DeepEqual(have.OwnerReferences, want.OwnerReferences) &&
		equality.Semantic.DeepEqual(have.Endpoints, want.Endpoints) &&
		equality.Semantic.DeepEqual(have.Ports, want.Ports)
}
