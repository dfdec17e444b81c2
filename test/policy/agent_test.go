//go:build integration

package policy

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// addNode creates a Node with a condition and a label that others own.
func addNode(t *testing.T, name string) *corev1.Node {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"zone": "a"}}}
	create(t, node)
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}}
	if err := admin.Status().Update(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	return node
}

// asAgent returns a client with the token that a pod of the agent has on the node.
func asAgent(t *testing.T, account, node string) client.Client {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: system, GenerateName: account + "-"},
		Spec: corev1.PodSpec{
			NodeName: node, ServiceAccountName: account,
			Containers: []corev1.Container{{Name: "agent", Image: "tombolo-net/tombolo:dev"}},
		},
	}
	create(t, pod)
	return asAccount(t, system, account, pod)
}

func TestDataplaneWritesItsCondition(t *testing.T) {
	mine, others := addNode(t, "dataplane-1.example"), addNode(t, "dataplane-2.example")
	agent := asAgent(t, "tombolo-dataplane", mine.Name)
	anywhere := asAccount(t, system, "tombolo-dataplane", nil)
	condition := func(kind, status string) string {
		return fmt.Sprintf(`{"status":{"conditions":[{"type":%q,"status":%q,"reason":"Ready","message":""}]}}`, kind, status)
	}
	own := condition(v1alpha1.NodeConditionDataplane, "True")
	const (
		notItsNode = "a dataplane writes the condition of its own node only"
		nothing    = "a dataplane may write the condition clusterset.tombolo.dev/Dataplane and nothing else"
		noOther    = "a dataplane may write the condition clusterset.tombolo.dev/Dataplane and no other condition"
	)
	for _, tc := range []struct {
		name  string
		agent client.Client
		node  *corev1.Node
		patch string
		want  string
	}{
		{"its condition", agent, mine, own, ""},
		{"its condition again", agent, mine, condition(v1alpha1.NodeConditionDataplane, "False"), ""},
		{"of another node", agent, others, own, notItsNode},
		{"with a token of no node", anywhere, mine, own, notItsNode},
		{"the kubelet's condition", agent, mine, condition("Ready", "False"), noOther},
		{"a condition of its own making", agent, mine, condition("Pressure", "True"), noOther},
		{"addresses", agent, mine, `{"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.9"}]}}`, nothing},
		{"capacity", agent, mine, `{"status":{"capacity":{"example.com/gpu":"8"}}}`, nothing},
		{"labels", agent, mine, `{"metadata":{"labels":{"zone":"b"}}}`, nothing},
		{"annotations", agent, mine, `{"metadata":{"annotations":{"a":"b"}}}`, nothing},
	} {
		t.Run(tc.name, func(t *testing.T) {
			patch := client.RawPatch(types.StrategicMergePatchType, []byte(tc.patch))
			checkForbidden(t, tc.agent.Status().Patch(t.Context(), tc.node.DeepCopy(), patch), tc.want)
		})
	}
	taint := merge(`{"spec":{"unschedulable":true}}`)
	checkForbidden(t, agent.Patch(t.Context(), mine.DeepCopy(), taint), noRight)
}

