//go:build integration

package policy

import (
	"context"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/install"
)

const (
	hub      = v1alpha1.DefaultHubNamespace
	otherHub = "other-hub"
)

// What the admission policy and RBAC say.
const (
	notYours   = "may not change or delete it: a member writes only objects of its own"
	wrongLabel = "set the label to that"
	wrongName  = "a member names its objects on the hub after its cluster ID"
	noRight    = "cannot "
)

// addMember gives the cluster its account in a hub's namespace, and returns a client with its
// token.
func addMember(t *testing.T, namespace string, cluster v1alpha1.ClusterID) client.Client {
	t.Helper()
	// Nothing here deletes objects whose owner is gone, so that the Member need not be there.
	create(t, install.MemberAccount(&v1alpha1.Member{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: string(cluster), UID: "none",
	}})...)
	return asAccount(t, namespace, clusterset.MemberServiceAccount(cluster), nil)
}

// hubMeta is the metadata of an object on the hub that the cluster publishes.
func hubMeta(namespace, name, cluster string) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
	if cluster != "" {
		meta.Labels = map[string]string{v1alpha1.LabelSourceCluster: cluster}
	}
	return meta
}

// published are one object of each kind that members publish, under a name of its own, labelled
// with cluster; no label if it is empty.
func published(namespace, name, cluster string) map[string]client.Object {
	export := exportedService(func(e *v1alpha1.ExportedService) { e.ObjectMeta = hubMeta(namespace, name, cluster) })
	gateway := gatewayNode(func(g *v1alpha1.GatewayNode) { g.ObjectMeta = hubMeta(namespace, name, cluster) })
	slice := hubSlice("east", discoveryv1.AddressTypeIPv4, "10.1.0.7")
	slice.Namespace, slice.Name = namespace, name
	if slice.Labels[v1alpha1.LabelSourceCluster] = cluster; cluster == "" {
		delete(slice.Labels, v1alpha1.LabelSourceCluster)
	}
	return map[string]client.Object{
		"ExportedService": export,
		"GatewayNode":     gateway,
		"Lease":           &coordinationv1.Lease{ObjectMeta: hubMeta(namespace, name, cluster)},
		"EndpointSlice":   slice,
	}
}

func TestMemberCreates(t *testing.T) {
	east := addMember(t, hub, "east")
	for _, tc := range []struct{ name, object, label, want string }{
		{"its own", "east.a", "east", ""},
		{"labelled as another's", "east.b", "west", wrongLabel},
		{"named as another's", "west.b", "east", wrongName},
		{"all another's", "west.c", "west", wrongLabel},
		{"without label", "east.d", "", wrongLabel},
		{"without prefix", "a", "east", wrongName},
		{"prefix without dot", "east-a", "east", wrongName},
		{"of a cluster whose ID begins alike", "eastern.a", "eastern", wrongLabel},
	} {
		for kind, object := range published(hub, tc.object, tc.label) {
			t.Run(tc.name+"/"+kind, func(t *testing.T) {
				checkForbidden(t, east.Create(t.Context(), object, client.DryRunAll), tc.want)
			})
		}
	}
	t.Run("generated name", func(t *testing.T) {
		lease := &coordinationv1.Lease{ObjectMeta: hubMeta(hub, "", "east")}
		lease.GenerateName = "west.x-"
		checkForbidden(t, east.Create(t.Context(), lease, client.DryRunAll), wrongName)
	})
}

// A member whose cluster ID continues another's must not pass for it, nor the other way round.
func TestMemberOfSimilarName(t *testing.T) {
	east := addMember(t, hub, "east")
	eastern := addMember(t, hub, "east-ern")
	for kind, object := range published(hub, "east.a", "east") {
		t.Run(kind, func(t *testing.T) {
			checkForbidden(t, eastern.Create(t.Context(), object.DeepCopyObject().(client.Object), client.DryRunAll), wrongLabel)
			checkForbidden(t, east.Create(t.Context(), object, client.DryRunAll), "")
		})
	}
}

