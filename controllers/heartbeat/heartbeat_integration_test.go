//go:build integration

package heartbeat_test

import (
	"os"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/heartbeat"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/testcluster"
)

var clusters = testcluster.Clusters{}

func TestMain(m *testing.M) { os.Exit(testcluster.Main(m, clusters)) }

func lease(t *testing.T, e *testcluster.Env) *coordinationv1.Lease {
	t.Helper()
	found := &coordinationv1.Lease{}
	key := client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: v1alpha1.LeaseName(testcluster.Own)}
	if err := e.Hub.Get(t.Context(), key, found); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestHeartbeat(t *testing.T) {
	c := clusters[testcluster.HubName]
	e := testcluster.NewEnv(t, c, c, nil)
	e.MakeNamespace(t, "shop", nil)
	now := time.Now()
	r := &heartbeat.Reconciler{Client: e.Own.GetClient(), Hub: e.Conn, Namespace: v1alpha1.DefaultNamespace, Now: func() time.Time { return now }}
	wait := e.Step(t, r, "", "").RequeueAfter
	first := lease(t, e)
	if wait <= 0 || !mcs.HeartbeatConfirms(first.Annotations, nil) {
		t.Fatalf("renewed again after %v, says %v", wait, first.Annotations)
	}
	e.Step(t, r, "", "")
	if again := lease(t, e); again.ResourceVersion != first.ResourceVersion {
		t.Error("renewed before it was time")
	}

	e.Make(t, testcluster.Service("shop", "web"))
	serviceExport := testcluster.Export("shop", "web")
	e.Make(t, serviceExport)
	name := v1alpha1.HubName(testcluster.Own, "shop", "web")
	if wait := e.Step(t, r, "", "").RequeueAfter; wait <= 0 || wait > time.Second {
		t.Errorf("an addition right after a renewal waits for %v", wait)
	}
	now = now.Add(time.Second)
	e.Step(t, r, "", "")
	if got := lease(t, e); !mcs.HeartbeatConfirms(got.Annotations, []string{name}) {
		t.Errorf("says %v before the export is on the hub: a loss of it would be confirmed", got.Annotations)
	}

	export, _ := e.Hub.Publish(t, testcluster.Own, "shop", "web")
	e.Step(t, r, "", "")
	if err := e.Hub.Delete(t.Context(), export); err != nil { // the hub lost it
		t.Fatal(err)
	}
	now = now.Add(wait)
	e.Step(t, r, "", "")
	if got := lease(t, e); !mcs.HeartbeatConfirms(got.Annotations, []string{name}) {
		t.Errorf("confirms the hub's loss: %v", got.Annotations)
	}

	if err := e.Delete(t.Context(), serviceExport); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "", "") // at once, no time has passed
	if got := lease(t, e); !mcs.HeartbeatConfirms(got.Annotations, nil) {
		t.Errorf("says %v after the unexport", got.Annotations)
	}
}
