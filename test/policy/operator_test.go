//go:build integration

package policy

import (
	"fmt"
	"testing"

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
