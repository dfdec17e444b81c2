package pack

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Families are the IP families by which the Service is exported, in its order. A headless Service
// without selector gets both families from the API server (core/v1 RequireDualStack), in a cluster
// with one family, too. So a family of a headless Service counts only if an endpoint that is offered
// has it, or if the cluster has it: one of its approved CIDRs is of that family. If no family is left,
// all count.
func (p Publisher) Families(service *corev1.Service, offer Offer) []corev1.IPFamily {
	all := service.Spec.IPFamilies
	if service.Spec.ClusterIP != corev1.ClusterIPNone {
		return all
	}
	left := slices.DeleteFunc(slices.Clone(all), func(f corev1.IPFamily) bool {
		ofCluster := slices.ContainsFunc(p.CIDRs, func(c netip.Prefix) bool { return clusterset.FamilyOf(c.Addr()) == f })
		return !ofCluster && !offer.has(discoveryv1.AddressType(f))
	})
	if len(left) == 0 {
		return all
	}
	return left
}

// has tells whether an endpoint of the family is offered.
func (o *Offer) has(family discoveryv1.AddressType) bool {
	for key, g := range o.groups {
		if key.family == family && len(g.endpoints) > 0 {
			return true
		}
	}
	return false
}
