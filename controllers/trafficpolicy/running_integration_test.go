//go:build integration

package trafficpolicy_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/operator"
	"github.com/tombolo-net/tombolo/controllers/trafficpolicy"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// startController runs the controller, as the operator, in a cluster with a ClusterSet, until the
// test ends. The gate sees all that it asks for.
func startController(t *testing.T) (*members.Cluster, *members.Gate) {
	t.Helper()
	c := clusters[members.HubName]
	c.Dump(t)
	c.Make(t, &v1alpha1.ClusterSet{
		ObjectMeta: members.Meta("", v1alpha1.ClusterSetName),
		Spec: v1alpha1.ClusterSetSpec{
			ClusterSetID: members.SetID, ClusterID: members.Own,
			Hub: v1alpha1.HubAccess{Server: "https://hub.example.com", SecretRef: v1alpha1.SecretReference{Name: "none"}},
		},
	})
	gate, config := members.NewOwnGate(t, c)
	runManager(t, config)
	return c, gate
}

func runManager(t *testing.T, rest *rest.Config) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := ctrl.NewManager(rest, ctrl.Options{
		Scheme: operator.NewScheme(), Cache: operator.CacheOptions(v1alpha1.DefaultNamespace), Logger: testr.New(t),
		Controller: config.Controller{SkipNameValidation: ptr.To(true)}, Metrics: metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := (&trafficpolicy.Reconciler{Client: mgr.GetClient()}).SetUp(ctx, mgr); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the manager: %v", err)
		}
	})
}

// eventually waits for the policy's reason and these words; one with a ! before it must not be in
// the message.
func eventually(t *testing.T, c *members.Cluster, p *v1alpha1.TrafficPolicy, reason string, words ...string) {
	t.Helper()
	members.Eventually(t, func() error {
		got, now := accepted(t, c.Client, p.Namespace, p.Name)
		if got.Reason != reason || got.ObservedGeneration != now.Generation {
			return fmt.Errorf("policy %s is %+v, want %s of generation %d", p.Name, got, reason, now.Generation)
		}
		for _, word := range words {
			unwanted, without := strings.CutPrefix(word, "!")
			if strings.Contains(got.Message, unwanted) == without {
				return fmt.Errorf("policy %s says %q, want %s in it", p.Name, got.Message, word)
			}
		}
		return nil
	})
}

// Each change that matters reaches the policies that it concerns, without one that is reconciled by
// hand.
func TestChangesReachPolicies(t *testing.T) {
	c, gate := startController(t)
	const namespace = "changes"
	c.MakeNamespace(t, namespace, nil)
	p := policy(t, c, namespace, "p", drains("west"))
	eventually(t, c, p, v1alpha1.ReasonTargetNotFound)
	si := imported(t, c, namespace, "east", "west")
	eventually(t, c, p, v1alpha1.ReasonAccepted)

	// The exporters and the kind of import.
	members.UpdateStatus(t, c, si, func() { si.Status.Clusters = si.Status.Clusters[1:] })
	eventually(t, c, p, v1alpha1.ReasonInvalid)
	exportedBy(t, c, si, "east", "west")
	eventually(t, c, p, v1alpha1.ReasonAccepted)
	members.Update(t, c, si, func() { si.Spec.Type = mcsv1beta1.Headless })
	eventually(t, c, p, v1alpha1.ReasonTargetHeadless)
	members.Update(t, c, si, func() { si.Spec.Type, si.Labels = mcsv1beta1.ClusterSetIP, nil })
	eventually(t, c, p, v1alpha1.ReasonTargetNotFound)
	members.Update(t, c, si, func() {
		si.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	})
	eventually(t, c, p, v1alpha1.ReasonAccepted, "!west")

	local, anywhere := corev1.ServiceInternalTrafficPolicyLocal, corev1.ServiceInternalTrafficPolicyCluster
	members.Update(t, c, si, func() { si.Spec.InternalTrafficPolicy = &local })
	eventually(t, c, p, v1alpha1.ReasonAccepted, "internalTrafficPolicy Local")
	members.Update(t, c, si, func() { si.Spec.InternalTrafficPolicy = &anywhere })
	eventually(t, c, p, v1alpha1.ReasonAccepted, "!internalTrafficPolicy")

	// What the clusterset has.
	set := &v1alpha1.ClusterSet{ObjectMeta: members.Meta("", v1alpha1.ClusterSetName)}
	members.UpdateStatus(t, c, set, func() { set.Status.Index = 1 })
	eventually(t, c, p, v1alpha1.ReasonAccepted, "cluster west")
	remote := c.Remote(t, "west", 2, "10.2.0.0/16")
	eventually(t, c, p, v1alpha1.ReasonAccepted, "!west")
	members.Update(t, c, p, func() {
		p.Spec.Failover = []v1alpha1.FailoverStep{{Regions: []string{"eu-1"}}, {Regions: []string{"us-1"}}}
		p.Spec.Scheduler = v1alpha1.SchedulerLeastConnection
	})
	eventually(t, c, p, v1alpha1.ReasonAccepted, "region eu-1, region us-1", "nftables")
	members.Update(t, c, remote, func() { remote.Spec.Region = "us-1" })
	eventually(t, c, p, v1alpha1.ReasonAccepted, "region eu-1", "!us-1")
	members.UpdateStatus(t, c, set, func() { set.Status.Region = "eu-1" })
	eventually(t, c, p, v1alpha1.ReasonAccepted, "!eu-1")
	members.Update(t, c, set, func() { set.Spec.Dataplane.Backend = v1alpha1.BackendIPVS })
	eventually(t, c, p, v1alpha1.ReasonAccepted, "!nftables")

	// Other policies.
	nextSecond(t, p)
	younger := policy(t, c, namespace, "a", nil)
	eventually(t, c, younger, v1alpha1.ReasonConflicted)
	members.Update(t, c, p, func() { p.Spec.TargetRef.Name = "db" })
	eventually(t, c, younger, v1alpha1.ReasonAccepted)
	eventually(t, c, p, v1alpha1.ReasonTargetNotFound)
	members.Update(t, c, p, func() { p.Spec.TargetRef.Name = "web" })
	eventually(t, c, younger, v1alpha1.ReasonConflicted)
	if err := c.Delete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	eventually(t, c, younger, v1alpha1.ReasonAccepted)

	// What somebody else does to the status; and an API server that refuses for a while.
	gate.Rule("refuse", members.Refuse(http.StatusInternalServerError, "trafficpolicies/status"))
	gate.Reset()
	members.UpdateStatus(t, c, younger, func() { younger.Status.Conditions = nil })
	members.Eventually(t, func() error {
		if n := len(gate.Writes()); n < 2 {
			return fmt.Errorf("tried %d times", n)
		}
		return nil
	})
	gate.Rule("refuse", nil)
	eventually(t, c, younger, v1alpha1.ReasonAccepted)

	if err := c.Delete(t.Context(), si); err != nil {
		t.Fatal(err)
	}
	eventually(t, c, younger, v1alpha1.ReasonTargetNotFound)
}

