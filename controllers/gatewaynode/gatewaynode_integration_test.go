//go:build integration

package gatewaynode_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/gatewaynode"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

func makeGateway(t *testing.T, e *members.Env, name string) *v1alpha1.GatewayNode {
	t.Helper()
	g := &v1alpha1.GatewayNode{
		ObjectMeta: members.Meta(v1alpha1.DefaultNamespace, name),
		Spec: v1alpha1.GatewayNodeSpec{
			NodeName:  name,
			PublicKey: strings.Repeat("A", 43) + "=",
			Endpoints: []v1alpha1.Endpoint{{Address: "192.0.2.1", Port: 51820}},

			UnderlayAddresses: []v1alpha1.IPAddress{"10.99.0.1"},
		},
	}
	e.Make(t, g)
	setReady(t, e, g, v1alpha1.ReasonReady)
	return g
}

// setReady writes the condition Ready, and waits until the cache has it.
func setReady(t *testing.T, e *members.Env, g *v1alpha1.GatewayNode, reason string) {
	t.Helper()
	if err := e.Get(t.Context(), client.ObjectKeyFromObject(g), g); err != nil {
		t.Fatal(err)
	}
	meta.SetStatusCondition(&g.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: reason})
	if err := e.Status().Update(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	members.Eventually(t, func() error {
		cached := &v1alpha1.GatewayNode{}
		if err := e.Own.GetClient().Get(t.Context(), client.ObjectKeyFromObject(g), cached); err != nil {
			return err
		}
		if cached.ResourceVersion != g.ResourceVersion {
			return fmt.Errorf("the cache has version %s of %s, want %s", cached.ResourceVersion, g.Name, g.ResourceVersion)
		}
		return nil
	})
}

// Others learn of a gateway when it has its ports. What they know already stays.
func TestNothingIsPublishedWithoutItsPort(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	r := &gatewaynode.Reconciler{Client: e.Own.GetClient(), Direct: e.Own.GetAPIReader(), Hub: e.Conn, Namespace: v1alpha1.DefaultNamespace}
	g := makeGateway(t, e, "only")
	for _, reason := range []string{v1alpha1.ReasonPending, v1alpha1.ReasonPortInUse} {
		setReady(t, e, g, reason)
		e.Step(t, r, v1alpha1.DefaultNamespace, "only")
		if got := copyOf(t, e, "only"); got != nil {
			t.Errorf("published with %s: %+v", reason, got)
		}
	}
	setReady(t, e, g, v1alpha1.ReasonReady)
	e.Step(t, r, v1alpha1.DefaultNamespace, "only")
	if got := copyOf(t, e, "only"); got == nil || got.Status.Lane == nil {
		t.Fatalf("the copy is %+v", got)
	}
	setReady(t, e, g, v1alpha1.ReasonPortInUse)
	e.Step(t, r, v1alpha1.DefaultNamespace, "only")
	if copyOf(t, e, "only") == nil {
		t.Error("withdrawn, though what is published still works")
	}
}

// copyOf returns the copy on the hub, nil if there is none.
func copyOf(t *testing.T, e *members.Env, name string) *v1alpha1.GatewayNode {
	t.Helper()
	found := &v1alpha1.GatewayNode{}
	key := client.ObjectKey{
		Namespace: v1alpha1.DefaultHubNamespace,
		Name:      clusterset.HubName(members.Own, v1alpha1.DefaultNamespace, name),
	}
	if err := e.Hub.Get(t.Context(), key, found); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		t.Fatal(err)
	}
	return found
}

// The hub learns nothing that no other cluster needs, such as addresses of the node's own network.
func TestCopyHoldsWhatOthersNeed(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	r := &gatewaynode.Reconciler{Client: e.Own.GetClient(), Direct: e.Own.GetAPIReader(), Hub: e.Conn, Namespace: v1alpha1.DefaultNamespace}
	makeGateway(t, e, "quiet")
	e.Step(t, r, v1alpha1.DefaultNamespace, "quiet")
	got := copyOf(t, e, "quiet")
	if got == nil || len(got.Spec.Endpoints) != 1 || len(got.Spec.UnderlayAddresses) != 0 || len(got.Status.Conditions) > 1 {
		t.Errorf("the copy is %+v", got)
	}
}

