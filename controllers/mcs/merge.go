package mcs

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Import is what the exports of one Service by all clusters amount to.
type Import struct {
	// Spec of the ServiceImport, without IPs: each cluster allocates its own.
	Spec mcsv1beta1.ServiceImportSpec
	// Labels and Annotations for the ServiceImport, as exported.
	Labels, Annotations map[string]string
	// Clusters that export, sorted.
	Clusters []v1alpha1.ClusterID
}

// SourceCluster is the cluster that an object on the hub, or an imported slice, comes from; empty if it does not say.
func SourceCluster(labels map[string]string) v1alpha1.ClusterID {
	return v1alpha1.ClusterID(labels[v1alpha1.LabelSourceCluster])
}

// Merge unites the exports of one Service, at least one: ports are united, every other field is the oldest export's,
// and of two that are equally old the one with the lower cluster ID counts as older. Neither the order of exports nor
// who calls matters (KEP-1645, "Conflict Resolution Policy").
func Merge(exports []v1alpha1.ExportedService) Import {
	sorted := slices.Clone(exports)
	slices.SortFunc(sorted, byAge)
	oldest := sorted[0].Spec
	merged := Import{
		Spec: mcsv1beta1.ServiceImportSpec{
			Type:                  oldest.Type,
			Ports:                 unitePorts(sorted),
			IPFamilies:            uniteFamilies(sorted),
			SessionAffinity:       affinity(oldest),
			SessionAffinityConfig: oldest.SessionAffinityConfig,
			InternalTrafficPolicy: oldest.InternalTrafficPolicy,
			TrafficDistribution:   oldest.TrafficDistribution,
		},
		Labels:      oldest.ExportedLabels,
		Annotations: oldest.ExportedAnnotations,
	}
	for _, e := range sorted {
		merged.Clusters = append(merged.Clusters, SourceCluster(e.Labels))
	}
	slices.Sort(merged.Clusters)
	return merged
}

func byAge(a, b v1alpha1.ExportedService) int {
	return cmp.Or(
		a.Spec.ExportedAt.Compare(b.Spec.ExportedAt.Time),
		cmp.Compare(SourceCluster(a.Labels), SourceCluster(b.Labels)),
	)
}

func affinity(spec v1alpha1.ExportedServiceSpec) corev1.ServiceAffinity {
	if spec.SessionAffinity == "" {
		return corev1.ServiceAffinityNone
	}
	return spec.SessionAffinity
}

// unitePorts keeps names, and pairs of protocol and number, unique: the older export's port stays. The result is never
// nil: a ServiceImport must have the field.
func unitePorts(sorted []v1alpha1.ExportedService) []mcsv1beta1.ServicePort {
	type number struct {
		protocol corev1.Protocol
		port     int32
	}
	names, numbers := map[string]bool{}, map[number]bool{}
	united := []mcsv1beta1.ServicePort{}
	for _, e := range sorted {
		for _, p := range e.Spec.Ports {
			if p.Protocol == "" {
				p.Protocol = corev1.ProtocolTCP
			}
			n := number{p.Protocol, p.Port}
			if names[p.Name] || numbers[n] {
				continue
			}
			names[p.Name], numbers[n] = true, true
			united = append(united, p)
		}
	}
	return united
}

// uniteFamilies keeps the oldest export's order: whatever one cluster can be reached by, clients may use.
func uniteFamilies(sorted []v1alpha1.ExportedService) []corev1.IPFamily {
	var united []corev1.IPFamily
	for _, e := range sorted {
		for _, f := range e.Spec.IPFamilies {
			if !slices.Contains(united, f) {
				united = append(united, f)
			}
		}
	}
	return united
}
