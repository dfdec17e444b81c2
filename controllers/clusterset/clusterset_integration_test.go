//go:build integration

package clusterset_test

import (
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/clusterset"
	"github.com/tombolo-net/tombolo/controllers/internal/installation"
	"github.com/tombolo-net/tombolo/controllers/internal/inuse"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/internal/status"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

func newEnv(t *testing.T) (*members.Env, *clusterset.Reconciler) {
	t.Helper()
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	installed, err := installation.NewChecker(e.Own)
	if err != nil {
		t.Fatal(err)
	}
	return e, &clusterset.Reconciler{Client: e.Own.GetClient(), Hub: e.Conn, Installation: installed, Events: &events{},
		InUse: inuse.Reader{Cached: e.Own.GetClient(), Direct: e.Own.GetAPIReader()}}
}

func get(t *testing.T, e *members.Env) *v1alpha1.ClusterSet {
	t.Helper()
	set := &v1alpha1.ClusterSet{}
	if err := e.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		t.Fatal(err)
	}
	return set
}

// change updates the ClusterSet, reconciles once and checks Accepted. It returns the message.
func change(t *testing.T, e *members.Env, r *clusterset.Reconciler, edit func(*v1alpha1.ClusterSetSpec), status, reason string) string {
	t.Helper()
	set := get(t, e)
	edit(&set.Spec)
	if err := e.Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "", v1alpha1.ClusterSetName)
	c := meta.FindStatusCondition(get(t, e).Status.Conditions, v1alpha1.ConditionAccepted)
	if c == nil || string(c.Status) != status || c.Reason != reason {
		t.Fatalf("Accepted is %+v, want %s %s", c, status, reason)
	}
	return c.Message
}

func TestStatus(t *testing.T) {
	e, r := newEnv(t)
	e.Hub.Member(t, "west", 2, "10.2.0.0/16")
	removed := e.Hub.Member(t, "north", 3, "10.3.0.0/16")
	removed.Spec.Removed = true
	if err := e.Hub.Update(t.Context(), removed); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "", v1alpha1.ClusterSetName)
	got := get(t, e)
	if s := got.Status; s.Members != 2 || s.Index != 1 || len(s.CIDRs) != 1 {
		t.Errorf("status is %+v", s)
	}
	for _, kind := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionHubConnected} {
		if !meta.IsStatusConditionTrue(got.Status.Conditions, kind) {
			t.Errorf("%s is not true: %+v", kind, got.Status.Conditions)
		}
	}
	e.Step(t, r, "", v1alpha1.ClusterSetName)
	if again := get(t, e); again.ResourceVersion != got.ResourceVersion {
		t.Error("written though nothing changed")
	}
}

func TestMalformedCIDR(t *testing.T) {
	e, _ := newEnv(t)
	for _, cidr := range []v1alpha1.CIDR{"nonsense", "10.1.2.3/16", "300.0.0.0/8"} {
		set := get(t, e)
		set.Spec.VIPCIDRs = []v1alpha1.CIDR{cidr}
		err := e.Update(t.Context(), set)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "such as 10.1.0.0/16") {
			t.Errorf("%s: %v, want a refusal that says what is allowed", cidr, err)
		}
	}
}

