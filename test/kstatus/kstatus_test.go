//go:build integration

// Package kstatus tests what the tools of GitOps make of tombolo's objects: Flux, Argo CD and others
// wait for the states that the kstatus library computes. The objects are as the operator writes them.
package kstatus

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/members"
	"github.com/tombolo-net/tombolo/test/harness/running"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters, "east")) }

const namespace = "shop"

// read returns the object as the API server has it.
func read(t *testing.T, c *members.Cluster, of client.Object) *unstructured.Unstructured {
	t.Helper()
	gvk, err := apiutil.GVKForObject(of, c.Scheme())
	if err != nil {
		t.Fatal(err)
	}
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(gvk)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(of), o); err != nil {
		t.Fatal(err)
	}
	return o
}

// wait waits until kstatus says so of the object, and names that reason if one is wanted.
func wait(t *testing.T, c *members.Cluster, of client.Object, want status.Status, reason string) {
	t.Helper()
	members.Eventually(t, func() error {
		o := read(t, c, of)
		result, err := status.Compute(o)
		if err != nil {
			return err
		}
		told := fmt.Sprint(result.Conditions)
		if result.Status != want || !strings.Contains(told, reason) {
			return fmt.Errorf("%s %s is %s: %s %s\nwant %s with %q\nits status is %v",
				o.GetKind(), o.GetName(), result.Status, result.Message, told, want, reason, o.Object["status"])
		}
		if health := argoHealth(t, o); health != healths[want] {
			return fmt.Errorf("Argo CD's health of %s %s is %s, want %s", o.GetKind(), o.GetName(), health, healths[want])
		}
		return nil
	})
}

func policy(name string) *v1alpha1.TrafficPolicy {
	return &v1alpha1.TrafficPolicy{
		ObjectMeta: members.Meta(namespace, name),
		Spec:       v1alpha1.TrafficPolicySpec{TargetRef: v1alpha1.TrafficPolicyTarget{Name: "web"}},
	}
}

func exportPolicy(name string) *v1alpha1.ExportPolicy {
	return &v1alpha1.ExportPolicy{
		ObjectMeta: members.Meta(namespace, name),
		Spec: v1alpha1.ExportPolicySpec{
			TargetRef: v1alpha1.ExportPolicyTarget{Name: "web"}, ExportAudience: v1alpha1.ExportAudience{Clusters: []v1alpha1.ClusterID{"west"}},
		},
	}
}

// gatewayNode is what the gateway of a node writes first.
func gatewayNode(node string) *v1alpha1.GatewayNode {
	return &v1alpha1.GatewayNode{
		ObjectMeta: members.Meta(v1alpha1.DefaultNamespace, node),
		Spec: v1alpha1.GatewayNodeSpec{
			NodeName: node, PublicKey: strings.Repeat("A", 43) + "=", Endpoints: []v1alpha1.Endpoint{{Address: "192.0.2.1", Port: 51820}},
		},
	}
}

// user is what a user of GitOps keeps in a repository, and the object itself without what only the
// API server and the status say.
func user(o *unstructured.Unstructured) map[string]any {
	o = o.DeepCopy()
	o.SetManagedFields(nil)
	o.SetResourceVersion("")
	delete(o.Object, "status")
	return o.Object
}

