package mcs

import (
	"crypto/sha256"
	"encoding/hex"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// hints name the zones and nodes of the importing cluster that should use the endpoint: its own
// zone and, with PreferSameNode, its own node. The EndpointSlice controller makes the same hints
// for a Service with that trafficDistribution (KEP-4444, KEP-3015). If the endpoint's zone is not
// one of the importing cluster's, the hint is that zone, under a name that no zone of the importing
// cluster has. nil means that all may use it alike.
func (s Source) hints(endpoint *discoveryv1.Endpoint, trafficDistribution string) *discoveryv1.EndpointHints {
	switch trafficDistribution {
	case corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone,
		corev1.ServiceTrafficDistributionPreferSameNode:
	default:
		return nil
	}
	var hints discoveryv1.EndpointHints
	if zone := endpoint.Zone; zone != nil {
		name := *zone
		if !s.Own && !s.SameZones {
			name = foreignZone(s.Cluster, name)
		}
		hints.ForZones = []discoveryv1.ForZone{{Name: name}}
	}
	if node := endpoint.NodeName; node != nil && trafficDistribution == corev1.ServiceTrafficDistributionPreferSameNode {
		hints.ForNodes = []discoveryv1.ForNode{{Name: *node}}
	}
	if hints.ForZones == nil && hints.ForNodes == nil {
		return nil
	}
	return &hints
}

// foreignZone is the name of another cluster's zone: "<cluster>.<zone>". A zone's name is a label's
// value. If it is too long for one, it is cut and gets a hash of itself.
func foreignZone(cluster v1alpha1.ClusterID, zone string) string {
	name := string(cluster) + "." + zone
	if len(name) <= validation.LabelValueMaxLength {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	suffix := "-" + hex.EncodeToString(sum[:4])
	return name[:validation.LabelValueMaxLength-len(suffix)] + suffix
}
