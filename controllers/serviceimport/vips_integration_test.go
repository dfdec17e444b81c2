//go:build integration

package serviceimport_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/controllers/serviceimport"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// vipBlocks gives the ClusterSet these blocks.
func vipBlocks(t *testing.T, e *members.Env, blocks ...v1alpha1.CIDR) {
	t.Helper()
	editSet(t, e, func(set *v1alpha1.ClusterSet) { set.Spec.VIPCIDRs = blocks })
}

func editSet(t *testing.T, e *members.Env, edit func(*v1alpha1.ClusterSet)) {
	t.Helper()
	set := &v1alpha1.ClusterSet{}
	if err := e.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		t.Fatal(err)
	}
	edit(set)
	if err := e.Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	accept(t, e, metav1.ConditionTrue, v1alpha1.ReasonAccepted)
}

// ownCIDRs makes the cluster one whose Member has these CIDRs.
func ownCIDRs(t *testing.T, e *members.Env, cidrs ...v1alpha1.CIDR) {
	t.Helper()
	set := &v1alpha1.ClusterSet{}
	if err := e.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		t.Fatal(err)
	}
	set.Status.CIDRs = cidrs
	if err := e.Status().Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
}

// publish makes west export the Service with these families.
func publish(t *testing.T, e *members.Env, namespace, name string, families ...corev1.IPFamily) *v1alpha1.ExportedService {
	t.Helper()
	export, _ := e.Hub.Publish(t, "west", namespace, name)
	if len(families) > 0 {
		export.Spec.IPFamilies = families
		editExport(t, e, export)
	}
	return export
}

func editExport(t *testing.T, e *members.Env, export *v1alpha1.ExportedService) {
	t.Helper()
	if err := e.Hub.Update(t.Context(), export); err != nil {
		t.Fatal(err)
	}
}

func ready(t *testing.T, got *mcsv1beta1.ServiceImport) *metav1.Condition {
	t.Helper()
	c := meta.FindStatusCondition(got.Status.Conditions, "Ready")
	if c == nil || c.ObservedGeneration != got.Generation {
		t.Fatalf("condition Ready is %+v, generation %d", c, got.Generation)
	}
	return c
}

func TestFamilies(t *testing.T) {
	e, r, _ := newEnv(t, "families")
	west(t, e)
	v4, v6 := corev1.IPv4Protocol, corev1.IPv6Protocol
	publish(t, e, "families", "dual", v6, v4)
	publish(t, e, "families", "six", v6)
	publish(t, e, "families", "four", v4)
	type cidrs = []v1alpha1.CIDR
	four, six := cidrs{"10.2.0.0/16"}, cidrs{"fd00:2::/56"}
	for _, test := range []struct {
		name, service string
		own, blocks   []v1alpha1.CIDR
		families      []corev1.IPFamily
		ips           int
		reason        string
		message       string
	}{
		{"both, in the import's order", "dual", append(four, six...), cidrs{"244.0.0.0/16", "fd00:244::/112"}, []corev1.IPFamily{v6, v4}, 2, "Ready", "imported"},
		{"both by default", "dual", append(four, six...), cidrs{"244.0.0.0/16"}, []corev1.IPFamily{v6, v4}, 2, "Ready", "imported"},
		{"IPv4 alone", "dual", four, cidrs{"244.0.0.0/16"}, []corev1.IPFamily{v4}, 1, "Ready", "IPv6"},
		{"IPv6 alone", "dual", six, cidrs{"244.0.0.0/16"}, []corev1.IPFamily{v6}, 1, "Ready", "IPv4"},
		{"none, in a cluster with IPv4", "six", four, cidrs{"244.0.0.0/16"}, []corev1.IPFamily{v6}, 0, "IPFamilyNotSupported", "IPv6"},
		{"none, in a cluster with IPv6", "four", six, cidrs{"244.0.0.0/16"}, []corev1.IPFamily{v4}, 0, "IPFamilyNotSupported", "IPv4"},
		{"none, by the ClusterSet", "four", append(four, six...), cidrs{"fd00:244::/112"}, []corev1.IPFamily{v4}, 0, "IPFamilyNotSupported", "IPv4"},
		{"one again", "six", append(four, six...), cidrs{"fd00:244::/112"}, []corev1.IPFamily{v6}, 1, "Ready", "imported"},
	} {
		t.Run(test.name, func(t *testing.T) {
			vipBlocks(t, e, test.blocks...)
			ownCIDRs(t, e, test.own...)
			steps(t, e, r, "families", test.service)
			got := get(t, e, "families", test.service)
			var of []corev1.IPFamily
			for _, ip := range got.Spec.IPs {
				of = append(of, map[bool]corev1.IPFamily{true: v4, false: v6}[netip.MustParseAddr(ip).Is4()])
			}
			if diff := cmp.Diff(test.families, got.Spec.IPFamilies); diff != "" || len(of) != test.ips || (test.ips > 0 && !slices.Equal(of, test.families)) {
				t.Errorf("IPs %v, families (-want +got):\n%s", got.Spec.IPs, diff)
			}
			c := ready(t, got)
			if c.Reason != test.reason || !strings.Contains(c.Message, test.message) || (c.Status == metav1.ConditionTrue) != (test.reason == "Ready") {
				t.Errorf("Ready is %s, %s: %s", c.Status, c.Reason, c.Message)
			}
		})
	}
}

