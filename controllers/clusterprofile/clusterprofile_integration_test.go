//go:build integration

package clusterprofile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/clusterprofile"
	"github.com/tombolo-net/tombolo/test/harness/members"
	"github.com/tombolo-net/tombolo/test/harness/running"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

// crd is that of the Cluster Inventory API v0.1.2, as far as it matters.
func crd() *apiextensionsv1.CustomResourceDefinition {
	type schema = apiextensionsv1.JSONSchemaProps
	text := schema{Type: "string"}
	list := func(key string, item map[string]schema) schema {
		return schema{
			Type: "array", XListType: ptr.To("map"), XListMapKeys: []string{key},
			Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &schema{Type: "object", Properties: item, Required: []string{key}}},
		}
	}
	manager := schema{
		Type: "object", Required: []string{"name"}, Properties: map[string]schema{"name": text},
		XValidations: apiextensionsv1.ValidationRules{{Rule: "self == oldSelf", Message: "ClusterManager is immutable"}},
	}
	profile := schema{Type: "object", Required: []string{"spec"}, Properties: map[string]schema{
		"spec": {Type: "object", Required: []string{"clusterManager"}, Properties: map[string]schema{"displayName": text, "clusterManager": manager}},
		"status": {Type: "object", Properties: map[string]schema{
			"conditions": list("type", map[string]schema{
				"type": text, "status": text, "reason": text, "message": text, "lastTransitionTime": {Type: "string", Format: "date-time"},
			}),
			"properties":      list("name", map[string]schema{"name": text, "value": {Type: "string", MinLength: ptr.To[int64](1)}}),
			"accessProviders": list("name", map[string]schema{"name": text}),
		}},
	}}
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "clusterprofiles.multicluster.x-k8s.io",
			Annotations: map[string]string{"api-approved.kubernetes.io": "unapproved, a test"},
		},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "multicluster.x-k8s.io", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{
				Kind: "ClusterProfile", ListKind: "ClusterProfileList", Plural: "clusterprofiles", Singular: "clusterprofile",
			},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1alpha1", Served: true, Storage: true, Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &profile},
				Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
			}},
		},
	}
}

func profile(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ClusterProfile",
		"metadata": map[string]any{"namespace": v1alpha1.DefaultNamespace, "name": name},
	}}
}

// start runs the controller, as the operator, until the test ends.
func start(t *testing.T) *members.Env {
	t.Helper()
	return startWith(t, config.Controller{})
}

func startWith(t *testing.T, options config.Controller) *members.Env {
	t.Helper()
	c := clusters[members.HubName]
	c.Dump(t)
	e := members.NewEnv(t, c, c, nil)
	running.Controller(t, c, options, func(ctx context.Context, mgr ctrl.Manager) error {
		return (&clusterprofile.Reconciler{Client: mgr.GetClient(), Namespace: v1alpha1.DefaultNamespace}).SetUp(ctx, mgr)
	})
	return e
}

// install makes the CRD, and waits until it has gone when the test ends.
func install(t *testing.T, e *members.Env) {
	t.Helper()
	t.Cleanup(func() { members.Eventually(t, func() error { return gone(e, crd()) }) })
	e.Make(t, crd())
}

func gone(e *members.Env, obj client.Object) error {
	err := e.Get(context.Background(), client.ObjectKeyFromObject(obj), obj)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil
	}
	return fmt.Errorf("%T %s is still there (%v)", obj, obj.GetName(), err)
}

// eventually waits until the profile is as the check wants it, and returns it.
func eventually(t *testing.T, e *members.Env, name string, check func(*unstructured.Unstructured) error) *unstructured.Unstructured {
	t.Helper()
	p := profile(name)
	members.Eventually(t, func() error {
		if err := e.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		return check(p)
	})
	return p
}

// complete wants these properties and statuses of conditions.
func complete(properties, statuses map[string]string) func(*unstructured.Unstructured) error {
	return func(p *unstructured.Unstructured) error {
		got := [2]map[string]string{{}, {}}
		for i, list := range [...]struct{ field, key, value string }{{"properties", "name", "value"}, {"conditions", "type", "status"}} {
			all, _, err := unstructured.NestedSlice(p.Object, "status", list.field)
			if err != nil {
				return err
			}
			for _, one := range all {
				e := one.(map[string]any)
				got[i][e[list.key].(string)] = e[list.value].(string)
			}
		}
		if diff := cmp.Diff([2]map[string]string{properties, statuses}, got); diff != "" {
			return fmt.Errorf("properties and conditions of %s (-want +got):\n%s", p.GetName(), diff)
		}
		return nil
	}
}

