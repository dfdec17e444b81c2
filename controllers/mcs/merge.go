package mcs

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Import is what all clusters' exports of one Service merge into.
type Import struct {
	// Spec of the ServiceImport, without IPs: each cluster allocates its own.
	Spec mcsv1beta1.ServiceImportSpec
	// Labels and Annotations for the ServiceImport, as exported.
	Labels, Annotations map[string]string
	// Clusters that export, sorted.
	Clusters []v1alpha1.ClusterID
	// Oldest is the cluster whose export is the oldest.
	Oldest v1alpha1.ClusterID
}

// Merge unites the exports of one Service: at least one, and one for each cluster (KEP-1645,
// "Constraints and Conflict Resolution"). Ports are united. IP families are those by which every
// cluster is reached (uniteFamilies). Every other field is copied whole from the oldest export, by
// its ExportedAt, which the caller has judged (Sightings.AgeOf). If two are equally old, the one whose cluster ID sorts first counts as older. The type is such a
// field, too: an export that asks for another type still adds its ports and endpoints.
//
// So an export changes nothing for existing users of the Service, unless it is the oldest of all,
// or the first with a port or with a family that was needed. The result does not depend on the
// order of exports or on the caller. It shares maps and pointers with exports.
func Merge(exports []v1alpha1.ExportedService) Import {
	sorted := slices.SortedFunc(slices.Values(exports), byAge)
	oldest := &sorted[0].Spec
	merged := Import{
		Spec: mcsv1beta1.ServiceImportSpec{
			Type:                  oldest.Type,
			Ports:                 unitePorts(sorted),
			IPFamilies:            uniteFamilies(sorted),
			SessionAffinity:       affinity(oldest),
			InternalTrafficPolicy: oldest.InternalTrafficPolicy,
			TrafficDistribution:   oldest.TrafficDistribution,
		},
		Labels:      carried(oldest.ExportedLabels),
		Annotations: carried(oldest.ExportedAnnotations),
		Oldest:      clusterset.SourceCluster(sorted[0].Labels),
	}
	if merged.Spec.SessionAffinity != corev1.ServiceAffinityNone {
		merged.Spec.SessionAffinityConfig = oldest.SessionAffinityConfig
	}
	for i := range sorted {
		merged.Clusters = append(merged.Clusters, clusterset.SourceCluster(sorted[i].Labels))
	}
	slices.Sort(merged.Clusters)
	return merged
}

func byAge(a, b v1alpha1.ExportedService) int {
	return cmp.Or(
		a.Spec.ExportedAt.Compare(b.Spec.ExportedAt.Time),
		cmp.Compare(clusterset.SourceCluster(a.Labels), clusterset.SourceCluster(b.Labels)),
	)
}

func affinity(spec *v1alpha1.ExportedServiceSpec) corev1.ServiceAffinity {
	return cmp.Or(spec.SessionAffinity, corev1.ServiceAffinityNone)
}

func protocolOf(p mcsv1beta1.ServicePort) corev1.Protocol {
	return cmp.Or(p.Protocol, corev1.ProtocolTCP)
}

// unitePorts keeps names unique, and then pairs of protocol and number; the empty name counts as a
// name. The older export's port stays; within one export, the earlier port stays. Ports of unknown
// protocols are left out. The result is never nil: a ServiceImport must have the field.
func unitePorts(sorted []v1alpha1.ExportedService) []mcsv1beta1.ServicePort {
	type number struct {
		protocol corev1.Protocol
		port     int32
	}
	names, numbers := map[string]bool{}, map[number]bool{}
	united := []mcsv1beta1.ServicePort{}
	for i := range sorted {
		for _, p := range sorted[i].Spec.Ports {
			p.Protocol = protocolOf(p)
			n := number{p.Protocol, p.Port}
			if !clusterset.KnownProtocol(p.Protocol) || names[p.Name] || numbers[n] {
				continue
			}
			names[p.Name], numbers[n] = true, true
			united = append(united, p)
		}
	}
	return united
}

// uniteFamilies are the oldest export's families in its order. Another family is added only if a
// younger export has none of them and could not be reached at all. KEP-1645 leaves this to the
// implementation. A family that is not needed would do harm: clients with both prefer IPv6 (RFC
// 6724), so the first export with IPv6 would get all traffic. The pods of a Headless Service are
// reached by the families that they have, so its import has all families. Unknown families are left
// out.
func uniteFamilies(sorted []v1alpha1.ExportedService) []corev1.IPFamily {
	headless := sorted[0].Spec.Type == mcsv1beta1.Headless
	var united []corev1.IPFamily
	for i := range sorted {
		families := sorted[i].Spec.IPFamilies
		reached := slices.ContainsFunc(families, func(f corev1.IPFamily) bool { return slices.Contains(united, f) })
		if reached && !headless {
			continue
		}
		for _, f := range families {
			if knownFamily(f) && !slices.Contains(united, f) {
				united = append(united, f)
			}
		}
	}
	return united
}

func knownFamily(f corev1.IPFamily) bool { return f == corev1.IPv4Protocol || f == corev1.IPv6Protocol }