func TestTypeChange(t *testing.T) {
	e, r, _ := newEnv(t, "types")
	west(t, e)
	export := publish(t, e, "types", "web")
	steps(t, e, r, "types", "web")
	before := get(t, e, "types", "web")
	for range 2 {
		export.Spec.Type = mcsv1beta1.Headless
		editExport(t, e, export)
		steps(t, e, r, "types", "web")
		if got := get(t, e, "types", "web"); got.Spec.Type != mcsv1beta1.Headless || len(got.Spec.IPs) != 0 || len(got.Spec.IPFamilies) != 1 || ready(t, got).Status != metav1.ConditionTrue {
			t.Fatalf("as Headless: %+v", got)
		}
		export.Spec.Type = mcsv1beta1.ClusterSetIP
		editExport(t, e, export)
		steps(t, e, r, "types", "web")
		if got := get(t, e, "types", "web"); got.UID != before.UID || !slices.Equal(got.Spec.IPs, before.Spec.IPs) || ready(t, got).Status != metav1.ConditionTrue {
			t.Fatalf("as ClusterSetIP again: %+v, want IPs %v", got, before.Spec.IPs)
		}
	}
}

// A block of two addresses for three Services.
func TestFullBlock(t *testing.T) {
	e, r, _ := newEnv(t, "full")
	west(t, e)
	vipBlocks(t, e, "244.9.9.0/30")
	exports := map[string]*v1alpha1.ExportedService{}
	for _, name := range []string{"one", "two", "three"} {
		exports[name] = publish(t, e, "full", name)
		steps(t, e, r, "full", name)
	}
	got := get(t, e, "full", "three")
	c := ready(t, got)
	if len(got.Spec.IPs) != 0 || len(got.Spec.IPFamilies) != 1 || c.Status != metav1.ConditionFalse || c.Reason != "Pending" {
		t.Fatalf("spec %+v, Ready %+v", got.Spec, c)
	}
	for _, want := range []string{"244.9.9.0/30", "full/three", "vipCIDRs"} {
		if !strings.Contains(c.Message, want) {
			t.Errorf("the message does not say %s: %s", want, c.Message)
		}
	}
	if result := e.Step(t, r, "full", "three"); result.RequeueAfter == 0 || result.RequeueAfter > 10*time.Second {
		t.Errorf("it is looked at again after %v", result.RequeueAfter)
	}
	if again := get(t, e, "full", "three"); again.ResourceVersion != got.ResourceVersion {
		t.Error("what waits for room is written again and again")
	}

	free := get(t, e, "full", "one").Spec.IPs[0]
	if err := e.Hub.Delete(t.Context(), exports["one"]); err != nil {
		t.Fatal(err)
	}
	e.Hub.Heartbeat(t, "west", exports["two"].Name, exports["three"].Name)
	steps(t, e, r, "full", "one")
	steps(t, e, r, "full", "three")
	got = get(t, e, "full", "three")
	if get(t, e, "full", "one") != nil || !slices.Equal(got.Spec.IPs, []string{free}) || ready(t, got).Status != metav1.ConditionTrue {
		t.Errorf("with room again: %+v, want IP %s", got, free)
	}
}

