//go:build integration

package serviceexport_test

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/members"
	"github.com/tombolo-net/tombolo/test/harness/running"
)

// TestAddressChangesHands: an operator that runs follows pods, nodes and Services that get or lose the
// address of a hand-written slice, and what the admin allows. Nobody touches the Service meanwhile.
func TestAddressChangesHands(t *testing.T) {
	const hub, namespace = "hands-hub", "hands"
	c := clusters[members.HubName]
	c.MakeHub(t, hub)
	access := c.Approve(t, hub, "east", v1alpha1.MemberSpec{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16"}})
	gate := members.NewGate(t, c)
	c.MakeNamespace(t, namespace, nil)
	c.MakeNamespace(t, "hands-of-others", nil)
	c.JoinAt(t, "east", gate.URL(), gate.Access(access))
	running.Operator(t, c)
	const podAddress, vmAddress = "10.1.34.1", "10.1.234.1"
	c.Make(t, withoutSelector(namespace, "web"))
	c.Make(t, byHand(namespace, "web", "", podAddress, vmAddress))
	c.Make(t, members.Export(namespace, "web"))
	eventually := func(when string, want ...string) {
		t.Helper()
		slices.Sort(want)
		members.Eventually(t, func() error {
			exports, found := &v1alpha1.ExportedServiceList{}, &discoveryv1.EndpointSliceList{}
			if err := c.List(t.Context(), exports, client.InNamespace(hub)); err != nil {
				return err
			}
			if err := c.List(t.Context(), found, client.InNamespace(hub)); err != nil {
				return err
			}
			got := []string{}
			for _, s := range found.Items {
				for _, e := range s.Endpoints {
					got = append(got, e.Addresses...)
				}
			}
			if slices.Sort(got); len(exports.Items) != 1 || !slices.Equal(got, append([]string{}, want...)) {
				return fmt.Errorf("%s: the hub holds %d exports and the endpoints %v, want %v", when, len(exports.Items), got, want)
			}
			return nil
		})
	}
	end := func(o client.Object) {
		t.Helper()
		if err := c.Delete(t.Context(), o, client.GracePeriodSeconds(0)); err != nil {
			t.Fatal(err)
		}
	}
	eventually("exported")
	own := pod(t, c, namespace, "own", nil, podAddress)
	eventually("the pod comes", podAddress)
	other := pod(t, c, "hands-of-others", "other", nil, podAddress)
	eventually("another namespace's pod has the address, too")
	end(other)
	eventually("it goes", podAddress)
	members.UpdateStatus(t, c, own, func() { own.Status.Phase = corev1.PodSucceeded })
	eventually("the pod ends")
	set := &v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName}}
	members.Update(t, c, set, func() {
		set.Spec.ExternalEndpoints = &v1alpha1.ExternalEndpoints{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"vms": "yes"}}}
	})
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	members.Update(t, c, object, func() { object.Labels["vms"] = "yes" })
	eventually("the namespace may", podAddress, vmAddress)
	node(t, c, "hands", vmAddress, "10.1.235.0/24")
	eventually("a node has the address", podAddress)
	end(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "hands"}})
	eventually("the node goes", podAddress, vmAddress)
	node(t, c, "hands", "10.1.233.1", "10.1.234.0/24")
	eventually("its pods may have it", podAddress)
	end(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "hands"}})
	eventually("the node goes again", podAddress, vmAddress)
	members.Update(t, c, object, func() { delete(object.Labels, "vms") })
	eventually("the namespace may not any more")
}
