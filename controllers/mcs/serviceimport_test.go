package mcs

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestServiceImportFor(t *testing.T) {
	merged := Import{
		Spec: mcsv1beta1.ServiceImportSpec{
			Type: mcsv1beta1.ClusterSetIP, Ports: []mcsv1beta1.ServicePort{},
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol},
		},
		Labels:      map[string]string{"a": "b", v1alpha1.LabelManagedBy: "an impostor"},
		Annotations: map[string]string{"c": "d"},
	}
	vips := []netip.Addr{netip.MustParseAddr("244.0.0.9")}
	want := &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web", Annotations: map[string]string{"c": "d"},
			Labels: map[string]string{"a": "b", v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
		},
		Spec: mcsv1beta1.ServiceImportSpec{
			Type: mcsv1beta1.ClusterSetIP, Ports: []mcsv1beta1.ServicePort{}, IPs: []string{"244.0.0.9"}, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
		},
	}
	if diff := cmp.Diff(want, ServiceImportFor("shop", "web", merged, vips)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := ServiceImportFor("shop", "web", merged, nil); len(got.Spec.IPs) != 0 || len(got.Spec.IPFamilies) != 2 {
		t.Errorf("without addresses there are IPs %v and families %v, want the import's families", got.Spec.IPs, got.Spec.IPFamilies)
	}
	merged.Spec.Type = mcsv1beta1.Headless
	got := ServiceImportFor("shop", "web", merged, vips)
	if len(got.Spec.IPs) != 0 || len(got.Spec.IPFamilies) != 2 {
		t.Errorf("a headless import has IPs %v and families %v", got.Spec.IPs, got.Spec.IPFamilies)
	}
	if merged.Labels[v1alpha1.LabelManagedBy] != "an impostor" {
		t.Error("the input was changed")
	}
}
