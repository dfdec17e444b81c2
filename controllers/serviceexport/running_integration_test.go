//go:build integration

package serviceexport_test

import (
	"fmt"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
	"github.com/tombolo-net/tombolo/test/harness/running"
)

// runningHub is the hub's namespace of the test with an operator that runs.
const runningHub = "running-hub"

// onHub lists what the hub holds of a Service: how many ExportedServices, and the slices.
func onHub(t *testing.T, c *members.Cluster, namespace string) (int, []discoveryv1.EndpointSlice) {
	t.Helper()
	exports, slices := &v1alpha1.ExportedServiceList{}, &discoveryv1.EndpointSliceList{}
	if err := c.List(t.Context(), exports, client.InNamespace(runningHub)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range exports.Items {
		if exports.Items[i].Spec.Namespace == namespace {
			n++
		}
	}
	if err := c.List(t.Context(), slices, client.InNamespace(runningHub), client.MatchingLabels{v1alpha1.LabelNamespace: namespace}); err != nil {
		t.Fatal(err)
	}
	return n, slices.Items
}

func eventuallyOnHub(t *testing.T, c *members.Cluster, namespace string, exports, endpoints int) {
	t.Helper()
	members.Eventually(t, func() error {
		n, slices := onHub(t, c, namespace)
		ready := 0
		for _, s := range slices {
			for _, e := range s.Endpoints {
				if *e.Conditions.Ready {
					ready++
				}
			}
		}
		if n != exports || ready != endpoints || (exports == 0 && len(slices) > 0) {
			return fmt.Errorf("the hub holds %d exports, %d slices and %d ready endpoints of %s, want %d exports and %d endpoints",
				n, len(slices), ready, namespace, exports, endpoints)
		}
		return nil
	})
}

// What was exported before the operator went, and is no longer, is withdrawn when it is back; what
// somebody changes on the hub is put right at once.
func TestLeftoversAndDrift(t *testing.T) {
	c := clusters[members.HubName]
	c.MakeHub(t, runningHub)
	access := c.Approve(t, runningHub, "east", v1alpha1.MemberSpec{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16"}})
	gate := members.NewGate(t, c)
	for _, namespace := range []string{"left", "lone", "kept"} {
		c.MakeNamespace(t, namespace, nil)
	}
	export := mcs.ExportedServiceFor("east", runningHub, members.Service("left", "web"), members.Export("left", "web"))
	export.Spec.ExportedAt.Time = time.Now()
	c.Make(t, export)
	for _, namespace := range []string{"left", "lone"} { // of lone, only a slice is left
		s := members.Slice(runningHub, clusterset.HubSliceName("east", namespace, "web", 5), "", "10.1.0.1")
		s.Labels = map[string]string{
			v1alpha1.LabelNamespace: namespace, v1alpha1.LabelServiceName: "web", v1alpha1.LabelSourceCluster: "east",
			discoveryv1.LabelManagedBy: v1alpha1.ManagedBy,
		}
		c.Make(t, s)
	}
	c.Make(t, members.Service("kept", "web"))
	local := members.Slice("kept", "web-1", "web", "10.1.0.1", "10.1.0.2")
	c.Make(t, local)
	c.Make(t, members.Export("kept", "web"))
	c.JoinAt(t, "east", gate.URL(), gate.Access(access))
	running.Operator(t, c)
	eventuallyOnHub(t, c, "kept", 1, 2)
	eventuallyOnHub(t, c, "left", 0, 0)
	eventuallyOnHub(t, c, "lone", 0, 0)
	for ready := range 2 { // no controller writes more for it
		gate.Reset()
		members.Update(t, c, local, func() { local.Endpoints[0].Conditions.Ready = ptr.To(ready == 1) })
		eventuallyOnHub(t, c, "kept", 1, 1+ready)
		if writes := gate.Writes(); len(writes) != 1 {
			t.Errorf("writes for one change of readiness: %v", writes)
		}
	}

	drift(t, c, "edited", func(s *discoveryv1.EndpointSlice) error {
		members.Update(t, c, s, func() { s.Endpoints = s.Endpoints[:1] })
		return nil
	})
	drift(t, c, "relabelled", func(s *discoveryv1.EndpointSlice) error {
		members.Update(t, c, s, func() { s.Labels[v1alpha1.LabelNamespace] = "elsewhere" })
		return nil
	})
	drift(t, c, "deleted", func(s *discoveryv1.EndpointSlice) error { return c.Delete(t.Context(), s) })
	drift(t, c, "without its export", func(*discoveryv1.EndpointSlice) error {
		return c.DeleteAllOf(t.Context(), &v1alpha1.ExportedService{}, client.InNamespace(runningHub))
	})

	// The operator was out of the clusterset for a while: what the hub has of it meanwhile is no
	// news to it.
	member := &v1alpha1.Member{ObjectMeta: members.Meta(runningHub, "east")}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(member), member); err != nil {
		t.Fatal(err)
	}
	remove(t, c, member)
	members.Eventually(t, func() error {
		set := &v1alpha1.ClusterSet{}
		if err := c.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
			return err
		}
		for _, condition := range set.Status.Conditions {
			if condition.Reason == v1alpha1.ReasonNotAMember {
				return nil
			}
		}
		return fmt.Errorf("conditions %+v, want NotAMember", set.Status.Conditions)
	})
	remove(t, c, members.Export("kept", "web"))
	c.Make(t, &v1alpha1.Member{ObjectMeta: members.Meta(runningHub, "east"), Spec: member.Spec})
	eventuallyOnHub(t, c, "kept", 0, 0)
}

// drift changes the slice of kept on the hub, and waits until it is as it was.
func drift(t *testing.T, c *members.Cluster, how string, change func(*discoveryv1.EndpointSlice) error) {
	t.Helper()
	_, slices := onHub(t, c, "kept")
	if len(slices) != 1 {
		t.Fatalf("the hub holds %d slices, want 1", len(slices))
	}
	if err := change(&slices[0]); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	eventuallyOnHub(t, c, "kept", 1, 2)
	t.Logf("%s: put right after %v", how, time.Since(started))
}