func TestLanesAndCopies(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	r := &gatewaynode.Reconciler{Client: e.Own.GetClient(), Direct: e.Own.GetAPIReader(), Hub: e.Conn, Namespace: v1alpha1.DefaultNamespace}
	first, second := makeGateway(t, e, "first"), makeGateway(t, e, "second")
	for want, name := range []string{"first", "second"} {
		e.Step(t, r, v1alpha1.DefaultNamespace, name)
		got := copyOf(t, e, name)
		if got == nil || got.Status.Lane == nil || *got.Status.Lane != v1alpha1.Lane(want) || got.Spec.NodeName != name {
			t.Fatalf("the copy of %s is %+v, want lane %d", name, got, want)
		}
	}
	before := copyOf(t, e, "second")
	e.Step(t, r, v1alpha1.DefaultNamespace, "second")
	if after := copyOf(t, e, "second"); after.ResourceVersion != before.ResourceVersion {
		t.Error("written though nothing changed")
	}

	if err := e.Get(t.Context(), client.ObjectKeyFromObject(second), second); err != nil {
		t.Fatal(err)
	}
	second.Spec.Endpoints[0].Address = "192.0.2.2"
	if err := e.Update(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, v1alpha1.DefaultNamespace, "second")
	if got := copyOf(t, e, "second"); got.Spec.Endpoints[0].Address != "192.0.2.2" || *got.Status.Lane != 1 {
		t.Errorf("the copy is %+v", got)
	}

	if err := e.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, v1alpha1.DefaultNamespace, "first")
	if got := copyOf(t, e, "first"); got != nil {
		t.Errorf("the copy of a deleted gateway is still there: %+v", got)
	}
	makeGateway(t, e, "third")
	e.Step(t, r, v1alpha1.DefaultNamespace, "third")
	if got := copyOf(t, e, "third"); *got.Status.Lane != 0 {
		t.Errorf("the new gateway has lane %d, want the free one, 0", *got.Status.Lane)
	}
}

// A member that was taken off and installed again in another namespace has left copies with keys
// that no gateway has any more. They go, whether or not the node is still a gateway.
func TestCopiesOfAnotherNamespace(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	r := &gatewaynode.Reconciler{Client: e.Own.GetClient(), Direct: e.Own.GetAPIReader(), Hub: e.Conn, Namespace: v1alpha1.DefaultNamespace}
	makeGateway(t, e, "still")
	for _, name := range []string{"still", "former"} {
		old := &v1alpha1.GatewayNode{
			ObjectMeta: members.Meta(v1alpha1.DefaultHubNamespace, clusterset.HubName(members.Own, "elsewhere", name)),
			Spec:       v1alpha1.GatewayNodeSpec{NodeName: name, PublicKey: strings.Repeat("B", 43) + "=", Endpoints: []v1alpha1.Endpoint{{Address: "192.0.2.1", Port: 51820}}},
		}
		old.Labels = map[string]string{v1alpha1.LabelSourceCluster: string(members.Own)}
		if err := e.Hub.Create(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		members.Eventually(t, func() error {
			e.Step(t, r, v1alpha1.DefaultNamespace, name)
			if err := e.Hub.Get(t.Context(), client.ObjectKeyFromObject(old), old); !apierrors.IsNotFound(err) {
				return fmt.Errorf("%s is there (error %v)", old.Name, err)
			}
			return nil
		})
	}
	if copyOf(t, e, "still") == nil {
		t.Error("the gateway's own copy is missing")
	}
	if got := copyOf(t, e, "former"); got != nil {
		t.Errorf("published without a gateway: %+v", got)
	}
}