func TestVIPsOverlap(t *testing.T) {
	e, r := newEnv(t)
	e.Make(t, &corev1.Node{ObjectMeta: members.Meta("", "node-1"), Spec: corev1.NodeSpec{PodCIDR: "10.40.1.0/24", PodCIDRs: []string{"10.40.1.0/24"}}})
	e.Remote(t, "west", 2, "10.2.0.0/16")
	services := []string{"10.96.0.0/16", "ServiceCIDR"}
	if err := e.List(t.Context(), &networkingv1.ServiceCIDRList{}); meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		services = []string{"10.96.0.1/32", "Service default/kubernetes"} // Kubernetes before 1.33
	}
	for _, test := range []struct {
		what string
		cidr v1alpha1.CIDR
		want []string
	}{
		{"pods", "10.40.0.0/16", []string{"spec.vipCIDRs", "10.40.1.0/24", "node-1"}},
		{"services", "10.96.0.0/12", append([]string{"spec.vipCIDRs"}, services...)},
		{"this cluster's Member", "10.1.128.0/17", []string{"10.1.0.0/16", "Member east"}},
		{"another's Member", "10.2.0.0/24", []string{"10.2.0.0/16", "Member west"}},
		{"tunnels", "245.1.0.0/16", []string{"spec.transitCIDR"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			message := change(t, e, r, func(s *v1alpha1.ClusterSetSpec) { s.VIPCIDRs = []v1alpha1.CIDR{test.cidr} }, "False", "CIDROverlap")
			for _, want := range append(test.want, "244.0.0.0/16") {
				if !strings.Contains(message, want) {
					t.Errorf("the message lacks %s: %s", want, message)
				}
			}
			change(t, e, r, func(s *v1alpha1.ClusterSetSpec) { s.VIPCIDRs = []v1alpha1.CIDR{"244.0.0.0/16"} }, "True", "Accepted")
		})
	}
}

// TestNodeInTheVIPCIDR: a kubelet that writes such an address into its own Node takes away nothing that
// was accepted. A new spec is compared with all nodes.
func TestNodeInTheVIPCIDR(t *testing.T) {
	e, r := newEnv(t)
	vips := func(cidr v1alpha1.CIDR) func(*v1alpha1.ClusterSetSpec) {
		return func(s *v1alpha1.ClusterSetSpec) { s.VIPCIDRs = []v1alpha1.CIDR{cidr} }
	}
	change(t, e, r, vips("244.0.0.0/16"), "True", "Accepted")
	e.Make(t, &corev1.Node{ObjectMeta: members.Meta("", "evil"), Status: corev1.NodeStatus{
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "244.0.0.9"}}}})
	e.Step(t, r, "", v1alpha1.ClusterSetName)
	change(t, e, r, vips("244.0.0.0/16"), "True", "Accepted")
	change(t, e, r, vips("244.0.0.0/24"), "False", "CIDROverlap")
	change(t, e, r, vips("244.1.0.0/16"), "True", "Accepted")
}

func TestChoicesOfTheDataplane(t *testing.T) {
	e, r := newEnv(t)
	change(t, e, r, func(s *v1alpha1.ClusterSetSpec) { s.DNS = v1alpha1.DNSManaged }, "True", "Accepted")
	change(t, e, r, func(s *v1alpha1.ClusterSetSpec) {
		s.Dataplane.Backend, s.Dataplane.Locality = v1alpha1.BackendNFTables, v1alpha1.LocalityLocalFirst
	}, "True", "Accepted")
}

// A controller whose cache is behind leaves the conditions of others as they are, and tries again.
func TestConditionsOfOthersStay(t *testing.T) {
	e, r := newEnv(t)
	e.Step(t, r, "", v1alpha1.ClusterSetName)
	behind := get(t, e)
	dns := metav1.Condition{Type: v1alpha1.ConditionDNSReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonConfigured}
	if err := status.SetClusterSetCondition(t.Context(), e.Client, get(t, e), dns); err != nil {
		t.Fatal(err)
	}
	accepted := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotSupported}
	if err := status.SetClusterSetCondition(t.Context(), e.Client, behind, accepted); !retry.Behind(err) {
		t.Errorf("writing on top of another's change: %v, want a conflict", err)
	}
	if err := status.SetClusterSetCondition(t.Context(), e.Client, get(t, e), accepted); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "", v1alpha1.ClusterSetName)
	got := get(t, e)
	for _, kind := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionDNSReady} {
		if !meta.IsStatusConditionTrue(got.Status.Conditions, kind) {
			t.Errorf("%s is not true: %+v", kind, got.Status.Conditions)
		}
	}
	if err := status.RemoveClusterSetCondition(t.Context(), e.Client, got, v1alpha1.ConditionDNSReady); err != nil {
		t.Fatal(err)
	}
	if c := meta.FindStatusCondition(get(t, e).Status.Conditions, v1alpha1.ConditionDNSReady); c != nil {
		t.Errorf("removed, and still there: %+v", c)
	}
}