// Where nothing changes nothing is written, nor even looked at, however much else goes on.
func TestQuiet(t *testing.T) {
	c, gate := startController(t)
	const namespace = "quiet"
	c.MakeNamespace(t, namespace, nil)
	si := imported(t, c, namespace, "east")
	remote := c.Remote(t, "west", 2, "10.2.0.0/16")
	first := policy(t, c, namespace, "a", nil)
	eventually(t, c, first, v1alpha1.ReasonAccepted)
	eventually(t, c, policy(t, c, namespace, "b", nil), v1alpha1.ReasonConflicted)
	before := untilQuiet(t)
	gate.Reset() // a write is counted after its answer

	members.Update(t, c, si, func() { si.Annotations = map[string]string{"his": "own"} })
	members.UpdateStatus(t, c, si, func() {
		si.Status.EndpointSliceObjects = mcsv1beta1.EndpointSliceObjectsPresent
	})
	members.UpdateStatus(t, c, remote, func() {
		remote.Status.Links = []v1alpha1.GatewayLinks{{Gateway: "east-1"}}
	})
	set := &v1alpha1.ClusterSet{ObjectMeta: members.Meta("", v1alpha1.ClusterSetName)}
	members.UpdateStatus(t, c, set, func() {
		set.Status.Members = 2
	})
	if after := untilQuiet(t); after != before || len(gate.Writes()) > 0 {
		t.Errorf("%v reconciles, written %v, for what is no business of policies", after-before, gate.Writes())
	}

	// These two are looked at; the first needs no write.
	members.UpdateStatus(t, c, first, func() {
		first.Status.Conditions = append(first.Status.Conditions, metav1.Condition{
			Type: "example.com/Seen", Status: metav1.ConditionTrue, Reason: "Seen", LastTransitionTime: metav1.Now(),
		})
	})
	last := policy(t, c, namespace, "c", func(spec *v1alpha1.TrafficPolicySpec) { spec.TargetRef.Name = "db" })
	eventually(t, c, last, v1alpha1.ReasonTargetNotFound)
	untilQuiet(t)
	for _, w := range gate.Writes() { // with a cache that was behind the last one is tried twice
		if w.Name != last.Name {
			t.Errorf("written: %v", w)
		}
	}
}

// untilQuiet waits until the controller has reconciled nothing for a while, and returns how often
// it has until then.
func untilQuiet(t *testing.T) float64 {
	t.Helper()
	const quiet = 500 * time.Millisecond
	var count float64
	members.Eventually(t, func() error {
		count = reconciles(t)
		time.Sleep(quiet)
		if now := reconciles(t); now != count {
			return fmt.Errorf("%v reconciles in %v", now-count, quiet)
		}
		return nil
	})
	return count
}

// reconciles is how many the controller has done, by controller-runtime's own count.
func reconciles(t *testing.T) float64 {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, family := range families {
		if family.GetName() != "controller_runtime_reconcile_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetValue() == "trafficpolicy" {
					total += metric.GetCounter().GetValue()
				}
			}
		}
	}
	return total
}