// Server-side apply is the other way to own one condition.
func TestDataplaneAppliesItsCondition(t *testing.T) {
	node := addNode(t, "dataplane-3.example")
	agent := asAgent(t, "tombolo-dataplane", node.Name)
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Node","metadata":{"name":%q},"status":{"conditions":[
		{"type":%q,"status":"True","reason":"Ready","message":""}]}}`, node.Name, v1alpha1.NodeConditionDataplane)
	patch := client.RawPatch(types.ApplyPatchType, []byte(text))
	checkForbidden(t, agent.Status().Patch(t.Context(), node, patch, client.FieldOwner("test")), "")
}

// A dataplane records events about its own Node, through either group that has events.
func TestDataplaneRecordsEvents(t *testing.T) {
	mine, others := addNode(t, "dataplane-4.example"), addNode(t, "dataplane-5.example")
	agent := asAgent(t, "tombolo-dataplane", mine.Name)
	const notIts = "a dataplane records events about its own node only"
	own, foreign := nodeEvent("own", mine.Name), nodeEvent("foreign", others.Name)
	create(t, foreign)
	t.Cleanup(func() { remove(t, own) })
	ctx := t.Context()
	checkForbidden(t, agent.Create(ctx, own), "")
	again := merge(`{"series":{"count":2,"lastObservedTime":"2026-01-01T00:00:00.000000Z"}}`)
	checkForbidden(t, agent.Patch(ctx, own.DeepCopy(), again), "")
	checkForbidden(t, agent.Create(ctx, nodeEvent("another", others.Name)), notIts)
	checkForbidden(t, agent.Patch(ctx, foreign.DeepCopy(), again), notIts)
	checkForbidden(t, asAccount(t, system, "tombolo-dataplane", nil).Create(ctx, nodeEvent("another", mine.Name)), notIts)
	about := func(kind, namespace, name string) *corev1.Event {
		return &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: "core"},
			InvolvedObject: corev1.ObjectReference{Kind: kind, Name: name, Namespace: namespace},
		}
	}
	pod, node := about("Pod", system, mine.Name), about("Node", metav1.NamespaceDefault, mine.Name)
	node.InvolvedObject.Namespace = ""
	checkForbidden(t, agent.Create(ctx, pod, client.DryRunAll), notIts)
	checkForbidden(t, agent.Create(ctx, node, client.DryRunAll), "")
	steal := foreign.DeepCopy()
	core := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: steal.Namespace, Name: steal.Name}}
	checkForbidden(t, agent.Patch(ctx, core, merge(fmt.Sprintf(`{"involvedObject":{"name":%q}}`, mine.Name))), notIts)
}

func TestGatewayWritesItsOwn(t *testing.T) {
	mine, others := addNode(t, "gateway-1.example"), addNode(t, "gateway-2.example")
	agent := asAgent(t, "tombolo-gateway", mine.Name)
	const notIts = "a gateway writes its own GatewayNode only"
	gateway := func(name string) client.Object {
		return gatewayNode(func(g *v1alpha1.GatewayNode) { g.Namespace, g.Name, g.Spec.NodeName = system, name, name })
	}
	object, foreign := gateway(mine.Name), gateway(others.Name)
	create(t, foreign)
	t.Cleanup(func() { remove(t, object) })
	ctx := t.Context()
	checkForbidden(t, agent.Create(ctx, object), "")
	checkForbidden(t, agent.Create(ctx, gateway("gateway-3.example")), notIts)
	annotate := merge(`{"metadata":{"annotations":{"a":"b"}}}`)
	checkForbidden(t, agent.Patch(ctx, object, annotate), "")
	checkForbidden(t, agent.Patch(ctx, foreign, annotate), notIts)
	checkForbidden(t, agent.Patch(ctx, object, merge(`{"spec":{"nodeName":"gateway-2.example"}}`)), notIts)
	checkForbidden(t, agent.Status().Patch(ctx, object, merge(`{"status":{"conditions":[]}}`)), "")
	checkForbidden(t, agent.Status().Patch(ctx, foreign, merge(`{"status":{"conditions":[]}}`)), notIts)
	checkForbidden(t, agent.Status().Patch(ctx, object, merge(`{"status":{"lane":7}}`)), "the operator assigns its lane")
	const alive = "the operator says whether it is alive"
	condition := func(kind string) string {
		return fmt.Sprintf(`{"status":{"conditions":[{"type":%q,"status":"True","reason":"Test","message":"",`+
			`"lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`, kind)
	}
	checkForbidden(t, agent.Status().Patch(ctx, object, merge(condition(v1alpha1.ConditionDraining))), "")
	checkForbidden(t, agent.Status().Patch(ctx, object, merge(condition(v1alpha1.ConditionAlive))), alive)
	checkForbidden(t, agent.Status().Patch(ctx, object, merge(`{"status":{"lastHeartbeatTime":"2026-01-01T00:00:00Z"}}`)), alive)
	checkForbidden(t, admin.Status().Patch(ctx, object.DeepCopyObject().(client.Object), merge(condition(v1alpha1.ConditionAlive))), "")
	checkForbidden(t, agent.Status().Patch(ctx, object, merge(condition(v1alpha1.ConditionReady))), alive)
}

func TestGatewayRenewsItsLease(t *testing.T) {
	node := addNode(t, "gateway-10.example")
	agent := asAgent(t, "tombolo-gateway", node.Name)
	lease := func(name string) *coordinationv1.Lease {
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: name}}
	}
	own, leader := lease(v1alpha1.GatewayLeasePrefix+node.Name), lease("some-leader")
	create(t, leader)
	t.Cleanup(func() { remove(t, own) })
	renew := merge(`{"spec":{"holderIdentity":"gateway-10.example","renewTime":"2026-01-01T00:00:00.000000Z"}}`)
	const noOther = "may write its own Lease, gateway-gateway-10.example, and no other"
	ctx := t.Context()
	checkForbidden(t, agent.Create(ctx, own.DeepCopy()), "")
	checkForbidden(t, agent.Patch(ctx, own.DeepCopy(), renew), "")
	checkForbidden(t, agent.Create(ctx, lease(v1alpha1.GatewayLeasePrefix+"gateway-11.example")), noOther)
	checkForbidden(t, agent.Patch(ctx, leader.DeepCopy(), renew), noOther)
	checkForbidden(t, agent.Get(ctx, client.ObjectKeyFromObject(own), own.DeepCopy()), noRight)
	checkForbidden(t, agent.List(ctx, &coordinationv1.LeaseList{}, client.InNamespace(system)), noRight)
	checkForbidden(t, agent.Delete(ctx, own.DeepCopy()), noRight)
	elsewhere := own.DeepCopy()
	elsewhere.Namespace = "default"
	checkForbidden(t, agent.Create(ctx, elsewhere), noRight)
}

