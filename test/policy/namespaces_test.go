//go:build integration

package policy

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

const (
	notListed = "may export only from shop, team-*"
	isSystem  = "is from the system namespace"
)

// hubExport is a Service that the cluster publishes.
func hubExport(cluster v1alpha1.ClusterID, namespace, name string) *v1alpha1.ExportedService {
	return exportedService(func(e *v1alpha1.ExportedService) {
		e.ObjectMeta = hubMeta(hub, clusterset.HubName(cluster, namespace, name), string(cluster))
		e.Spec.Namespace, e.Spec.Name = namespace, name
	}).(*v1alpha1.ExportedService)
}

// list sets the namespaces of the cluster's Member.
func list(t *testing.T, cluster string, namespaces ...v1alpha1.NamespacePattern) {
	t.Helper()
	m := &v1alpha1.Member{}
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: hub, Name: cluster}, m); err != nil {
		t.Fatal(err)
	}
	m.Spec.Namespaces = namespaces
	if err := admin.Update(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func TestMemberExportsFromItsNamespaces(t *testing.T) {
	east := addMember(t, hub, "east")
	addCIDRs(t, "east", 1, "10.1.0.0/16")
	addCIDRs(t, "west", 2, "10.2.0.0/16")
	list(t, "west", "*")
	for _, tc := range []struct {
		namespace string
		listed    string // what is said while the Member lists shop and team-*
		unlisted  string // what is said while it lists none
	}{
		{"shop", "", ""}, {"team-a", "", ""},
		{"team", notListed, ""}, {"shop2", notListed, ""},
		{"default", notListed, isSystem}, {"kube-system", notListed, isSystem}, {"tombolo-system", notListed, isSystem},
	} {
		t.Run(tc.namespace, func(t *testing.T) {
			slice := hubSlice("east", "IPv4", "10.1.0.7")
			slice.Labels[v1alpha1.LabelNamespace] = tc.namespace
			list(t, "east")
			eventuallySays(t, east, hubExport("east", tc.namespace, "web"), tc.unlisted)
			eventuallySays(t, east, slice, "")
			list(t, "east", "shop", "team-*")
			eventuallySays(t, east, hubExport("east", tc.namespace, "web"), tc.listed)
			eventuallySays(t, east, slice, tc.listed)
		})
	}
	t.Run("published before Members listed namespaces", func(t *testing.T) {
		old := hubExport("east", "default", "old")
		create(t, old)
		list(t, "east")
		eventuallySays(t, east, hubExport("east", "unlisted", "new"), "")
		old.Spec.Ports[0].Port = 81
		checkForbidden(t, east.Update(t.Context(), old.DeepCopy(), client.DryRunAll), "")
		moved := old.DeepCopy()
		moved.Spec.Namespace = "kube-system"
		checkForbidden(t, east.Update(t.Context(), moved, client.DryRunAll), isSystem)
		list(t, "east", "shop", "team-*")
		eventuallySays(t, east, hubExport("east", "default", "new"), notListed)
		checkForbidden(t, east.Update(t.Context(), old, client.DryRunAll), notListed)
		checkForbidden(t, east.Delete(t.Context(), old, client.DryRunAll), "")
	})
}
