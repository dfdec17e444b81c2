//go:build integration

package exportpolicy_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/members"
	"github.com/tombolo-net/tombolo/test/harness/running"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters, "east", "west", "north")) }

const namespace = "shop"

// start makes the cluster a member, in that region, and runs its operator.
func start(t *testing.T, name string, index int32, region string) *members.Cluster {
	t.Helper()
	c, hub := clusters[name], clusters[members.HubName]
	access := hub.Approve(t, v1alpha1.DefaultHubNamespace, name, v1alpha1.MemberSpec{
		Index: index, Region: region, CIDRs: []v1alpha1.CIDR{v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", index))}})
	c.Join(t, name, hub, access)
	c.MakeNamespace(t, namespace, nil)
	running.Operator(t, c)
	return c
}

// imports wants the cluster to import the Service from just these clusters.
func imports(t *testing.T, c *members.Cluster, from ...string) {
	t.Helper()
	members.Eventually(t, func() error {
		si := &mcsv1beta1.ServiceImport{}
		err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "web"}, si)
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		var got []string
		for _, s := range si.Status.Clusters {
			got = append(got, s.Cluster)
		}
		if !slices.Equal(got, from) || (err == nil) != (len(from) > 0) {
			return fmt.Errorf("%s imports from %v, want %v", c.Name(), got, from)
		}
		return nil
	})
}

// accepted waits until the policy's condition has the reason and it reaches these clusters, and returns the policy.
func accepted(t *testing.T, c *members.Cluster, name, reason string, reaches ...string) *v1alpha1.ExportPolicy {
	t.Helper()
	policy := &v1alpha1.ExportPolicy{}
	members.Eventually(t, func() error {
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, policy); err != nil {
			return err
		}
		condition := meta.FindStatusCondition(policy.Status.Conditions, v1alpha1.ConditionAccepted)
		if condition == nil || condition.Reason != reason || policy.Status.ObservedGeneration != policy.Generation {
			return fmt.Errorf("policy %s has %+v, generation %d of %d, want %s", name, condition, policy.Status.ObservedGeneration, policy.Generation, reason)
		}
		if !slices.Equal(policy.Status.Clusters, reaches) {
			return fmt.Errorf("policy %s reaches %v, want %v", name, policy.Status.Clusters, reaches)
		}
		return nil
	})
	return policy
}

func policy(name string, audience v1alpha1.ExportAudience) *v1alpha1.ExportPolicy {
	return &v1alpha1.ExportPolicy{ObjectMeta: members.Meta(namespace, name), Spec: v1alpha1.ExportPolicySpec{
		TargetRef: v1alpha1.ExportPolicyTarget{Name: "web"}, ExportAudience: audience,
	}}
}

// An export with a policy is imported by the clusters that it names, and always by its own. Those that
// stay named lose nothing when the policy changes.
func TestExportPolicy(t *testing.T) {
	east, west, north := start(t, "east", 1, "eu"), start(t, "west", 2, "eu"), start(t, "north", 3, "us")
	if got := policy("new", v1alpha1.ExportAudience{}); east.Create(t.Context(), got) == nil {
		t.Error("a policy that names nobody was accepted")
	}
	first := policy("a", v1alpha1.ExportAudience{Clusters: []v1alpha1.ClusterID{"west"}})
	east.Make(t, first)
	if first.Status.ObservedGeneration != -1 {
		t.Errorf("observedGeneration of a new policy is %d, want -1", first.Status.ObservedGeneration)
	}
	accepted(t, east, "a", v1alpha1.ReasonTargetNotFound)
	east.Make(t, members.Service(namespace, "web"))
	east.Make(t, members.Slice(namespace, "web-1", "web", "10.1.0.1"))
	east.Make(t, members.Export(namespace, "web"))
	imports(t, west, "east")
	imports(t, east, "east")
	imports(t, north)
	accepted(t, east, "a", v1alpha1.ReasonAccepted, "west")

	before := &mcsv1beta1.ServiceImport{}
	if err := west.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "web"}, before); err != nil {
		t.Fatal(err)
	}
	change(t, east, first, `{"spec":{"clusters":null,"regions":["eu","us","mars"]}}`)
	imports(t, north, "east")
	got := accepted(t, east, "a", v1alpha1.ReasonAccepted, "north", "west")
	if message := got.Status.Conditions[0].Message; !strings.Contains(message, "region mars") {
		t.Errorf("the message does not name the unknown region: %s", message)
	}
	east.Make(t, policy("b", v1alpha1.ExportAudience{Clusters: []v1alpha1.ClusterID{"north"}}))
	accepted(t, east, "b", v1alpha1.ReasonConflicted)

	change(t, east, first, `{"spec":{"regions":["eu"]}}`)
	imports(t, north)
	after := &mcsv1beta1.ServiceImport{}
	if err := west.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "web"}, after); err != nil || after.UID != before.UID || after.Generation != before.Generation {
		t.Errorf("the import of west was written: generation %d, was %d; %v", after.Generation, before.Generation, err)
	}

	if err := east.Delete(t.Context(), first); err != nil { // then b is in effect
		t.Fatal(err)
	}
	imports(t, north, "east")
	imports(t, west)
	accepted(t, east, "b", v1alpha1.ReasonAccepted, "north")
}

func change(t *testing.T, c *members.Cluster, p *v1alpha1.ExportPolicy, patch string) {
	t.Helper()
	if err := c.Patch(t.Context(), p, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
}
