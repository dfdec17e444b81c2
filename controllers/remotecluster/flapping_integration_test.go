//go:build integration

package remotecluster_test

import (
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// A GatewayNode that changes all the time does not make every gateway and node of this cluster look at
// its tunnels each time. Other clusters' RemoteClusters do not change. What the admin changes does not
// wait, and the last state arrives.
func TestFlappingGateway(t *testing.T) {
	e, r := newEnv(t)
	west := e.Hub.Member(t, "west", 2, "10.2.0.0/16")
	e.Hub.Member(t, "north", 3, "10.3.0.0/16")
	gateway(t, e, "west", "flap", 0, "245.0.32.1")
	gateway(t, e, "north", "steady", 0, "245.0.48.1")
	e.Step(t, r, "", "west")
	e.Step(t, r, "", "north")
	steady := get(t, e, "north")

	node := &v1alpha1.GatewayNode{ObjectMeta: members.Meta(v1alpha1.DefaultHubNamespace, clusterset.HubName("west", "tombolo-system", "flap"))}
	const flaps = 60
	start, written := time.Now(), get(t, e, "west").Generation
	var later time.Duration
	for i := range flaps {
		if err := e.Hub.Get(t.Context(), client.ObjectKeyFromObject(node), node); err != nil {
			t.Fatal(err)
		}
		node.Spec.Endpoints[0].Port = v1alpha1.Port(50_000 + i)
		if err := e.Hub.Update(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		later = e.Step(t, r, "", "west").RequeueAfter
		e.Step(t, r, "", "north")
	}
	writes := get(t, e, "west").Generation - written
	t.Logf("%d flaps in %v made %d writes", flaps, time.Since(start).Round(time.Millisecond), writes)
	if most := 20 + int64(time.Since(start)/(3*time.Second)) + 1; writes > most {
		t.Errorf("%d flaps made %d writes, want %d at most", flaps, writes, most)
	}
	if got := get(t, e, "north"); got.ResourceVersion != steady.ResourceVersion {
		t.Errorf("another cluster's RemoteCluster was written: %+v", got)
	}

	if err := e.Hub.Get(t.Context(), client.ObjectKeyFromObject(west), west); err != nil {
		t.Fatal(err)
	}
	west.Spec.CIDRs = append(west.Spec.CIDRs, "10.4.0.0/16")
	if err := e.Hub.Update(t.Context(), west); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "", "west")
	if got := get(t, e, "west"); len(got.Spec.CIDRs) != 2 {
		t.Errorf("the admin's change waits: %+v", got.Spec)
	}
	if later <= 0 || later > 3*time.Second {
		t.Fatalf("it is looked at again after %v", later)
	}
	time.Sleep(later)
	e.Step(t, r, "", "west")
	if got := get(t, e, "west"); got.Spec.Gateways[0].Endpoints[0].Port != v1alpha1.Port(50_000+flaps-1) {
		t.Errorf("the last state has not arrived: %+v", got.Spec.Gateways)
	}
}