// eventuallySays waits for the condition, "" for none, and returns the message.
func eventuallySays(t *testing.T, e *members.Env, reason string) (message string) {
	t.Helper()
	members.Eventually(t, func() error {
		set := &v1alpha1.ClusterSet{}
		if err := e.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
			return err
		}
		c := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.ConditionClusterProfiles)
		if c == nil {
			c = &metav1.Condition{}
		}
		message = c.Message
		if c.Reason != reason {
			return fmt.Errorf("ClusterProfiles is %+v, want %q", c, reason)
		}
		return nil
	})
	return message
}

// setReachable writes the conditions of a RemoteCluster.
func setReachable(t *testing.T, e *members.Env, remote *v1alpha1.RemoteCluster, status metav1.ConditionStatus) {
	t.Helper()
	for _, of := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionReachable, v1alpha1.ConditionContentAccepted} {
		meta.SetStatusCondition(&remote.Status.Conditions, metav1.Condition{Type: of, Status: status, Reason: "Test", Message: "a test"})
	}
	if err := e.Status().Update(t.Context(), remote); err != nil {
		t.Fatal(err)
	}
}

func TestProfiles(t *testing.T) {
	e := start(t)
	west := e.Remote(t, "west", 2, "10.2.0.0/16")
	install(t, e) // after the start: the CRD may come at any time
	ids := map[string]string{"cluster.clusterset.k8s.io": "west", "clusterset.k8s.io": members.SetID}
	p := eventually(t, e, "west", complete(ids, map[string]string{}))
	if p.GetLabels()["x-k8s.io/cluster-manager"] != "tombolo.dev" {
		t.Errorf("labels %v", p.GetLabels())
	}
	if name, _, _ := unstructured.NestedString(p.Object, "spec", "clusterManager", "name"); name != "tombolo.dev" {
		t.Errorf("the cluster manager is %q", name)
	}
	if owners := p.GetOwnerReferences(); len(owners) != 1 || owners[0].UID != west.UID {
		t.Errorf("the owners are %+v", owners)
	}
	if message := eventuallySays(t, e, "Configured"); message != "1 ClusterProfiles in namespace tombolo-system" {
		t.Errorf("message %q", message)
	}

	setReachable(t, e, west, metav1.ConditionTrue)
	eventually(t, e, "west", complete(ids, map[string]string{"Ready": "True", "Reachable": "True"}))
	setReachable(t, e, west, metav1.ConditionFalse)
	p = eventually(t, e, "west", complete(ids, map[string]string{"Ready": "False", "Reachable": "False"}))

	// What others add stays; what is ours is repaired.
	members.UpdateStatus(t, e, p, func() {
		_ = unstructured.SetNestedSlice(p.Object, []any{map[string]any{"name": "kubeconfig"}}, "status", "accessProviders")
		_ = unstructured.SetNestedSlice(p.Object, []any{map[string]any{"name": "clusterset.k8s.io", "value": "mistaken"}, map[string]any{"name": "cost", "value": "low"}}, "status", "properties")
	})
	more := map[string]string{"cluster.clusterset.k8s.io": "west", "clusterset.k8s.io": members.SetID, "cost": "low"}
	p = eventually(t, e, "west", complete(more, map[string]string{"Ready": "False", "Reachable": "False"}))
	if providers, _, _ := unstructured.NestedSlice(p.Object, "status", "accessProviders"); len(providers) != 1 {
		t.Errorf("the access provider is gone: %v", p.Object["status"])
	}

	// A change of something else writes nothing.
	before := p.GetResourceVersion()
	e.Remote(t, "north", 3, "10.3.0.0/16")
	eventually(t, e, "north", func(*unstructured.Unstructured) error { return nil })
	eventually(t, e, "west", func(p *unstructured.Unstructured) error {
		if p.GetResourceVersion() != before {
			return errors.New("written though nothing changed")
		}
		return nil
	})

	if err := e.Delete(t.Context(), west); err != nil {
		t.Fatal(err)
	}
	members.Eventually(t, func() error { return gone(e, profile("west")) })

	// The CRD goes, with all profiles, and comes back.
	if err := e.Delete(t.Context(), crd()); err != nil {
		t.Fatal(err)
	}
	members.Eventually(t, func() error { return gone(e, crd()) })
	eventuallySays(t, e, "")
	if err := e.Create(t.Context(), crd()); err != nil {
		t.Fatal(err)
	}
	eventually(t, e, "north", func(*unstructured.Unstructured) error { return nil })
	eventuallySays(t, e, "Configured")

	// Who leaves the clusterset has none.
	if err := e.Delete(t.Context(), &v1alpha1.ClusterSet{ObjectMeta: members.Meta("", v1alpha1.ClusterSetName)}); err != nil {
		t.Fatal(err)
	}
	members.Eventually(t, func() error { return gone(e, profile("north")) })
}