func TestStates(t *testing.T) {
	east, hub := clusters["east"], clusters[members.HubName]
	east.Dump(t)
	access := hub.Approve(t, v1alpha1.DefaultHubNamespace, "east", v1alpha1.MemberSpec{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16"}})
	east.MakeNamespace(t, namespace, nil)

	// Nobody has looked at them yet.
	east.Join(t, "east", hub, access)
	set := &v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName}}
	first, second := policy("first"), policy("second")
	limit, another := exportPolicy("limit"), exportPolicy("limit-too")
	east.Make(t, first)
	east.Make(t, limit)
	wait(t, east, set, status.InProgressStatus, "LatestGenerationNotObserved")
	wait(t, east, first, status.InProgressStatus, "LatestGenerationNotObserved")
	wait(t, east, limit, status.InProgressStatus, "LatestGenerationNotObserved")
	export := members.Export(namespace, "web")
	east.Make(t, export)
	wait(t, east, export, status.InProgressStatus, v1alpha1.ReasonPending)
	early := gatewayNode("early")
	east.Make(t, early)
	wait(t, east, early, status.InProgressStatus, v1alpha1.ReasonPending)
	applied := map[client.Object]map[string]any{set: user(read(t, east, set)), first: user(read(t, east, first)), export: user(read(t, east, export)),
		limit: user(read(t, east, limit))}

	running.Operator(t, east)
	wait(t, east, set, status.CurrentStatus, "")
	wait(t, east, first, status.InProgressStatus, v1alpha1.ReasonTargetNotFound)

	wait(t, east, export, status.InProgressStatus, "see the condition Valid")
	east.Make(t, members.Service(namespace, "web"))
	east.Make(t, members.Slice(namespace, "web-1", "web", "10.1.0.1"))
	wait(t, east, export, status.CurrentStatus, "")
	imported := &mcsv1beta1.ServiceImport{ObjectMeta: members.Meta(namespace, "web")}
	members.Eventually(t, func() error { return east.Get(t.Context(), client.ObjectKeyFromObject(imported), imported) })
	wait(t, east, imported, status.CurrentStatus, "")
	wait(t, east, first, status.CurrentStatus, "")
	east.Make(t, second)
	applied[second] = user(read(t, east, second))
	wait(t, east, second, status.FailedStatus, v1alpha1.ReasonConflicted)
	wait(t, east, limit, status.CurrentStatus, "")
	east.Make(t, another)
	wait(t, east, another, status.FailedStatus, v1alpha1.ReasonConflicted)

	for o, want := range applied {
		if diff := cmp.Diff(want, user(read(t, east, o))); diff != "" {
			t.Errorf("%T %s has drifted (-applied +now):\n%s", o, o.GetName(), diff)
		}
	}
	testBroken(t, east, hub, set)
	testRemote(t, east, hub)
}

// testBroken breaks the ClusterSet and mends it: a hub that is not the clusterset's may become it, an
// overlap does not end by itself.
func testBroken(t *testing.T, east, hub *members.Cluster, set *v1alpha1.ClusterSet) {
	t.Helper()
	hub.LabelHub(t, "")
	wait(t, east, set, status.InProgressStatus, v1alpha1.ReasonNotAuthoritative)
	hub.LabelHub(t, members.SetID)
	wait(t, east, set, status.CurrentStatus, "")
	members.Update(t, east, set, func() { set.Spec.VIPCIDRs = []v1alpha1.CIDR{"10.1.0.0/20"} })
	wait(t, east, set, status.FailedStatus, v1alpha1.ReasonCIDROverlap)
	members.Update(t, east, set, func() { set.Spec.VIPCIDRs = []v1alpha1.CIDR{"244.0.0.0/16"} })
	wait(t, east, set, status.CurrentStatus, "")
	members.Update(t, east, set, func() { set.Spec.DNS = v1alpha1.DNSManaged })
	wait(t, east, set, status.InProgressStatus, v1alpha1.ReasonCoreDNSNotFound)
	members.Update(t, east, set, func() { set.Spec.DNS = v1alpha1.DNSManual })
	wait(t, east, set, status.CurrentStatus, "")
}

// testRemote looks at what the operator makes of other members, and at kinds that say nothing.
func testRemote(t *testing.T, east, hub *members.Cluster) {
	t.Helper()
	wait(t, hub, hub.Member(t, "west", 2, "10.2.0.0/16"), status.CurrentStatus, "")
	west := &v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: "west"}}
	members.Eventually(t, func() error { return east.Get(t.Context(), client.ObjectKeyFromObject(west), west) })
	wait(t, east, west, status.InProgressStatus, v1alpha1.ReasonNoGateways)

	east.Make(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1", Labels: map[string]string{v1alpha1.LabelGateway: "true"}}})
	gateway := gatewayNode("node-1")
	east.Make(t, gateway)
	members.UpdateStatus(t, east, west, func() {
		west.Status.Links = []v1alpha1.GatewayLinks{{Gateway: "node-1", Links: []v1alpha1.Link{
			{RemoteGateway: "west-1", State: v1alpha1.LinkUp, Since: metav1.Unix(1, 0)},
		}}}
	})
	wait(t, east, west, status.CurrentStatus, "")

	hub.Member(t, "north", 3, "10.1.0.0/16")
	north := &v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: "north"}}
	members.Eventually(t, func() error { return east.Get(t.Context(), client.ObjectKeyFromObject(north), north) })
	wait(t, east, north, status.FailedStatus, v1alpha1.ReasonCIDROverlap)

	list := &v1alpha1.ExportedServiceList{}
	if err := hub.List(t.Context(), list, client.InNamespace(v1alpha1.DefaultHubNamespace)); err != nil || len(list.Items) != 1 {
		t.Fatalf("the hub has %d ExportedServices, want 1; error %v", len(list.Items), err)
	}
	wait(t, hub, &list.Items[0], status.CurrentStatus, "")
}
