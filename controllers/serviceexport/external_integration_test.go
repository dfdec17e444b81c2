//go:build integration

package serviceexport_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// pod makes a pod with these addresses, as its kubelet reports it.
func pod(t *testing.T, c *members.Cluster, namespace, name string, edit func(*corev1.Pod), addresses ...string) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{ObjectMeta: members.Meta(namespace, name), Spec: corev1.PodSpec{
		AutomountServiceAccountToken: ptr.To(false), Containers: []corev1.Container{{Name: "main", Image: "main"}}}}
	status := corev1.PodStatus{Phase: corev1.PodRunning, PodIP: addresses[0]}
	for _, a := range addresses {
		status.PodIPs = append(status.PodIPs, corev1.PodIP{IP: a})
	}
	p.Status = status
	if edit != nil {
		edit(p)
	}
	status = p.Status
	c.Make(t, p)
	members.UpdateStatus(t, c, p, func() { p.Status = status })
	t.Cleanup(func() { _ = c.Delete(context.Background(), p, client.GracePeriodSeconds(0)) })
	return p
}

// node makes a Node with an address.
func node(t *testing.T, c *members.Cluster, name, address, pods string) {
	t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: pods, PodCIDRs: []string{pods}}}
	c.Make(t, n)
	members.UpdateStatus(t, c, n, func() {
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
	})
	t.Cleanup(func() { _ = c.Delete(context.Background(), n) })
}

// byHand is a slice that somebody wrote, for a Service without selector.
func byHand(namespace, service, manager string, addresses ...string) *discoveryv1.EndpointSlice {
	s := members.Slice(namespace, service+"-by-hand", service, addresses...)
	delete(s.Labels, discoveryv1.LabelManagedBy)
	if manager != "" {
		s.Labels[discoveryv1.LabelManagedBy] = manager
	}
	return s
}

// withoutSelector is a Service without selector.
func withoutSelector(namespace, name string) *corev1.Service {
	s := members.Service(namespace, name)
	s.Spec.Selector = nil
	return s
}

// addressesOnHub are those of all endpoints that the hub holds, sorted.
func addressesOnHub(t *testing.T, e *members.Env) []string {
	t.Helper()
	all := []string{}
	_, found := published(t, e)
	for _, s := range found {
		for _, endpoint := range s.Endpoints {
			all = append(all, endpoint.Addresses...)
		}
	}
	slices.Sort(all)
	return all
}

func wantOnHub(t *testing.T, e *members.Env, when string, want ...string) {
	t.Helper()
	if got := addressesOnHub(t, e); !slices.Equal(got, append([]string{}, want...)) {
		t.Errorf("%s: the hub holds the endpoints %v, want %v", when, got, want)
	}
}

// TestForeignEndpoints: who writes the EndpointSlice of a Service exports pods of the Service's
// namespace, and nothing else, whatever the slice says about who wrote it.
func TestForeignEndpoints(t *testing.T) {
	e, r := newEnv(t, "tenant")
	e.MakeNamespace(t, "victim", nil)
	pod(t, e.Cluster, "tenant", "own", nil, "10.1.4.1", "fd00:1::1")
	pod(t, e.Cluster, "tenant", "ended", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }, "10.1.4.2")
	pod(t, e.Cluster, "tenant", "on-host", func(p *corev1.Pod) { p.Spec.HostNetwork = true }, "10.1.4.3")
	pod(t, e.Cluster, "tenant", "double", nil, "10.1.4.5")
	pod(t, e.Cluster, "victim", "double", nil, "10.1.4.5")
	pod(t, e.Cluster, "victim", "db", nil, "10.1.4.6")
	node(t, e.Cluster, "node-1", "10.1.9.1", "10.1.5.0/24")
	all := []string{"10.1.4.1", "10.1.4.2", "10.1.4.3", "10.1.4.5", "10.1.4.6", "10.1.5.7", "10.1.9.1", "10.1.200.5"}
	for i, manager := range []string{"", "somebody", "endpointslicemirroring-controller.k8s.io", members.EndpointSliceController} {
		t.Run(manager, func(t *testing.T) {
			name := fmt.Sprint("web-", i)
			e.Make(t, withoutSelector("tenant", name))
			e.Make(t, byHand("tenant", name, manager, all...))
			export := members.Export("tenant", name)
			e.Make(t, export)
			e.Step(t, r, "tenant", name)
			wantOnHub(t, e, "exported", "10.1.4.1")
			message := wantCondition(t, e, "tenant", name, "Ready", "True", "Exported")
			for _, want := range []string{
				"exported in part", "EndpointSlice tenant/" + name + "-by-hand: address 10.1.4.2 is no pod of namespace tenant",
				"ClusterSet.spec.externalEndpoints", "10.1.4.5 belongs to pod victim/double", "one of 4",
			} {
				if !strings.Contains(message, want) {
					t.Errorf("the message lacks %q: %s", want, message)
				}
			}
			e.Delete(t.Context(), export)
			e.Step(t, r, "tenant", name)
		})
	}
	t.Run("beside the controller's slice", func(t *testing.T) {
		e.Make(t, members.Service("tenant", "mixed"))
		e.Make(t, members.Slice("tenant", "mixed-1", "mixed", "10.1.4.9"))
		e.Make(t, byHand("tenant", "mixed", "me", "10.1.4.6"))
		export := members.Export("tenant", "mixed")
		e.Make(t, export)
		e.Step(t, r, "tenant", "mixed")
		wantOnHub(t, e, "exported", "10.1.4.9")
		e.Delete(t.Context(), export)
		e.Step(t, r, "tenant", "mixed")
	})
}

