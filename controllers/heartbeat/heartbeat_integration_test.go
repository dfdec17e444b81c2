//go:build integration

package heartbeat_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/heartbeat"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

func lease(t *testing.T, e *members.Env) *coordinationv1.Lease {
	t.Helper()
	found := &coordinationv1.Lease{}
	key := client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: clusterset.LeaseName(members.Own)}
	if err := e.Hub.Get(t.Context(), key, found); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestHeartbeat(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	e.MakeNamespace(t, "shop", nil)
	now := time.Now()
	r := &heartbeat.Reconciler{Client: e.Own.GetClient(), Hub: e.Conn, Namespace: v1alpha1.DefaultNamespace, Now: func() time.Time { return now }}
	wait := e.Step(t, r, "", "").RequeueAfter
	first := lease(t, e)
	if wait <= 0 || !clusterset.HeartbeatConfirms(first.Annotations, nil) {
		t.Fatalf("renewed again after %v, says %v", wait, first.Annotations)
	}
	e.Step(t, r, "", "")
	if again := lease(t, e); again.ResourceVersion != first.ResourceVersion {
		t.Error("renewed before it was time")
	}

	e.Make(t, members.Service("shop", "web"))
	serviceExport := members.Export("shop", "web")
	e.Make(t, serviceExport)
	name := clusterset.HubName(members.Own, "shop", "web")
	if wait := e.Step(t, r, "", "").RequeueAfter; wait <= 0 || wait > time.Second {
		t.Errorf("an addition right after a renewal waits for %v", wait)
	}
	now = now.Add(time.Second)
	e.Step(t, r, "", "")
	if got := lease(t, e); !clusterset.HeartbeatConfirms(got.Annotations, []string{name}) {
		t.Errorf("says %v before the export is on the hub: a loss of it would be confirmed", got.Annotations)
	}

	export, _ := e.Hub.Publish(t, members.Own, "shop", "web")
	now = now.Add(wait)
	e.Step(t, r, "", "")
	wantConfirmed(t, e, name)
	if err := e.Hub.Delete(t.Context(), export); err != nil { // the hub lost it
		t.Fatal(err)
	}
	now = now.Add(wait)
	e.Step(t, r, "", "")
	if got := lease(t, e); !clusterset.HeartbeatConfirms(got.Annotations, []string{name}) {
		t.Errorf("confirms the hub's loss: %v", got.Annotations)
	}

	if err := e.Delete(t.Context(), serviceExport); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "", "") // at once, no time has passed
	if got := lease(t, e); !clusterset.HeartbeatConfirms(got.Annotations, nil) {
		t.Errorf("says %v after the unexport", got.Annotations)
	}
}

// wantConfirmed waits until the heartbeat confirms what the hub shows. It confirms nothing to somebody
// who looked before the export of that name arrived: to him it would have ended.
func wantConfirmed(t *testing.T, e *members.Env, name string) {
	t.Helper()
	members.Eventually(t, func() error {
		view, err := e.Conn.View()
		if err != nil {
			return err
		}
		if confirmed, err := view.Confirms(t.Context(), members.Own); err != nil || !confirmed {
			return fmt.Errorf("confirmed %t: %w", confirmed, err)
		}
		if confirmed, err := view.Confirms(t.Context(), members.Own, name); err != nil || confirmed {
			t.Errorf("the end of an export that is on the hub is confirmed (%v)", err)
		}
		return nil
	})
}

// What may not be exported, or is refused by the hub, is not meant: the Lease fits what there is.
func TestHeartbeatLeavesOutWhatIsRefused(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	e.MakeNamespace(t, "allowed", map[string]string{"shared": "yes"})
	e.MakeNamespace(t, "denied", nil)
	now := time.Now()
	r := &heartbeat.Reconciler{Client: e.Own.GetClient(), Hub: e.Conn, Namespace: v1alpha1.DefaultNamespace, Now: func() time.Time { return now }}
	wants := func(selector *metav1.LabelSelector, names ...string) {
		t.Helper()
		set := &v1alpha1.ClusterSet{}
		if err := e.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
			t.Fatal(err)
		}
		set.Spec.ExportNamespaces = selector
		if err := e.Update(t.Context(), set); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
		e.Step(t, r, "", "")
		if got := lease(t, e); !clusterset.HeartbeatConfirms(got.Annotations, names) {
			t.Errorf("says %v, want %v", got.Annotations, names)
		}
	}
	for _, namespace := range []string{"allowed", "denied"} {
		e.Make(t, members.Service(namespace, "web"))
		e.Make(t, members.Export(namespace, "web"))
	}
	one, other := clusterset.HubName(members.Own, "allowed", "web"), clusterset.HubName(members.Own, "denied", "web")
	wants(nil, one, other)
	wants(&metav1.LabelSelector{MatchLabels: map[string]string{"shared": "yes"}}, one)
	wants(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}, one, other)

	refused := members.Export("denied", "web")
	if err := e.Get(t.Context(), client.ObjectKeyFromObject(refused), refused); err != nil {
		t.Fatal(err)
	}
	refused.Status.Conditions = []metav1.Condition{{
		Type: "Ready", Status: metav1.ConditionFalse, Reason: "Failed", Message: "refused", LastTransitionTime: metav1.Now(),
	}}
	if err := e.Status().Update(t.Context(), refused); err != nil {
		t.Fatal(err)
	}
	wants(nil, one)
}
