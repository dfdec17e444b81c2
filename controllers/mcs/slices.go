package mcs

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// sliceLabels are the labels of every slice that tombolo writes. The headless one keeps kube-proxy from reading it.
func sliceLabels(cluster v1alpha1.ClusterID, service string, more map[string]string) map[string]string {
	labels := map[string]string{
		v1alpha1.LabelServiceName:   service,
		v1alpha1.LabelSourceCluster: string(cluster),
		discoveryv1.LabelManagedBy:  v1alpha1.ManagedBy,
		corev1.IsHeadlessService:    "",
	}
	for key, value := range more {
		labels[key] = value
	}
	return labels
}

// filterEndpoints returns copies of the endpoints whose address lies in one of the CIDRs, and the addresses of those
// that do not. Of an endpoint's addresses only the first has a meaning (discovery/v1). Hints and target references are
// the business of the cluster that they come from.
func filterEndpoints(endpoints []discoveryv1.Endpoint, cidrs []netip.Prefix) ([]discoveryv1.Endpoint, []string) {
	kept := make([]discoveryv1.Endpoint, 0, len(endpoints))
	var outside []string
	for _, e := range endpoints {
		if len(e.Addresses) == 0 {
			continue
		}
		addr, err := netip.ParseAddr(e.Addresses[0])
		if err != nil || !Contains(cidrs, addr) {
			outside = append(outside, e.Addresses[0])
			continue
		}
		kept = append(kept, discoveryv1.Endpoint{
			Addresses:  e.Addresses[:1],
			Conditions: *e.Conditions.DeepCopy(),
			Hostname:   e.Hostname,
			NodeName:   e.NodeName,
			Zone:       e.Zone,
		})
	}
	return kept, outside
}

// Contains tells whether one of the CIDRs holds the address.
func Contains(cidrs []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(cidrs, func(p netip.Prefix) bool { return p.Contains(addr) })
}
