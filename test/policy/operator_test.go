//go:build integration

package policy

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Of a Node the operator writes the transit addresses, and nothing else.
func TestOperatorWritesTransitAddresses(t *testing.T) {
	node := addNode(t, "operator-1.example")
	patch := func(c client.Client, text string) error { return c.Patch(t.Context(), node.DeepCopy(), merge(text)) }
	checkForbidden(t, patch(admin, `{"metadata":{"annotations":{"others":"a"}}}`), "")
	operator := asAccount(t, system, "tombolo-operator", nil)
	own := func(value string) string {
		return fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, v1alpha1.AnnotationTransitAddress, value)
	}
	const (
		nothing = "the operator may write the annotation clusterset.tombolo.dev/transit-address and nothing else"
		noOther = "the operator may write the annotation clusterset.tombolo.dev/transit-address and no other annotation"
	)
	for _, tc := range []struct{ name, patch, want string }{
		{"its annotation", own(`"245.0.16.64"`), ""},
		{"another value", own(`"245.0.16.65"`), ""},
		{"none", own("null"), ""},
		{"a new annotation", `{"metadata":{"annotations":{"a":"b"}}}`, noOther},
		{"another's annotation", `{"metadata":{"annotations":{"others":"b"}}}`, noOther},
		{"another's annotation away", `{"metadata":{"annotations":{"others":null}}}`, noOther},
		{"a new label", `{"metadata":{"labels":{"clusterset.tombolo.dev/gateway":"true"}}}`, nothing},
		{"another's label away", `{"metadata":{"labels":{"zone":null}}}`, nothing},
		{"a finalizer", `{"metadata":{"finalizers":["example.com/a"]}}`, nothing},
		{"an owner", `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"x","uid":"y"}]}}`, nothing},
		{"unschedulable", `{"spec":{"unschedulable":true}}`, nothing},
		{"pod CIDRs", `{"spec":{"podCIDR":"10.1.0.0/24","podCIDRs":["10.1.0.0/24"]}}`, nothing},
	} {
		t.Run(tc.name, func(t *testing.T) { checkForbidden(t, patch(operator, tc.patch), tc.want) })
	}
	status := client.RawPatch(types.StrategicMergePatchType, []byte(`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`))
	checkForbidden(t, operator.Status().Patch(t.Context(), node.DeepCopy(), status), noRight)
	checkForbidden(t, operator.Update(t.Context(), node.DeepCopy()), noRight)
	checkForbidden(t, operator.Delete(t.Context(), node.DeepCopy()), noRight)
	checkForbidden(t, operator.Create(t.Context(), &corev1.Node{ObjectMeta: hubMeta("", "operator-2.example", "")}), noRight)
}

// The operator removes keys that older versions have left, and the Secret when it is empty. It makes
// no key.
func TestOperatorRemovesKeys(t *testing.T) {
	keys := oldKeys(t, "operator-3.example", "operator-4.example")
	others := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "others"}}
	create(t, others)
	operator := asAccount(t, system, "tombolo-operator", nil)
	patch := func(secret *corev1.Secret, text string) error {
		return operator.Patch(t.Context(), secret.DeepCopy(), merge(text))
	}
	const only = "the operator may remove keys of gateways and do nothing else"
	checkForbidden(t, patch(keys, `{"data":{"operator-3.example":null}}`), "")
	checkForbidden(t, patch(keys, `{"data":{"operator-3.example":"YQ=="}}`), only)
	checkForbidden(t, patch(keys, `{"data":{"operator-4.example":"Yg=="}}`), only)
	checkForbidden(t, patch(others, `{"data":{"a":null}}`), noRight)
	checkForbidden(t, operator.Delete(t.Context(), others.DeepCopy()), noRight)
	checkForbidden(t, operator.Delete(t.Context(), keys.DeepCopy()), "the operator may delete it when it is empty")
	checkForbidden(t, patch(keys, `{"data":{"operator-4.example":null}}`), "")
	checkForbidden(t, operator.Delete(t.Context(), keys.DeepCopy()), "")
}