func TestMemberChanges(t *testing.T) {
	east := addMember(t, hub, "east")
	for kind := range published("", "", "") {
		mine := published(hub, "east.changes", "east")[kind]
		others := published(hub, "west.changes", "west")[kind]
		nobodys := published(hub, "east.nobodys", "")[kind]
		create(t, mine, others, nobodys)
		for _, tc := range []struct {
			name   string
			object client.Object
			patch  string
			want   string
		}{
			{"its own", mine, `{"metadata":{"annotations":{"a":"b"}}}`, ""},
			{"another's", others, `{"metadata":{"annotations":{"a":"b"}}}`, notYours},
			{"makes its own another's", mine, `{"metadata":{"labels":{"multicluster.kubernetes.io/source-cluster":"west"}}}`, wrongLabel},
			{"drops the label", mine, `{"metadata":{"labels":{"multicluster.kubernetes.io/source-cluster":null}}}`, wrongLabel},
			{"makes another's its own", others, `{"metadata":{"labels":{"multicluster.kubernetes.io/source-cluster":"east"}}}`, notYours},
			{"takes what is nobody's", nobodys, `{"metadata":{"labels":{"multicluster.kubernetes.io/source-cluster":"east"}}}`, notYours},
		} {
			t.Run(tc.name+"/"+kind, func(t *testing.T) {
				object := tc.object.DeepCopyObject().(client.Object)
				patch := merge(tc.patch)
				checkForbidden(t, east.Patch(t.Context(), object, patch, client.DryRunAll), tc.want)
			})
		}
	}
}

func TestMemberDeletes(t *testing.T) {
	east := addMember(t, hub, "east")
	for kind := range published("", "", "") {
		mine := published(hub, "east.deletes", "east")[kind]
		others := published(hub, "west.deletes", "west")[kind]
		nobodys := published(hub, "nobodys", "")[kind]
		create(t, mine, others, nobodys)
		t.Run(kind, func(t *testing.T) {
			checkForbidden(t, east.Delete(t.Context(), others), notYours)
			checkForbidden(t, east.Delete(t.Context(), nobodys), notYours)
			checkForbidden(t, east.DeleteAllOf(t.Context(), others, client.InNamespace(hub)), noRight)
			checkForbidden(t, east.Delete(t.Context(), mine), "")
		})
	}
}

// The status is a subresource, and a way around a rule that forgets it.
func TestMemberWritesStatus(t *testing.T) {
	east := addMember(t, hub, "east")
	mine := published(hub, "east.status", "east")["GatewayNode"]
	others := published(hub, "west.status", "west")["GatewayNode"]
	create(t, mine, others)
	for _, tc := range []struct {
		name   string
		object client.Object
		want   string
	}{
		{"its own", mine, ""},
		{"another's", others, notYours},
	} {
		t.Run(tc.name, func(t *testing.T) {
			patch := merge(`{"status":{"lane":7}}`)
			checkForbidden(t, east.Status().Patch(t.Context(), tc.object, patch), tc.want)
		})
	}
	relabel := merge(`{"metadata":{"labels":{"multicluster.kubernetes.io/source-cluster":"west"}}}`)
	if err := east.Status().Patch(t.Context(), mine, relabel); err == nil && mine.GetLabels()[v1alpha1.LabelSourceCluster] != "east" {
		t.Error("a member gave its object to another by way of the status")
	}
}

func TestMemberServerSideApply(t *testing.T) {
	east := addMember(t, hub, "east")
	apply := func(name, cluster string) error {
		lease := &coordinationv1.Lease{
			TypeMeta:   metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"},
			ObjectMeta: hubMeta(hub, name, cluster),
		}
		patch := client.RawPatch(types.ApplyPatchType, mustJSON(t, lease))
		return east.Patch(t.Context(), lease, patch, client.FieldOwner("test"), client.ForceOwnership, client.DryRunAll)
	}
	checkForbidden(t, apply("east.heartbeat", "east"), "")
	checkForbidden(t, apply("west.heartbeat", "west"), wrongLabel)
	checkForbidden(t, apply("west.heartbeat", "east"), wrongName)
}

