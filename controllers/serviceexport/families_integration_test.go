//go:build integration

package serviceexport_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// The API server gives a headless Service without selector both families, in a cluster that has one.
// A family that the cluster lacks and no endpoint has is no part of the export, so it conflicts with
// nobody. Once the cluster has it, it is, and its endpoints may come later.
func TestFamilyThatTheClusterLacks(t *testing.T) {
	e, r := newEnv(t, "lacks")
	e.Hub.Member(t, "west", 2, "10.2.0.0/16")
	e.Remote(t, "west", 2, "10.2.0.0/16")
	one, both := []corev1.IPFamily{v4}, []corev1.IPFamily{v4, v6}
	exportedWith := func(name, when string, want []corev1.IPFamily) {
		t.Helper()
		for range 2 {
			e.Step(t, r, "lacks", name)
		}
		services, slices := published(t, e)
		for _, s := range services {
			if diff := cmp.Diff(want, s.Spec.IPFamilies); s.Spec.Name == name && s.Labels[v1alpha1.LabelSourceCluster] == string(members.Own) && diff != "" {
				t.Errorf("%s, %s: families (-want +got):\n%s", name, when, diff)
			}
		}
		for _, s := range slices {
			if s.AddressType == discoveryv1.AddressTypeIPv6 && len(want) == 1 && s.Labels[v1alpha1.LabelServiceName] == name {
				t.Errorf("%s, %s: there is a slice of a family that it does not have: %s", name, when, s.Name)
			}
		}
	}
	pod(t, e.Cluster, "lacks", "own", nil, "10.1.0.1", "fd00:1::1")
	conflicts := map[string]*corev1.IPFamilyPolicy{"default": nil, "prefer": ptr.To(corev1.IPFamilyPolicyPreferDualStack), "require": requireDual}
	for name, policy := range conflicts {
		service := withoutSelector("lacks", name)
		service.Spec.ClusterIP, service.Spec.IPFamilyPolicy = corev1.ClusterIPNone, policy
		e.Make(t, service)
		if diff := cmp.Diff(both, service.Spec.IPFamilies); diff != "" {
			t.Fatalf("%s: this API server gives other families, and the test tests nothing (-want +got):\n%s", name, diff)
		}
		e.Make(t, members.Export("lacks", name))
		exportedWith(name, "without endpoints", one)
		e.Make(t, members.Slice("lacks", name+"-4", name, "10.1.0.1"))
		exportedWith(name, "with endpoints", one)
		other, _ := e.Hub.Publish(t, "west", "lacks", name)
		members.Update(t, e.Hub, other, func() { other.Spec.Type = "Headless" })
		exportedWith(name, "beside another cluster", one)
		wantCondition(t, e, "lacks", name, "Conflict", "False", "NoConflicts")
	}
	v6Endpoint := v6Slice("default-6", "fd00:1::1")
	v6Endpoint.Namespace, v6Endpoint.Labels[discoveryv1.LabelServiceName] = "lacks", "default"
	e.Make(t, v6Endpoint)
	exportedWith("default", "with an endpoint that is not approved", one)
	member := &v1alpha1.Member{}
	if err := e.Hub.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: "east"}, member); err != nil {
		t.Fatal(err)
	}
	members.Update(t, e.Hub, member, func() { member.Spec.CIDRs = append(member.Spec.CIDRs, "fd00:1::/64") })
	for name := range conflicts {
		exportedWith(name, "in a dual-stack cluster", both)
		message := wantCondition(t, e, "lacks", name, "Conflict", "True", "IPFamilyConflict")
		if !strings.Contains(message, "IPv6 reaches 1 of them") {
			t.Errorf("%s: %s", name, message)
		}
	}
	single := members.Service("lacks", "single")
	single.Spec.ClusterIP, single.Spec.IPFamilyPolicy = corev1.ClusterIPNone, ptr.To(corev1.IPFamilyPolicySingleStack)
	e.Make(t, single)
	e.Make(t, members.Export("lacks", "single"))
	exportedWith("single", "which says so itself", one)
}
