//go:build integration

package serviceimport_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

func label(t *testing.T, e *members.Env, name string, labels map[string]string) {
	t.Helper()
	namespace := &corev1.Namespace{}
	if err := e.Get(t.Context(), client.ObjectKey{Name: name}, namespace); err != nil {
		t.Fatal(err)
	}
	namespace.Labels = labels
	if err := e.Update(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
}

// Which namespaces import is this cluster's admin's decision, which takes effect on what is
// imported already.
func TestImportNamespaces(t *testing.T) {
	e, r, reported := newEnv(t, "policy")
	west(t, e)
	publish(t, e, "policy", "web")
	steps(t, e, r, "policy", "web")
	before := get(t, e, "policy", "web")

	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"import": "yes"}}
	editSet(t, e, func(set *v1alpha1.ClusterSet) { set.Spec.ImportNamespaces = selector })
	for range 3 {
		e.Step(t, r, "policy", "web")
	}
	if got := get(t, e, "policy", "web"); got != nil {
		t.Errorf("a namespace that is not selected has %+v", got)
	}
	if !slices.Equal(reported.reasons, []string{"NamespaceNotSelected"}) {
		t.Errorf("reported %v, want one NamespaceNotSelected", reported.reasons)
	}
	label(t, e, "policy", selector.MatchLabels)
	steps(t, e, r, "policy", "web")
	if got := get(t, e, "policy", "web"); got == nil || !slices.Equal(got.Spec.IPs, before.Spec.IPs) {
		t.Errorf("selected again, there is %+v, want IPs %v", got, before.Spec.IPs)
	}
	label(t, e, "policy", nil)
	for range 3 {
		e.Step(t, r, "policy", "web")
	}
	if get(t, e, "policy", "web") != nil || len(reported.reasons) != 2 {
		t.Errorf("without its label it is imported, or not reported again: %v", reported.reasons)
	}
}

// A selector that makes no sense takes nothing away and adds nothing.
func TestInvalidImportNamespaces(t *testing.T) {
	e, r, reported := newEnv(t, "selector")
	west(t, e)
	publish(t, e, "selector", "old")
	publish(t, e, "selector", "new")
	steps(t, e, r, "selector", "old")
	editSet(t, e, func(set *v1alpha1.ClusterSet) {
		set.Spec.ImportNamespaces = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
	})
	for _, name := range []string{"old", "new", "old", "new"} {
		e.Step(t, r, "selector", name)
	}
	if get(t, e, "selector", "old") == nil || get(t, e, "selector", "new") != nil {
		t.Error("what was imported went, or something was added")
	}
	if !slices.Equal(reported.reasons, []string{"InvalidSelector"}) {
		t.Errorf("reported %v, want one InvalidSelector", reported.reasons)
	}
}

// A namespace that is going gets nothing, without errors; what was imported went with it, and its
// address is free.
func TestNamespaceGoes(t *testing.T) {
	e, r, _ := newEnv(t, "going")
	west(t, e)
	vipBlocks(t, e, "244.9.4.0/31")
	publish(t, e, "going", "web")
	publish(t, e, "going", "api")
	steps(t, e, r, "going", "web")
	steps(t, e, r, "going", "api")
	if err := e.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "going"}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web", "api"} { // as the namespace's controller does
		if err := e.Delete(t.Context(), get(t, e, "going", name)); err != nil {
			t.Fatal(err)
		}
		steps(t, e, r, "going", name)
		if got := get(t, e, "going", name); got != nil {
			t.Errorf("made again in a namespace that is going: %+v", got)
		}
	}
	e.MakeNamespace(t, "coming", nil)
	for _, name := range []string{"web", "api"} {
		publish(t, e, "coming", name)
		steps(t, e, r, "coming", name)
		if got := get(t, e, "coming", name); got == nil || len(got.Spec.IPs) != 1 {
			t.Errorf("its addresses are not free: %+v", got)
		}
	}
}