// A cluster that exports without end leaves others the addresses that are kept for them, and it is told
// what it lacks.
func TestFloodOfVIPs(t *testing.T) {
	e, r, _ := newEnv(t, "flooded")
	noted := counted{}
	r.Skipped = noted
	west(t, e)
	vipBlocks(t, e, "244.9.5.0/28") // 14 addresses: 3 are kept for each of the two
	for i := range 14 {
		publish(t, e, "flooded", fmt.Sprintf("flood-%02d", i))
		steps(t, e, r, "flooded", fmt.Sprintf("flood-%02d", i))
	}
	last := get(t, e, "flooded", "flood-13")
	if c := ready(t, last); len(last.Spec.IPs) != 0 || c.Reason != "Pending" || !strings.Contains(c.Message, "share of 244.9.5.0/28") {
		t.Errorf("the last has %v, Ready is %+v", last.Spec.IPs, c)
	}
	if len(noted["west"]) != 3 {
		t.Errorf("noted %v, want three Services", noted["west"])
	}
	for i := range 3 {
		name := fmt.Sprintf("honest-%d", i)
		e.Hub.Publish(t, members.Own, "flooded", name)
		steps(t, e, r, "flooded", name)
		if got := get(t, e, "flooded", name); got == nil || len(got.Spec.IPs) != 1 {
			t.Errorf("%s has no address: %+v", name, got)
		}
	}
	again := &serviceimport.Reconciler{Client: e.Own.GetClient(), Hub: e.Conn, Events: r.Events, Skipped: counted{}, Namespace: v1alpha1.DefaultNamespace}
	steps(t, e, again, "flooded", "flood-13")
	if got := get(t, e, "flooded", "flood-13"); len(got.Spec.IPs) != 0 {
		t.Errorf("an operator that starts gives it %v", got.Spec.IPs)
	}
	vipBlocks(t, e, "244.9.4.0/24")
	steps(t, e, r, "flooded", "flood-13")
	if got := get(t, e, "flooded", "flood-13"); len(got.Spec.IPs) != 1 || len(noted["west"]) != 2 {
		t.Errorf("with a larger block it has %v, noted %v", got.Spec.IPs, noted["west"])
	}
}

// counted are the ServiceImports of which something was noted, by cluster.
type counted map[v1alpha1.ClusterID]map[string]bool

func (c counted) Note(cluster v1alpha1.ClusterID, object string, skipped ...screen.Skipped) {
	if c[cluster] == nil {
		c[cluster] = map[string]bool{}
	}
	if delete(c[cluster], object); len(skipped) > 0 {
		c[cluster][object] = true
	}
}

// colliding returns names of Services whose first candidates in the block are the same address,
// sorted.
func colliding(block, namespace string, count int) []string {
	prefix, byAddr := netip.MustParsePrefix(block), map[netip.Addr][]string{}
	for i := 0; ; i++ {
		name := fmt.Sprintf("web-%d", i)
		addr := clusterset.VIPCandidate(prefix, namespace, name, 0)
		byAddr[addr] = append(byAddr[addr], name)
		if len(byAddr[addr]) == count {
			slices.Sort(byAddr[addr])
			return byAddr[addr]
		}
	}
}