// Profiles of other cluster managers stay as they are.
func TestForeignProfiles(t *testing.T) {
	e := start(t)
	install(t, e)
	foreign := func(name string) *unstructured.Unstructured {
		p := profile(name)
		p.SetLabels(map[string]string{"x-k8s.io/cluster-manager": "tombolo.dev"}) // a label proves nothing
		p.Object["spec"] = map[string]any{"displayName": "theirs", "clusterManager": map[string]any{"name": "another"}}
		return p
	}
	members.Eventually(t, func() error { return client.IgnoreAlreadyExists(e.Create(t.Context(), foreign("west"))) })
	e.Make(t, foreign("elsewhere"))
	e.Remote(t, "west", 2, "10.2.0.0/16")
	if message := eventuallySays(t, e, "NotOurs"); !strings.Contains(message, "ClusterProfile west in namespace tombolo-system") {
		t.Errorf("message %q", message)
	}
	for _, name := range []string{"west", "elsewhere"} {
		eventually(t, e, name, func(p *unstructured.Unstructured) error {
			if shown, _, _ := unstructured.NestedString(p.Object, "spec", "displayName"); shown != "theirs" {
				return fmt.Errorf("%s is now %v", name, p.Object)
			}
			return nil
		})
	}
	if err := e.Delete(t.Context(), profile("west")); err != nil {
		t.Fatal(err)
	}
	eventuallySays(t, e, "Configured")
	eventually(t, e, "west", func(p *unstructured.Unstructured) error {
		if shown, _, _ := unstructured.NestedString(p.Object, "spec", "displayName"); shown != "west" {
			return fmt.Errorf("still %v", p.Object)
		}
		return nil
	})
}

// An operator whose role is still that of an older version runs, and has profiles once the role is
// there.
func TestOlderRole(t *testing.T) {
	e := clusters[members.HubName]
	role := &rbacv1.ClusterRole{}
	if err := e.Get(t.Context(), client.ObjectKey{Name: "tombolo-operator"}, role); err != nil {
		t.Fatal(err)
	}
	rules := role.Rules
	role.Rules = slices.DeleteFunc(slices.Clone(rules), func(r rbacv1.PolicyRule) bool {
		return slices.Contains(r.ResourceNames, "clusterprofiles.multicluster.x-k8s.io")
	})
	if len(role.Rules) == len(rules) {
		t.Fatal("the role has no rule about the CRD")
	}
	if err := e.Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	restore := func(ctx context.Context) error {
		role.Rules = rules
		return e.Update(ctx, role)
	}
	t.Cleanup(func() {
		if err := restore(context.Background()); err != nil {
			t.Errorf("restoring the role: %v", err)
		}
	})
	const patience = 5 * time.Second // after which a controller gives up that cannot read what it must read
	env := startWith(t, config.Controller{CacheSyncTimeout: patience})
	install(t, env)
	time.Sleep(2 * patience) // a controller that could not start would have ended the operator
	if err := restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventuallySays(t, env, "Configured")
}

// The operator may touch no profile in another namespace.
func TestRights(t *testing.T) {
	e := start(t)
	install(t, e)
	eventuallySays(t, e, "Configured")
	c, err := client.New(e.OperatorConfig(), client.Options{Scheme: e.Own.GetScheme()})
	if err != nil {
		t.Fatal(err)
	}
	other := profile("west")
	other.SetNamespace("default")
	other.Object["spec"] = map[string]any{"clusterManager": map[string]any{"name": "tombolo.dev"}}
	if err := c.Create(t.Context(), other); !apierrors.IsForbidden(err) {
		t.Errorf("creating a profile in another namespace: got %v, want Forbidden", err)
	}
}