func TestMemberReads(t *testing.T) {
	east := addMember(t, hub, "east")
	create(t, member(func(m *v1alpha1.Member) { m.Namespace = hub }))
	for _, list := range []client.ObjectList{
		&v1alpha1.MemberList{}, &v1alpha1.GatewayNodeList{}, &v1alpha1.ExportedServiceList{},
		&discoveryv1.EndpointSliceList{}, &coordinationv1.LeaseList{},
	} {
		if err := east.List(t.Context(), list, client.InNamespace(hub)); err != nil {
			t.Error(err)
		}
		if err := east.List(t.Context(), list, client.InNamespace(metav1.NamespaceDefault)); err == nil {
			t.Errorf("a member may list %T outside the hub", list)
		}
	}
	namespace := &corev1.Namespace{}
	if err := east.Get(t.Context(), types.NamespacedName{Name: hub}, namespace); err != nil {
		t.Errorf("reading the hub's label: %v", err)
	}
	if namespace.Labels[v1alpha1.LabelClusterSet] != "demo" {
		t.Errorf("labels of the hub: %v", namespace.Labels)
	}
	checkForbidden(t, east.List(t.Context(), &corev1.SecretList{}, client.InNamespace(hub)), noRight)
	checkForbidden(t, east.Get(t.Context(), types.NamespacedName{Name: metav1.NamespaceDefault}, namespace), noRight)
}

// Only the admin writes Members. The policies do not concern other namespaces, nor what does not
// belong to the clusterset.
func TestMemberKeepsOut(t *testing.T) {
	east := addMember(t, hub, "east")
	mine := member(func(m *v1alpha1.Member) { m.Namespace = hub })
	create(t, mine)
	ctx := t.Context()
	checkForbidden(t, east.Create(ctx, member(func(m *v1alpha1.Member) { m.Namespace, m.Name = hub, "east.x" })), noRight)
	checkForbidden(t, east.Delete(ctx, mine), noRight)
	widen := merge(`{"spec":{"cidrs":["0.0.0.0/0"]}}`)
	checkForbidden(t, east.Patch(ctx, mine, widen), noRight)
	checkForbidden(t, east.Status().Patch(ctx, mine, merge(`{"status":{}}`)), noRight)
	checkForbidden(t, east.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: hub}},
		merge(`{"metadata":{"labels":{"clusterset.tombolo.dev/clusterset":"x"}}}`)), noRight)
	checkForbidden(t, east.Create(ctx, &corev1.ConfigMap{ObjectMeta: hubMeta(hub, "east.a", "east")}), noRight)
	for _, object := range published(metav1.NamespaceDefault, "east.a", "east") {
		checkForbidden(t, east.Create(ctx, object), noRight)
	}
}

// One API server may be the hub of several clustersets; a member of one is a stranger in the other,
// also under the same cluster ID.
func TestMembersOfTwoHubs(t *testing.T) {
	role := &rbacv1.Role{}
	if err := admin.Get(t.Context(), types.NamespacedName{Namespace: hub, Name: "tombolo-member"}, role); err != nil {
		t.Fatal(err)
	}
	create(t,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: otherHub}},
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: otherHub, Name: role.Name}, Rules: role.Rules})
	here, there := addMember(t, hub, "east"), addMember(t, otherHub, "east")
	for kind, object := range published(otherHub, "east.a", "east") {
		checkForbidden(t, here.Create(t.Context(), object.DeepCopyObject().(client.Object), client.DryRunAll), noRight)
		checkForbidden(t, there.Create(t.Context(), object, client.DryRunAll), "")
		checkForbidden(t, there.Create(t.Context(), published(otherHub, "west.a", "west")[kind], client.DryRunAll), wrongLabel)
	}
}

// An account that merely looks like a member's, in a namespace that is not a hub, is not concerned;
// nor are the admin's.
func TestOthersAreNotConcerned(t *testing.T) {
	const namespace = metav1.NamespaceDefault
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "member-portal"}
	create(t,
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{coordinationv1.GroupName}, Resources: []string{"leases"}, Verbs: []string{"*"},
		}}},
		&rbacv1.RoleBinding{
			ObjectMeta: meta,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: meta.Name}},
		})
	portal := asAccount(t, namespace, meta.Name, nil)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "leader"}}
	checkForbidden(t, portal.Create(t.Context(), lease, client.DryRunAll), "")
	for _, object := range published(hub, "anything", "nobody") {
		checkForbidden(t, admin.Create(t.Context(), object, client.DryRunAll), "")
	}
}

// cleanupContext is the test's context as long as its clean-up runs.
func cleanupContext(t *testing.T) context.Context { return context.WithoutCancel(t.Context()) }
