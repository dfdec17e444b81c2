//go:build integration

package policy

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// asKubelet returns a client with the certificate that the node's kubelet has.
func asKubelet(t *testing.T, node string) client.Client {
	t.Helper()
	config, err := addUser(envtest.User{Name: "system:node:" + node, Groups: []string{"system:nodes"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: newScheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// onlyAdmins is what a refusal says.
const onlyAdmins = "a node may not do that by itself"

// A kubelet does not make its node a gateway, takes no other node's transit address, and sets no
// address or drain of its gateway: neither in its Node, nor through its status.
func TestKubeletWritesNoneOfOurKeys(t *testing.T) {
	node := addNode(t, "kubelet-1.example")
	kubelet := asKubelet(t, node.Name)
	had := fmt.Sprintf(`{"metadata":{"labels":{"clusterset.tombolo.dev/kept":"true"},"annotations":{%q:"192.0.2.1",%q:"245.0.16.64"}}}`,
		v1alpha1.AnnotationGatewayEndpoints, v1alpha1.AnnotationTransitAddress)
	checkForbidden(t, admin.Patch(t.Context(), node.DeepCopy(), merge(had)), "")
	label := func(key, value string) string { return fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, key, value) }
	annotation := func(key, value string) string {
		return fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, key, value)
	}
	for _, tc := range []struct{ name, patch, want string }{
		{"becomes a gateway", label(v1alpha1.LabelGateway, `"true"`), "kubectl label node kubelet-1.example clusterset.tombolo.dev/gateway="},
		{"a label of the domain", label("clusterset.tombolo.dev/any", `""`), onlyAdmins},
		{"such a label away", label("clusterset.tombolo.dev/kept", "null"), onlyAdmins},
		{"another node's transit address", annotation(v1alpha1.AnnotationTransitAddress, `"245.0.16.65"`), "Only the operator assigns it"},
		{"its transit address away", annotation(v1alpha1.AnnotationTransitAddress, "null"), "Only the operator assigns it"},
		{"endpoints", annotation(v1alpha1.AnnotationGatewayEndpoints, `"198.51.100.7"`), "kubectl annotate node kubelet-1.example clusterset.tombolo.dev/gateway-endpoints="},
		{"endpoints away", annotation(v1alpha1.AnnotationGatewayEndpoints, "null"), onlyAdmins},
		{"drains", annotation(v1alpha1.AnnotationGatewayDrain, `"true"`), onlyAdmins},
		{"a label of its own", label("example.com/a", `"b"`), ""},
		{"an annotation of its own", annotation("example.com/a", `"b"`), ""},
		{"a key that only begins like ours", label("clusterset.tombolo.dev.example.com/gateway", `"true"`), ""},
		{"our keys as they are", had, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			checkForbidden(t, kubelet.Patch(t.Context(), node.DeepCopy(), merge(tc.patch)), tc.want)
			checkForbidden(t, kubelet.Status().Patch(t.Context(), node.DeepCopy(), merge(tc.patch)), tc.want)
		})
	}
	applied := client.RawPatch(types.ApplyPatchType, []byte(`{"apiVersion":"v1","kind":"Node","metadata":{"name":"kubelet-1.example",
		"labels":{"clusterset.tombolo.dev/gateway":"true"}}}`))
	checkForbidden(t, kubelet.Patch(t.Context(), node.DeepCopy(), applied, client.FieldOwner("kubelet")), onlyAdmins)
}

// What a kubelet does all the time passes, with our keys on its Node and without.
func TestKubeletWritesItsNode(t *testing.T) {
	for _, annotations := range []map[string]string{nil, {v1alpha1.AnnotationTransitAddress: "245.0.16.66"}} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "kubelet-2.example", Annotations: annotations}}
		create(t, node)
		kubelet := asKubelet(t, node.Name)
		for _, status := range []string{"True", "False"} {
			text := fmt.Sprintf(`{"status":{"conditions":[{"type":"Ready","status":%q}]}}`, status)
			patch := client.RawPatch(types.StrategicMergePatchType, []byte(text))
			checkForbidden(t, kubelet.Status().Patch(t.Context(), node, patch), "")
		}
		node.Annotations = map[string]string{"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
		for key, value := range annotations {
			node.Annotations[key] = value
		}
		checkForbidden(t, kubelet.Update(t.Context(), node), "")
		remove(t, node)
	}
}

// A kubelet registers its node without our keys only. The refusal says how an admin labels it.
func TestKubeletRegisters(t *testing.T) {
	kubelet := asKubelet(t, "kubelet-3.example")
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "kubelet-3.example"}}
	t.Cleanup(func() { remove(t, node) })
	with := func(labels, annotations map[string]string) *corev1.Node {
		n := node.DeepCopy()
		n.Labels, n.Annotations = labels, annotations
		return n
	}
	gateway := map[string]string{v1alpha1.LabelGateway: "true"}
	checkForbidden(t, kubelet.Create(t.Context(), with(gateway, nil)), "kubectl label node kubelet-3.example clusterset.tombolo.dev/gateway=")
	checkForbidden(t, kubelet.Create(t.Context(), with(nil, map[string]string{v1alpha1.AnnotationTransitAddress: "245.0.16.65"})), "Only the operator assigns it")
	checkForbidden(t, kubelet.Create(t.Context(), with(map[string]string{"example.com/pool": "a"}, nil)), "")
	checkForbidden(t, admin.Patch(t.Context(), node.DeepCopy(), merge(`{"metadata":{"labels":{"clusterset.tombolo.dev/gateway":"true"}}}`)), "")
}

// Our own agents on a node have no more of these rights than its kubelet.
func TestAgentsWriteNoneOfOurKeys(t *testing.T) {
	node := addNode(t, "kubelet-4.example")
	patch := merge(`{"metadata":{"labels":{"clusterset.tombolo.dev/gateway":"true"}}}`)
	for _, account := range []string{"tombolo-dataplane", "tombolo-gateway"} {
		agent := asAgent(t, account, node.Name)
		if agent.Status().Patch(t.Context(), node.DeepCopy(), patch) == nil || agent.Patch(t.Context(), node.DeepCopy(), patch) == nil {
			t.Errorf("%s made its node a gateway", account)
		}
	}
}