func TestGatewayWritesItsLinks(t *testing.T) {
	node := addNode(t, "gateway-4.example")
	agent := asAgent(t, "tombolo-gateway", node.Name)
	remote := remoteCluster(func(r *v1alpha1.RemoteCluster) { r.Name = "links" }).(*v1alpha1.RemoteCluster)
	create(t, remote)
	remote.Status.Links = []v1alpha1.GatewayLinks{{
		Gateway: "gateway-5.example",
		Links:   []v1alpha1.Link{{RemoteGateway: "west-1", State: v1alpha1.LinkUp, Since: metav1.Unix(1, 0)}},
	}}
	remote.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionReachable, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLinkUp,
		LastTransitionTime: metav1.Unix(1, 0),
	}}
	if err := admin.Status().Update(t.Context(), remote); err != nil {
		t.Fatal(err)
	}
	apply := func(gateway string) error {
		text := fmt.Sprintf(`{"apiVersion":"clusterset.tombolo.dev/v1alpha1","kind":"RemoteCluster","metadata":{"name":"links"},
			"status":{"links":[{"gateway":%q,"links":[{"remoteGateway":"west-1","state":"Down"}]}]}}`, gateway)
		object := &v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: "links"}}
		return agent.Status().Patch(t.Context(), object, client.RawPatch(types.ApplyPatchType, []byte(text)),
			client.FieldOwner(gateway), client.ForceOwnership)
	}
	const ownEntry = "may write its own entry of status.links and nothing else"
	checkForbidden(t, apply(node.Name), "")
	checkForbidden(t, apply("gateway-5.example"), ownEntry)
	checkForbidden(t, apply("gateway-6.example"), ownEntry)
	condition := `{"status":{"conditions":[]}}`
	checkForbidden(t, agent.Status().Patch(t.Context(), remote, merge(condition)), ownEntry)
	for _, field := range []string{`"linksUp":"9/9"`, `"rttMilliseconds":1`, `"lossPercent":0`} {
		checkForbidden(t, agent.Status().Patch(t.Context(), remote, merge(`{"status":{`+field+`}}`)), ownEntry)
	}
	spec := merge(`{"spec":{"cidrs":["0.0.0.0/0"]}}`)
	checkForbidden(t, agent.Patch(t.Context(), remote, spec), noRight)
}

