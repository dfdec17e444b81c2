// Package derived says, as pure functions, what the derived Service of a ServiceImport is (KEP-1645,
// "Derived Service"): a Service without selector beside the import, and EndpointSlices of its own. It
// is for programs that know Services only, kube-proxy among them. Package derivedservice writes them.
package derived

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Service is the derived Service of the import, headless if the import is. It is nil if there can be
// none: a Service with an address must have a port.
//
// trafficDistribution is PreferClose for every value that the import may have: all versions of
// Kubernetes know that value, and kube-proxy goes by the hints in the slices.
func Service(owner *mcsv1beta1.ServiceImport, name string) *corev1.Service {
	spec := &owner.Spec
	ports := ports(spec.Ports)
	if len(ports) == 0 && spec.Type != mcsv1beta1.Headless {
		return nil
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: owner.Namespace,
			Name:      name,
			Labels:    map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: mcsv1beta1.GroupVersion.String(), Kind: mcsv1beta1.ServiceImportKindName,
				Name: owner.Name, UID: owner.UID, Controller: ptr.To(true),
			}},
		},
		Spec: corev1.ServiceSpec{
			Type:                  corev1.ServiceTypeClusterIP,
			Ports:                 ports,
			SessionAffinity:       corev1.ServiceAffinityNone,
			InternalTrafficPolicy: ptr.To(ptr.Deref(spec.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)),
			IPFamilyPolicy:        ptr.To(corev1.IPFamilyPolicyPreferDualStack),
		},
	}
	if spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		service.Spec.SessionAffinity = spec.SessionAffinity
		if c := spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
			service.Spec.SessionAffinityConfig = c.DeepCopy()
		}
	}
	if spec.TrafficDistribution != nil {
		service.Spec.TrafficDistribution = ptr.To(corev1.ServiceTrafficDistributionPreferClose)
	}
	if len(spec.IPFamilies) == 1 {
		service.Spec.IPFamilyPolicy = ptr.To(corev1.IPFamilyPolicySingleStack)
		service.Spec.IPFamilies = slices.Clone(spec.IPFamilies)
	}
	if spec.Type == mcsv1beta1.Headless {
		service.Spec.ClusterIP = corev1.ClusterIPNone
	}
	return service
}

// ports are those of the Service. A Service with several ports must name each of them, while the
// ports of an import come from several Services: there, one without a name is left out.
func ports(imported []mcsv1beta1.ServicePort) []corev1.ServicePort {
	var all []corev1.ServicePort
	for _, p := range imported {
		if p.Name == "" && len(imported) > 1 {
			continue
		}
		all = append(all, corev1.ServicePort{
			Name: p.Name, Protocol: cmp.Or(p.Protocol, corev1.ProtocolTCP), AppProtocol: p.AppProtocol, Port: p.Port, TargetPort: intstr.FromInt32(p.Port),
		})
	}
	return all
}

// Replaced tells whether have cannot become want: a Service keeps its first IP family, and whether it
// is headless, for life.
func Replaced(have, want *corev1.Service) bool {
	if (have.Spec.ClusterIP == corev1.ClusterIPNone) != (want.Spec.ClusterIP == corev1.ClusterIPNone) {
		return true
	}
	families := have.Spec.IPFamilies
	return len(want.Spec.IPFamilies) == 1 && len(families) > 0 && families[0] != want.Spec.IPFamilies[0]
}

// Amend returns a copy of have with what want says, and whether that differs from have. What the API
// server chose, and labels and annotations that others added, stay.
func Amend(have, want *corev1.Service) (*corev1.Service, bool) {
	amended := have.DeepCopy()
	metav1.SetMetaDataLabel(&amended.ObjectMeta, v1alpha1.LabelManagedBy, v1alpha1.ManagedBy)
	amended.OwnerReferences = want.OwnerReferences
	spec := want.Spec.DeepCopy()
	spec.ClusterIP, spec.ClusterIPs, spec.IPFamilies = have.Spec.ClusterIP, have.Spec.ClusterIPs, have.Spec.IPFamilies
	if ptr.Deref(spec.IPFamilyPolicy, "") == corev1.IPFamilyPolicySingleStack && len(spec.IPFamilies) > 1 {
		spec.IPFamilies = spec.IPFamilies[:1]
		spec.ClusterIPs = spec.ClusterIPs[:min(1, len(spec.ClusterIPs))]
	}
	if spec.SessionAffinity == have.Spec.SessionAffinity && spec.SessionAffinityConfig == nil {
		spec.SessionAffinityConfig = have.Spec.SessionAffinityConfig // the API server's default
	}
	amended.Spec = *spec
	return amended, !equality.Semantic.DeepEqual(have, amended)
}

// Ours tells whether the Service is a derived one of tombolo's.
func Ours(service *corev1.Service) bool {
	return service.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy
}
