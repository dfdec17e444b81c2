//go:build integration

package policy

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

const derivedName = "derived-0123456789abcdef"

// derivedService is a Service as the operator makes it.
func derivedService(namespace, name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: mcsv1beta1.GroupVersion.String(), Kind: mcsv1beta1.ServiceImportKindName, Name: "web", UID: "1", Controller: ptr.To(true),
			}},
		},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
}

// derivedSlice is one of its EndpointSlices.
func derivedSlice(namespace, service, name string) *discoveryv1.EndpointSlice {
	slice := importedSlice(namespace, name)
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: v1alpha1.ManagedBy}
	return slice
}

// Tenants leave a derived Service as it is. With their own Services they do what they like.
func TestTenantsDerivedServices(t *testing.T) {
	const ns = "tenant-derived"
	tenant, operator := asTenant(t, ns, "tenant"), asAccount(t, system, "tombolo-operator", nil)
	ctx := t.Context()
	ours := derivedService(ns, derivedName)
	checkForbidden(t, operator.Create(ctx, ours), "")
	const (
		content = "tombolo derives it from a ServiceImport"
		label   = "Leave the label as it is"
	)
	patch := func(object client.Object, text string) error {
		return tenant.Patch(ctx, object.DeepCopyObject().(client.Object), merge(text))
	}
	checkForbidden(t, patch(ours, `{"spec":{"selector":{"app":"mine"}}}`), content)
	checkForbidden(t, patch(ours, `{"spec":{"externalIPs":["192.0.2.1"]}}`), content)
	checkForbidden(t, patch(ours, `{"spec":{"type":"NodePort"}}`), content)
	checkForbidden(t, patch(ours, fmt.Sprintf(`{"metadata":{"labels":{%q:"me"}}}`, v1alpha1.LabelManagedBy)), label)
	checkForbidden(t, tenant.Create(ctx, derivedService(ns, "forged")), label)
	own := derivedService(ns, "own")
	own.Labels, own.OwnerReferences = nil, nil
	checkForbidden(t, tenant.Create(ctx, own), "")
	checkForbidden(t, patch(own, `{"spec":{"selector":{"app":"mine"}}}`), "")
	checkForbidden(t, patch(own, fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, v1alpha1.LabelManagedBy, v1alpha1.ManagedBy)), label)

	slice := derivedSlice(ns, derivedName, "derived-slice")
	checkForbidden(t, operator.Create(ctx, slice), "")
	checkForbidden(t, patch(slice, `{"endpoints":[{"addresses":["10.1.0.66"]}]}`), "tombolo writes what it says")
	checkForbidden(t, patch(slice, `{"metadata":{"labels":{"kubernetes.io/service-name":"other"}}}`), "tombolo writes what it says")

	checkForbidden(t, patch(ours, `{"metadata":{"labels":{"team":"a"},"annotations":{"note":"b"}}}`), "")
	checkForbidden(t, operator.Update(ctx, refreshed(t, ours)), "")
	checkForbidden(t, tenant.Delete(ctx, ours.DeepCopy()), "")
}

// refreshed is the object as the API server has it.
func refreshed(t *testing.T, service *corev1.Service) *corev1.Service {
	t.Helper()
	now := &corev1.Service{}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(service), now); err != nil {
		t.Fatal(err)
	}
	return now
}

// The operator writes derived Services, without selector and without addresses of its choice, and
// touches no other Service; nor does it add endpoints to one.
func TestOperatorWritesDerivedServices(t *testing.T) {
	operator := asAccount(t, system, "tombolo-operator", nil)
	ctx := t.Context()
	const noOther = "the operator writes the derived Services of ServiceImports, and no others"
	others := derivedService(metav1.NamespaceDefault, "others")
	others.Labels, others.OwnerReferences = nil, nil
	create(t, others)
	for name, change := range map[string]func(*corev1.Service){
		"another name":  func(s *corev1.Service) { s.Name = "web" },
		"a longer name": func(s *corev1.Service) { s.Name += "0" },
		"no label":      func(s *corev1.Service) { s.Labels = nil },
		"no owner":      func(s *corev1.Service) { s.OwnerReferences = nil },
		"a selector":    func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "web"} },
		"external IPs":  func(s *corev1.Service) { s.Spec.ExternalIPs = []string{"192.0.2.1"} },
		"a node port":   func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort },
	} {
		forged := derivedService(metav1.NamespaceDefault, derivedName)
		change(forged)
		t.Run(name, func(t *testing.T) { checkForbidden(t, operator.Create(ctx, forged), noOther) })
	}
	changed := refreshed(t, others)
	changed.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	checkForbidden(t, operator.Update(ctx, changed), noOther)
	checkForbidden(t, operator.Delete(ctx, others.DeepCopy()), noOther)
	checkForbidden(t, operator.Create(ctx, derivedSlice(metav1.NamespaceDefault, "others", "forged-derived")), "and those of derived Services, and no others")

	ours := derivedService(metav1.NamespaceDefault, derivedName)
	checkForbidden(t, operator.Create(ctx, ours), "")
	slice := derivedSlice(metav1.NamespaceDefault, derivedName, "ours-derived")
	checkForbidden(t, operator.Create(ctx, slice), "")
	slice.Labels[discoveryv1.LabelServiceName] = "kubernetes"
	checkForbidden(t, operator.Update(ctx, slice), "and those of derived Services, and no others")
	checkForbidden(t, operator.Delete(ctx, slice), "")
	checkForbidden(t, operator.Delete(ctx, ours), "")
}