// In the Secret with the hub's access the operator renews the token, and changes nothing else.
func TestOperatorRenewsToken(t *testing.T) {
	access := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: v1alpha1.HubSecret},
		Data:       map[string][]byte{"token": []byte("a"), "ca.crt": []byte("b")},
	}
	create(t, access)
	operator := asAccount(t, system, "tombolo-operator", nil)
	patch := func(text string) error { return operator.Patch(t.Context(), access.DeepCopy(), merge(text)) }
	const only = "may renew the key token and change no other"
	checkForbidden(t, patch(`{"metadata":{"annotations":{"a":"b"}},"data":{"token":"Yg=="}}`), "")
	checkForbidden(t, patch(`{"data":{"ca.crt":"YQ=="}}`), only)
	checkForbidden(t, patch(`{"data":{"namespace":"YQ=="}}`), only)
	checkForbidden(t, patch(`{"data":{"ca.crt":null}}`), only)
	checkForbidden(t, operator.Delete(t.Context(), access.DeepCopy()), noRight)
}

// Of CoreDNS's objects the operator writes the ConfigMap, in the one namespace where CoreDNS is.
func TestOperatorWritesCorefile(t *testing.T) {
	operator := asAccount(t, system, "tombolo-operator", nil)
	const noOther = "may write CoreDNS's ConfigMap in kube-system and no other"
	for _, tc := range []struct{ namespace, name, want string }{
		{metav1.NamespaceSystem, "coredns", ""},
		{metav1.NamespaceSystem, "kubeadm-config", noRight},
		{metav1.NamespaceDefault, "coredns", noOther},
		{system, "coredns", noOther},
	} {
		config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: tc.namespace, Name: tc.name}}
		create(t, config)
		config.Data = map[string]string{"Corefile": "."}
		checkForbidden(t, operator.Update(t.Context(), config), tc.want)
	}
}

// With dns: Manual the operator does not touch CoreDNS's configuration, but for what it has added. With
// dns: Managed it does.
func TestOperatorWritesCorefileIfManaged(t *testing.T) {
	operator := asAccount(t, system, "tombolo-operator", nil)
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "coredns"}}
	create(t, config)
	set := clusterSet(func(*v1alpha1.ClusterSet) {})
	create(t, set)
	const refused = "only while the ClusterSet says dns: Managed"
	write := func(corefile string, added bool) error {
		have := &corev1.ConfigMap{}
		if err := operator.Get(t.Context(), client.ObjectKeyFromObject(config), have); err != nil {
			return err
		}
		have.Data, have.Annotations = map[string]string{"Corefile": corefile}, nil
		if added {
			have.Annotations = map[string]string{v1alpha1.AnnotationCorefile: "[]"}
		}
		return operator.Update(t.Context(), have)
	}
	// The API server takes its time to see the ClusterSet.
	wait := func(allowed bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); (write("probe", true) == nil) != allowed; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("a write of the Corefile is allowed: %t, want %t", !allowed, allowed)
			}
		}
	}
	wait(false)
	checkForbidden(t, write("evil", false), refused)
	checkForbidden(t, write("evil", true), refused)
	dns := func(mode v1alpha1.DNSMode) {
		checkForbidden(t, admin.Patch(t.Context(), set.DeepCopyObject().(client.Object), merge(fmt.Sprintf(`{"spec":{"dns":%q}}`, mode))), "")
	}
	dns(v1alpha1.DNSManaged)
	wait(true)
	checkForbidden(t, write("ours", true), "")
	dns(v1alpha1.DNSManual)
	wait(false)
	checkForbidden(t, write("evil", true), refused)
	checkForbidden(t, write("restored", false), "")
	checkForbidden(t, write("evil", false), refused)
	remove(t, set)
}

// Of Secrets the operator reads the one with the hub's token, by its name.
func TestOperatorReadsOneSecret(t *testing.T) {
	operator := asAccount(t, system, "tombolo-operator", nil)
	for name, want := range map[string]string{v1alpha1.HubSecret: "", "others": noRight} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: name}}
		create(t, secret)
		checkForbidden(t, operator.Get(t.Context(), client.ObjectKeyFromObject(secret), &corev1.Secret{}), want)
		named := client.MatchingFields{"metadata.name": name}
		checkForbidden(t, operator.List(t.Context(), &corev1.SecretList{}, client.InNamespace(system), named), want)
	}
	checkForbidden(t, operator.List(t.Context(), &corev1.SecretList{}, client.InNamespace(system)), noRight)
	checkForbidden(t, operator.List(t.Context(), &corev1.SecretList{}), noRight)
}
