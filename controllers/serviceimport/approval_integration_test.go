//go:build integration

package serviceimport_test

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// A member exports only from the namespaces that the clusterset's admin lists, whatever the hub
// admits: an importer takes nothing else, and what it has goes.
func TestNamespaceOfAnotherTeam(t *testing.T) {
	e, r, _ := newEnv(t, "theirs", "ours")
	member := west(t, e)
	publish(t, e, "theirs", "web")
	publish(t, e, "ours", "web")
	steps(t, e, r, "theirs", "web")
	steps(t, e, r, "ours", "web")
	if get(t, e, "theirs", "web") == nil || get(t, e, "ours", "web") == nil {
		t.Fatal("not imported, though the Member lists no namespaces")
	}
	member.Spec.Namespaces = []v1alpha1.NamespacePattern{"ours"}
	if err := e.Hub.Update(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	steps(t, e, r, "theirs", "web")
	steps(t, e, r, "ours", "web")
	if got := get(t, e, "theirs", "web"); got != nil {
		t.Errorf("imported from a namespace that is not listed: %+v", got)
	}
	if get(t, e, "ours", "web") == nil {
		t.Error("not imported from a namespace that is listed")
	}
}

// Services are imported into a system namespace only if an admin names it, and exported from one
// only if the clusterset's admin does. What is there already stays, and says how to keep it.
func TestSystemNamespace(t *testing.T) {
	e, r, reported := newEnv(t)
	member := west(t, e)
	publish(t, e, "default", "web")
	steps(t, e, r, "default", "web")
	if got := get(t, e, "default", "web"); got != nil {
		t.Fatalf("imported into namespace default, which nobody selected: %+v", got)
	}
	editSet(t, e, func(set *v1alpha1.ClusterSet) { set.Spec.ImportNamespaces = &metav1.LabelSelector{} })
	steps(t, e, r, "default", "web")
	if got := get(t, e, "default", "web"); got != nil {
		t.Fatalf("imported from namespace default, which the Member does not list: %+v", got)
	}
	member.Spec.Namespaces = []v1alpha1.NamespacePattern{"default"}
	if err := e.Hub.Update(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	editSet(t, e, func(set *v1alpha1.ClusterSet) { set.Spec.ImportNamespaces = nil })
	steps(t, e, r, "default", "web")
	if !slices.Equal(reported.reasons, []string{"SystemNamespaceNotSelected"}) {
		t.Errorf("reported %v", reported.reasons)
	}
	editSet(t, e, func(set *v1alpha1.ClusterSet) { set.Spec.ImportNamespaces = &metav1.LabelSelector{} })
	steps(t, e, r, "default", "web")
	if get(t, e, "default", "web") == nil {
		t.Fatal("not imported, though both admins say so")
	}

	// As after an upgrade from a version that asked nobody.
	editSet(t, e, func(set *v1alpha1.ClusterSet) { set.Spec.ImportNamespaces = nil })
	member.Spec.Namespaces = nil
	if err := e.Hub.Update(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	steps(t, e, r, "default", "web")
	got := get(t, e, "default", "web")
	if got == nil || !slices.Equal(clusterset.Exporters(got), []string{"west"}) {
		t.Fatalf("what was imported is now %+v", got)
	}
	for _, remedy := range []string{"would not come back: let ClusterSet.spec.importNamespaces select it",
		"would not come back: have the clusterset's admin list its namespace in spec.namespaces of Member west"} {
		if c := ready(t, got); !strings.Contains(c.Message, remedy) {
			t.Errorf("the condition does not say %q: %s", remedy, c.Message)
		}
	}
}