// oldKeys makes the Secret in which an older version kept the keys of those gateways.
func oldKeys(t *testing.T, nodes ...string) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: v1alpha1.GatewayKeysSecret}, Data: map[string][]byte{}}
	for _, node := range nodes {
		secret.Data[node] = []byte("key of " + node)
	}
	create(t, secret)
	return secret
}

// A gateway takes its key out of the Secret of older versions. It writes none, and does not make the
// Secret immutable, or collected with another object.
func TestGatewayRemovesItsKey(t *testing.T) {
	node := addNode(t, "gateway-7.example")
	agent := asAgent(t, "tombolo-gateway", node.Name)
	secret := oldKeys(t, node.Name, "gateway-8.example")
	patch := func(text string) error { return agent.Patch(t.Context(), secret.DeepCopy(), merge(text)) }
	put := func(name, value string) error {
		return patch(fmt.Sprintf(`{"data":{%q:%q}}`, name, base64.StdEncoding.EncodeToString([]byte(value))))
	}
	const (
		noOther = "may remove the key of that name and write none"
		nothing = "and do nothing else"
	)
	checkForbidden(t, put(node.Name, "b"), noOther)
	checkForbidden(t, put("gateway-8.example", "d"), noOther)
	checkForbidden(t, put("gateway-9.example", "d"), noOther)
	checkForbidden(t, patch(`{"data":{"gateway-8.example":null}}`), noOther)
	checkForbidden(t, patch(`{"immutable":true}`), nothing)
	checkForbidden(t, patch(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"y"}]}}`), nothing)
	checkForbidden(t, patch(`{"metadata":{"finalizers":["example.com/a"]}}`), nothing)
	checkForbidden(t, patch(`{"metadata":{"annotations":{"a":"b"}}}`), nothing)
	own := fmt.Sprintf(`{"metadata":{"annotations":{%q:"true"}},"data":{%q:null}}`, v1alpha1.AnnotationKeysMoved, node.Name)
	checkForbidden(t, patch(own), "")
	checkForbidden(t, agent.Delete(t.Context(), secret.DeepCopy()), noRight)
	checkForbidden(t, agent.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "x"}}), noRight)
	checkForbidden(t, agent.List(t.Context(), &corev1.SecretList{}, client.InNamespace(system)), noRight)
}

// To apply the manifests again changes nothing. kubectl sends the selector of a PodDisruptionBudget
// each time, and says "configured"; the API server writes nothing.
func TestApplyAgain(t *testing.T) {
	budget := func() string {
		object := &policyv1.PodDisruptionBudget{}
		if err := admin.Get(t.Context(), types.NamespacedName{Namespace: system, Name: "tombolo-operator"}, object); err != nil {
			t.Fatal(err)
		}
		return object.ResourceVersion
	}
	before := budget()
	for _, folder := range []string{"hub", "default"} {
		output, err := apply(folder)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(output) {
			if !strings.HasSuffix(line, " unchanged\n") && line != "poddisruptionbudget.policy/tombolo-operator configured\n" {
				t.Errorf("applying %s again: %s", folder, line)
			}
		}
	}
	if after := budget(); after != before {
		t.Errorf("applying again wrote the PodDisruptionBudget: resource version %s, before %s", after, before)
	}
}
