package mcs

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// ExportedServiceFor is what the cluster publishes on the hub, in hubNamespace, for a valid export.
// Labels and annotations come from the ServiceExport's spec only (KEP-1645, "Labels and
// annotations"). Those that no importer takes over are left out.
func ExportedServiceFor(cluster v1alpha1.ClusterID, hubNamespace string, service *corev1.Service, export *mcsv1beta1.ServiceExport) *v1alpha1.ExportedService {
	return &v1alpha1.ExportedService{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: hubNamespace,
			Name:      clusterset.HubName(cluster, service.Namespace, service.Name),
			Labels:    map[string]string{v1alpha1.LabelSourceCluster: string(cluster)},
		},
		Spec: v1alpha1.ExportedServiceSpec{
			Namespace:             service.Namespace,
			Name:                  service.Name,
			ExportedAt:            export.CreationTimestamp,
			Type:                  importType(service),
			Ports:                 servicePorts(service),
			IPFamilies:            service.Spec.IPFamilies,
			SessionAffinity:       service.Spec.SessionAffinity,
			SessionAffinityConfig: service.Spec.SessionAffinityConfig,
			InternalTrafficPolicy: service.Spec.InternalTrafficPolicy,
			TrafficDistribution:   service.Spec.TrafficDistribution,
			ExportedLabels:        carried(export.Spec.ExportedLabels),
			ExportedAnnotations:   carried(export.Spec.ExportedAnnotations),
		},
	}
}

func importType(service *corev1.Service) mcsv1beta1.ServiceImportType {
	if service.Spec.ClusterIP == corev1.ClusterIPNone {
		return mcsv1beta1.Headless
	}
	return mcsv1beta1.ClusterSetIP
}

func servicePorts(service *corev1.Service) []mcsv1beta1.ServicePort {
	ports := make([]mcsv1beta1.ServicePort, 0, len(service.Spec.Ports))
	for _, p := range service.Spec.Ports {
		protocol := p.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		port := mcsv1beta1.ServicePort{Name: p.Name, Protocol: protocol, Port: p.Port}
		if p.AppProtocol != nil {
			port.AppProtocol = ptr.To(*p.AppProtocol)
		}
		ports = append(ports, port)
	}
	return ports
}
