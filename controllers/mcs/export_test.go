package mcs

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

func TestExportedServiceFor(t *testing.T) {
	exportedAt := metav1.NewTime(time.Unix(100, 0))
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web", CreationTimestamp: metav1.NewTime(time.Unix(1, 0)),
			Labels: map[string]string{"not": "exported"},
		},
		Spec: corev1.ServiceSpec{
			ClusterIP:  "10.96.0.1",
			IPFamilies: []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol},
			Ports: []corev1.ServicePort{
				{Name: "http", Port: 80, AppProtocol: ptr.To("http"), NodePort: 30000}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
			},
			SessionAffinity:       corev1.ServiceAffinityClientIP,
			InternalTrafficPolicy: ptr.To(corev1.ServiceInternalTrafficPolicyLocal),
			TrafficDistribution:   ptr.To("PreferClose"),
		},
	}
	export := &mcsv1beta1.ServiceExport{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: exportedAt, Labels: map[string]string{"not": "exported"}},
		Spec:       mcsv1beta1.ServiceExportSpec{ExportedLabels: map[string]string{"a": "b"}, ExportedAnnotations: map[string]string{"c": "d"}},
	}
	want := &v1alpha1.ExportedService{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "hub", Name: clusterset.HubName("east", "shop", "web"),
			Labels: map[string]string{v1alpha1.LabelSourceCluster: "east"},
		},
		Spec: v1alpha1.ExportedServiceSpec{
			Namespace: "shop", Name: "web", ExportedAt: exportedAt, Type: mcsv1beta1.ClusterSetIP,
			Ports: []mcsv1beta1.ServicePort{
				{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, AppProtocol: ptr.To("http")},
				{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
			},
			IPFamilies:            []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol},
			SessionAffinity:       corev1.ServiceAffinityClientIP,
			InternalTrafficPolicy: ptr.To(corev1.ServiceInternalTrafficPolicyLocal),
			TrafficDistribution:   ptr.To("PreferClose"),
			ExportedLabels:        map[string]string{"a": "b"},
			ExportedAnnotations:   map[string]string{"c": "d"},
		},
	}
	if diff := cmp.Diff(want, ExportedServiceFor("east", "hub", service, export)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	service.Spec.ClusterIP = corev1.ClusterIPNone
	if got := ExportedServiceFor("east", "hub", service, export).Spec.Type; got != mcsv1beta1.Headless {
		t.Errorf("a headless Service is exported as %s", got)
	}
}
