//go:build integration

package policy

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// asTenant makes a namespace with an account, and a client that may do anything there to ServiceImports,
// Services and EndpointSlices.
func asTenant(t *testing.T, namespace, account string) client.Client {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: account}
	create(t,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{mcsv1beta1.GroupName}, Resources: []string{"serviceimports", "serviceimports/status"}, Verbs: []string{"*"}},
			{APIGroups: []string{discoveryv1.GroupName}, Resources: []string{"endpointslices"}, Verbs: []string{"*"}},
			{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"*"}},
		}},
		&rbacv1.RoleBinding{ObjectMeta: meta,
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: account},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}}},
	)
	tenant := asAccount(t, namespace, account, nil)
	// The API server takes its time to have a new policy in force.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, forged := range []client.Object{importOf(namespace, "probe"), importedSlice(namespace, "probe"), derivedService(namespace, derivedName)} {
		for !apierrors.IsForbidden(tenant.Create(ctx, forged.DeepCopyObject().(client.Object), client.DryRunAll)) {
			if ctx.Err() != nil {
				t.Fatalf("%T with our label is not refused", forged)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return tenant
}

// importOf is a ServiceImport as the operator makes it.
func importOf(namespace, name string) *mcsv1beta1.ServiceImport {
	return &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		Spec: mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, IPs: []string{"244.0.1.1"},
			Ports: []mcsv1beta1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}},
	}
}

// Of a ServiceImport that the operator has written, tenants change nothing that the operator says: else
// they would take the clusterset IP of another namespace's import, or say from where it is imported. An
// account that has the name of the operator's has no more rights by that.
func TestTenantsImports(t *testing.T) {
	const ns = "tenant-imports"
	tenant, operator := asTenant(t, ns, "tombolo-operator"), asAccount(t, system, "tombolo-operator", nil)
	ctx := t.Context()
	ours := importOf(ns, "web")
	checkForbidden(t, operator.Create(ctx, ours, client.FieldOwner("tombolo-operator")), "")
	status := `{"status":{"clusters":[{"cluster":"east"}]}}`
	checkForbidden(t, operator.Status().Patch(ctx, ours, merge(status)), "")
	old := &mcsv1alpha1.ServiceImport{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web"}}
	const (
		content = "change the Service or its ServiceExport in a cluster that exports it"
		label   = "Leave the label as it is"
	)
	patch := func(object client.Object, text string) error {
		return tenant.Patch(ctx, object.DeepCopyObject().(client.Object), merge(text))
	}
	checkForbidden(t, patch(ours, `{"spec":{"ips":["244.0.7.7"]}}`), content)
	checkForbidden(t, patch(old, `{"spec":{"ips":["244.0.7.7"]}}`), content)
	checkForbidden(t, patch(ours, `{"spec":{"type":"Headless","ips":null}}`), content)
	checkForbidden(t, patch(ours, `{"spec":{"ports":[{"port":443,"protocol":"TCP"}]}}`), content)
	checkForbidden(t, tenant.Status().Patch(ctx, ours.DeepCopy(), merge(`{"status":{"clusters":[{"cluster":"west"}]}}`)), content)
	checkForbidden(t, patch(ours, fmt.Sprintf(`{"metadata":{"labels":{%q:null}}}`, v1alpha1.LabelManagedBy)), label)
	checkForbidden(t, tenant.Create(ctx, importOf(ns, "forged")), label)
	foreign := importOf(ns, "foreign")
	foreign.Labels = nil
	checkForbidden(t, tenant.Create(ctx, foreign), "")
	checkForbidden(t, patch(foreign, `{"spec":{"ips":["244.0.7.7"]}}`), "")
	checkForbidden(t, tenant.Status().Patch(ctx, foreign.DeepCopy(), merge(status)), "")
	checkForbidden(t, patch(foreign, fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, v1alpha1.LabelManagedBy, v1alpha1.ManagedBy)), label)

	harmless := `{"metadata":{"labels":{"team":"a"},"annotations":{"note":"b"},"finalizers":["example.com/wait"]}}`
	checkForbidden(t, patch(ours, harmless), "")
	checkForbidden(t, patch(ours, `{"metadata":{"finalizers":null}}`), "")
	checkForbidden(t, tenant.Status().Patch(ctx, ours.DeepCopy(), merge(status)), "")
	applied := client.RawPatch(types.ApplyPatchType, fmt.Appendf(nil, `{"apiVersion":"multicluster.x-k8s.io/v1beta1","kind":"ServiceImport",
		"metadata":{"name":"web","namespace":%q,"annotations":{"applied":"c"}}}`, ns))
	checkForbidden(t, tenant.Patch(ctx, ours.DeepCopy(), applied, client.FieldOwner("tenant")), "")
	checkForbidden(t, admin.Patch(ctx, ours.DeepCopy(), merge(`{"spec":{"ips":["244.0.1.2"]}}`)), "")
	checkForbidden(t, operator.Patch(ctx, ours.DeepCopy(), merge(`{"spec":{"ips":["244.0.1.3"]}}`)), "")
	checkForbidden(t, tenant.Delete(ctx, ours.DeepCopy()), "")
}