// allowExternal lets namespaces with the label export endpoints that are no pods.
func allowExternal(t *testing.T, e *members.Env, selector *metav1.LabelSelector) {
	t.Helper()
	clusterSet(t, e, func(spec *v1alpha1.ClusterSetSpec) {
		if spec.ExternalEndpoints = nil; selector != nil {
			spec.ExternalEndpoints = &v1alpha1.ExternalEndpoints{NamespaceSelector: selector}
		}
	})
}

// TestExternalEndpoints: with the admin's permission what is no pod is exported, apart from the pods,
// and what is somebody else's is not.
func TestExternalEndpoints(t *testing.T) {
	e, r := newEnv(t, "vms")
	e.MakeNamespace(t, "others", nil)
	pod(t, e.Cluster, "vms", "own", nil, "10.1.14.1")
	pod(t, e.Cluster, "others", "db", nil, "10.1.14.6")
	node(t, e.Cluster, "node-2", "10.1.19.1", "10.1.15.0/24")
	server := withoutSelector("vms", "server")
	server.Spec.ClusterIP = "None"
	e.Make(t, server)
	e.Make(t, byHand("vms", "server", "me", "10.1.14.1", "10.1.14.6", "10.1.15.7", "10.1.19.1", "10.1.200.6"))
	e.Make(t, members.Export("vms", "server"))
	e.Step(t, r, "vms", "server")
	wantOnHub(t, e, "without permission", "10.1.14.1")
	for _, tt := range []struct {
		name     string
		selector *metav1.LabelSelector
		want     []string
	}{
		{"another namespace may", &metav1.LabelSelector{MatchLabels: map[string]string{"vms": "yes"}}, []string{"10.1.14.1"}},
		{"all may", &metav1.LabelSelector{}, []string{"10.1.14.1", "10.1.200.6"}},
		{"this namespace may", &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "vms"}}, []string{"10.1.14.1", "10.1.200.6"}},
		{"no longer", nil, []string{"10.1.14.1"}},
		{"again", &metav1.LabelSelector{}, []string{"10.1.14.1", "10.1.200.6"}},
	} {
		allowExternal(t, e, tt.selector)
		e.Step(t, r, "vms", "server")
		wantOnHub(t, e, tt.name, tt.want...)
	}
	_, found := published(t, e)
	for _, s := range found {
		for _, endpoint := range s.Endpoints {
			if want := endpoint.Addresses[0] == "10.1.200.6"; clusterset.External(s.Labels) != want {
				t.Errorf("%s is in a slice with the labels %v", endpoint.Addresses[0], s.Labels)
			}
		}
	}
	if message := wantCondition(t, e, "vms", "server", "Ready", "True", "Exported"); !strings.Contains(message, "one of 3") {
		t.Errorf("the condition says: %s", message)
	}
}

// TestKeptEndpoints: what was exported before there was a rule stays, and its condition says why. It
// does not come back once it was gone, and it does not stay if somebody else has the address.
func TestKeptEndpoints(t *testing.T) {
	e, r := newEnv(t, "before")
	e.MakeNamespace(t, "new", nil)
	e.Make(t, withoutSelector("before", "vm"))
	slice := byHand("before", "vm", "", "10.1.200.7", "10.1.200.8", "10.1.24.6")
	e.Make(t, slice)
	e.Make(t, members.Export("before", "vm"))
	pod(t, e.Cluster, "new", "db", nil, "10.1.24.6")
	e.Hub.Publish(t, members.Own, "before", "vm", []string{"10.1.200.7", "10.1.200.8", "10.1.24.6"})
	e.Step(t, r, "before", "vm")
	wantOnHub(t, e, "after an upgrade", "10.1.200.7", "10.1.200.8")
	message := wantCondition(t, e, "before", "vm", "Ready", "True", "Exported")
	for _, want := range []string{"stay exported only because they were before (10.1.200.7, 10.1.200.8)", "externalEndpoints", "pod new/db"} {
		if !strings.Contains(message, want) {
			t.Errorf("the message lacks %q: %s", want, message)
		}
	}
	edit := func(addresses ...string) {
		t.Helper()
		slice.Endpoints = byHand("", "", "", addresses...).Endpoints
		if err := e.Update(t.Context(), slice); err != nil {
			t.Fatal(err)
		}
		e.Step(t, r, "before", "vm")
	}
	edit("10.1.200.7", "10.1.200.9")
	wantOnHub(t, e, "one replaced", "10.1.200.7")
	edit("10.1.200.7", "10.1.200.8")
	wantOnHub(t, e, "one came back", "10.1.200.7")
	taker := pod(t, e.Cluster, "new", "taker", nil, "10.1.200.7")
	members.Eventually(t, func() error { // until the pod is known
		e.Step(t, r, "before", "vm")
		if got := addressesOnHub(t, e); len(got) > 0 {
			return fmt.Errorf("a pod took the address: the hub holds %v", got)
		}
		return nil
	})
	wantCondition(t, e, "before", "vm", "Ready", "False", "Pending")
	if err := e.Delete(t.Context(), taker, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	members.Eventually(t, func() error {
		e.Step(t, r, "before", "vm")
		if m := wantCondition(t, e, "before", "vm", "Ready", "False", "Pending"); strings.Contains(m, "pod new/taker") {
			return fmt.Errorf("the condition says: %s", m)
		}
		return nil
	})
	wantOnHub(t, e, "the pod went")
}
