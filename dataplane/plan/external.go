package plan

import (
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// ExternalOf are the addresses in the EndpointSlices of a ServiceImport that are this cluster's, but no
// pods', sorted: they can answer this cluster's nodes, and perhaps nobody else. Of other clusters'
// endpoints their own gateways take care.
func ExternalOf(own v1alpha1.ClusterID, all []*discoveryv1.EndpointSlice) (found []netip.Addr) {
	for _, slice := range all {
		if clusterset.SourceCluster(slice.Labels) != own || slice.Labels[discoveryv1.LabelManagedBy] != v1alpha1.ManagedBy || !clusterset.External(slice.Labels) {
			continue
		}
		for i := range slice.Endpoints {
			for _, text := range slice.Endpoints[i].Addresses {
				if address, err := netip.ParseAddr(text); err == nil {
					found = append(found, address.Unmap())
				}
			}
		}
	}
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found)
}