// importedSlice is an EndpointSlice as the operator makes it.
func importedSlice(namespace, name string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{
			v1alpha1.LabelServiceName: "web", v1alpha1.LabelSourceCluster: "east", discoveryv1.LabelManagedBy: v1alpha1.ManagedBy}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.1.0.1"}}},
	}
}

// Nor do tenants write the endpoints of an import.
func TestTenantsSlices(t *testing.T) {
	const ns = "tenant-slices"
	tenant, operator := asTenant(t, ns, "tenant"), asAccount(t, system, "tombolo-operator", nil)
	ctx := t.Context()
	ours := importedSlice(ns, "web-east")
	checkForbidden(t, operator.Create(ctx, ours), "")
	const (
		content = "change the Service or its ServiceExport in the cluster that it comes from"
		label   = "Leave the label as it is"
	)
	patch := func(object client.Object, text string) error {
		return tenant.Patch(ctx, object.DeepCopyObject().(client.Object), merge(text))
	}
	checkForbidden(t, patch(ours, `{"endpoints":[{"addresses":["10.1.0.66"]}]}`), content)
	checkForbidden(t, patch(ours, `{"ports":[{"port":22,"protocol":"TCP"}]}`), content)
	checkForbidden(t, patch(ours, fmt.Sprintf(`{"metadata":{"labels":{%q:"victim"}}}`, v1alpha1.LabelServiceName)), content)
	checkForbidden(t, patch(ours, fmt.Sprintf(`{"metadata":{"labels":{%q:"north"}}}`, v1alpha1.LabelSourceCluster)), content)
	checkForbidden(t, patch(ours, fmt.Sprintf(`{"metadata":{"labels":{%q:"me"}}}`, discoveryv1.LabelManagedBy)), label)
	checkForbidden(t, tenant.Create(ctx, importedSlice(ns, "forged")), label)
	own := importedSlice(ns, "own")
	own.Labels = map[string]string{discoveryv1.LabelServiceName: "mine", discoveryv1.LabelManagedBy: "me"}
	checkForbidden(t, tenant.Create(ctx, own), "")
	checkForbidden(t, patch(own, `{"endpoints":[{"addresses":["10.1.0.66"]}]}`), "")
	checkForbidden(t, patch(own, fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, discoveryv1.LabelManagedBy, v1alpha1.ManagedBy)), label)

	checkForbidden(t, patch(ours, `{"metadata":{"labels":{"team":"a"},"annotations":{"note":"b"}}}`), "")
	checkForbidden(t, admin.Patch(ctx, ours.DeepCopy(), merge(`{"endpoints":[]}`)), "")
	checkForbidden(t, operator.Patch(ctx, ours.DeepCopy(), merge(`{"endpoints":[{"addresses":["10.1.0.2"]}]}`)), "")
	checkForbidden(t, tenant.Delete(ctx, ours.DeepCopy()), "")
}

// The operator writes the slices that it imports, and none of other controllers. Its slices are not
// those of a Service of this cluster, which every node's kube-proxy would use.
func TestOperatorWritesItsSlices(t *testing.T) {
	operator := asAccount(t, system, "tombolo-operator", nil)
	ctx := t.Context()
	others := importedSlice(metav1.NamespaceDefault, "others")
	others.Labels = map[string]string{discoveryv1.LabelServiceName: "kubernetes", discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"}
	create(t, others)
	ours := importedSlice(metav1.NamespaceDefault, "ours")
	const noOther = "the operator writes the EndpointSlices that it imports and those of derived Services, and no others"
	checkForbidden(t, operator.Create(ctx, ours), "")
	patch := func(slice *discoveryv1.EndpointSlice, text string) error {
		return operator.Patch(ctx, slice.DeepCopy(), merge(text))
	}
	checkForbidden(t, patch(ours, `{"endpoints":[]}`), "")
	checkForbidden(t, patch(ours, `{"metadata":{"labels":{"kubernetes.io/service-name":"kubernetes"}}}`), noOther)
	checkForbidden(t, patch(ours, `{"metadata":{"labels":{"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io"}}}`), noOther)
	checkForbidden(t, patch(others, `{"endpoints":[]}`), noOther)
	checkForbidden(t, patch(others, `{"metadata":{"labels":{"endpointslice.kubernetes.io/managed-by":"tombolo.dev","kubernetes.io/service-name":null}}}`), noOther)
	checkForbidden(t, operator.Delete(ctx, others.DeepCopy()), noOther)
	forged := others.DeepCopy()
	forged.ObjectMeta = metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "forged", Labels: others.Labels}
	checkForbidden(t, operator.Create(ctx, forged), noOther)
	checkForbidden(t, operator.Delete(ctx, ours), "")
}