// An operator that starts anew gives every import the address that it had, whoever got his by a
// collision.
func TestVIPsOutliveTheOperator(t *testing.T) {
	e, r, reported := newEnv(t, "restart")
	west(t, e)
	vipBlocks(t, e, "244.9.8.0/24")
	names := colliding("244.9.8.0/24", "restart", 3)
	slices.Reverse(names)
	before := map[string]string{}
	for _, name := range names {
		publish(t, e, "restart", name)
		steps(t, e, r, "restart", name)
		before[name] = get(t, e, "restart", name).Spec.IPs[0]
	}
	again := &serviceimport.Reconciler{Client: e.Own.GetClient(), Hub: e.Conn, Events: reported, Skipped: notes{}, Namespace: v1alpha1.DefaultNamespace}
	slices.Reverse(names)
	versions := map[string]string{}
	for _, name := range names {
		versions[name] = get(t, e, "restart", name).ResourceVersion
		steps(t, e, again, "restart", name)
		if got := get(t, e, "restart", name); got.Spec.IPs[0] != before[name] || got.ResourceVersion != versions[name] {
			t.Errorf("%s had %s and has %v, version %s and %s", name, before[name], got.Spec.IPs, versions[name], got.ResourceVersion)
		}
	}
}

// blind is a client whose cache has not heard of any ServiceImport's address yet.
type blind struct{ client.Client }

func (b blind) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, imports := list.(*mcsv1beta1.ServiceImportList); imports {
		return nil
	}
	return b.Client.List(ctx, list, options...)
}

// Two operators that run at once may give out one address twice: the lower name keeps it, whichever
// operator looks, and none undoes what the other did.
func TestTwoOperators(t *testing.T) {
	e, first, reported := newEnv(t, "two")
	west(t, e)
	vipBlocks(t, e, "244.9.7.0/24")
	names := colliding("244.9.7.0/24", "two", 2)
	low, high := names[0], names[1]
	for _, name := range names {
		publish(t, e, "two", name)
	}
	steps(t, e, first, "two", high)
	unaware := &serviceimport.Reconciler{Client: blind{e.Own.GetClient()}, Hub: e.Conn, Events: reported, Skipped: notes{}, Namespace: v1alpha1.DefaultNamespace}
	steps(t, e, unaware, "two", low)
	shared := get(t, e, "two", high).Spec.IPs[0]
	if got := get(t, e, "two", low).Spec.IPs[0]; got != shared {
		t.Fatalf("the addresses are %s and %s: there is nothing to settle", got, shared)
	}

	second := &serviceimport.Reconciler{Client: e.Own.GetClient(), Hub: e.Conn, Events: reported, Skipped: notes{}, Namespace: v1alpha1.DefaultNamespace}
	for range 2 {
		for _, r := range []*serviceimport.Reconciler{first, second} {
			steps(t, e, r, "two", high)
			steps(t, e, r, "two", low)
		}
	}
	settled := get(t, e, "two", high)
	if got := get(t, e, "two", low); got.Spec.IPs[0] != shared || settled.Spec.IPs[0] == shared {
		t.Fatalf("%s has %v and %s has %v, want only the first to keep %s", low, got.Spec.IPs, high, settled.Spec.IPs, shared)
	}
	for _, r := range []*serviceimport.Reconciler{second, first} {
		steps(t, e, r, "two", high)
	}
	if got := get(t, e, "two", high); got.ResourceVersion != settled.ResourceVersion {
		t.Errorf("the two operators go on writing: %v, then %v", settled.Spec.IPs, got.Spec.IPs)
	}
}

func TestVIPsAreUniqueAtOnce(t *testing.T) {
	e, r, _ := newEnv(t, "crowd")
	west(t, e)
	vipBlocks(t, e, "244.9.6.0/26")
	const count = 47 // all that west may have of 62: 15 are kept for this cluster
	for i := range count {
		publish(t, e, "crowd", fmt.Sprintf("web-%d", i))
	}
	e.Settle(t)
	var running sync.WaitGroup
	for i := range count {
		running.Go(func() {
			key := client.ObjectKey{Namespace: "crowd", Name: fmt.Sprintf("web-%d", i)}
			if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: key}); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	holder := map[string]string{}
	for i := range count {
		got := get(t, e, "crowd", fmt.Sprintf("web-%d", i))
		if got == nil || len(got.Spec.IPs) != 1 || holder[got.Spec.IPs[0]] != "" {
			t.Fatalf("%+v has no address, or that of %s", got, holder[got.Spec.IPs[0]])
		}
		holder[got.Spec.IPs[0]] = got.Name
	}
}
