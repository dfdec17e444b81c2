package mcs

import (
	"net/netip"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Source is the cluster that slices on the hub come from, as the importing cluster sees it.
type Source struct {
	Cluster v1alpha1.ClusterID // required
	CIDRs   []netip.Prefix     // its endpoints' addresses lie in them; none: nothing of it is imported
	Own     bool               // it is the importing cluster itself
	// SameZones: a zone of its is the importing cluster's zone of that name, if that has one.
	SameZones bool
}

// SameZones tells whether zones of equal name are the same zone in both clusters: zone domain and region are equal, and
// known.
func SameZones(a, b v1alpha1.MemberSpec) bool {
	return a.ZoneDomain != "" && a.Region != "" && a.ZoneDomain == b.ZoneDomain && a.Region == b.Region
}

// ImportedSlice is the slice that a cluster keeps of one from the hub, beside the ServiceImport that owns it. Endpoints
// outside the source's CIDRs are left out. Node names are kept for the importing cluster's own endpoints only:
// elsewhere they name nothing. Hints are made for the importing cluster, and never taken over.
func ImportedSlice(hub *discoveryv1.EndpointSlice, owner *mcsv1beta1.ServiceImport, source Source) *discoveryv1.EndpointSlice {
	endpoints, _ := filterEndpoints(hub.Endpoints, source.CIDRs)
	for i := range endpoints {
		if !source.Own {
			endpoints[i].NodeName = nil
		}
		endpoints[i].Hints = source.hints(&endpoints[i], ptr.Deref(owner.Spec.TrafficDistribution, ""))
	}
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: owner.Namespace,
			Name:      hub.Name,
			Labels:    sliceLabels(source.Cluster, owner.Name, nil),
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
