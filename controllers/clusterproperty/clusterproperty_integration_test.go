//go:build integration

package clusterproperty_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

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
	"github.com/tombolo-net/tombolo/controllers/clusterproperty"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/test/harness/members"
	"github.com/tombolo-net/tombolo/test/harness/running"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

// crd is the About API's, as far as it matters.
func crd() *apiextensionsv1.CustomResourceDefinition {
	text := apiextensionsv1.JSONSchemaProps{Type: "string", MinLength: ptr.To[int64](1), MaxLength: ptr.To[int64](128000)}
	object := func(properties map[string]apiextensionsv1.JSONSchemaProps) apiextensionsv1.JSONSchemaProps {
		return apiextensionsv1.JSONSchemaProps{Type: "object", Properties: properties}
	}
	schema := object(map[string]apiextensionsv1.JSONSchemaProps{"spec": object(map[string]apiextensionsv1.JSONSchemaProps{"value": text})})
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "clusterproperties.about.k8s.io",
			Annotations: map[string]string{"api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/pull/3084"},
		},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "about.k8s.io", Scope: apiextensionsv1.ClusterScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{
				Kind: "ClusterProperty", ListKind: "ClusterPropertyList", Plural: "clusterproperties", Singular: "clusterproperty",
			},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1alpha1", Served: true, Storage: true, Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &schema},
			}},
		},
	}
}

func property(name, value string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "about.k8s.io/v1alpha1", "kind": "ClusterProperty",
		"metadata": map[string]any{"name": name}, "spec": map[string]any{"value": value},
	}}
}

// start runs the controller, as the operator, in a member of the hub until the test ends.
func start(t *testing.T) *members.Env {
	t.Helper()
	c := clusters[members.HubName]
	c.Dump(t)
	e := members.NewEnv(t, c, c, nil)
	running.Controller(t, c, config.Controller{}, func(ctx context.Context, mgr ctrl.Manager) error {
		h := hub.New(hub.Config{Local: mgr.GetCache(), Writer: mgr.GetClient(), Namespace: v1alpha1.DefaultNamespace, Scheme: mgr.GetScheme()})
		return errors.Join(mgr.Add(h), (&clusterproperty.Reconciler{Client: mgr.GetClient(), Hub: h}).SetUp(ctx, mgr))
	})
	return e
}

// install makes the CRD, and waits until it has gone when the test ends.
func install(t *testing.T, e *members.Env) {
	t.Helper()
	t.Cleanup(func() { members.Eventually(t, func() error { return stillThere(e, crd()) }) })
	e.Make(t, crd())
}

func stillThere(e *members.Env, obj client.Object) error {
	err := e.Get(context.Background(), client.ObjectKeyFromObject(obj), obj)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil
	}
	return fmt.Errorf("%T %s is still there (%v)", obj, obj.GetName(), err)
}

// eventually waits until the properties have those values, "" for one that is not there.
func eventually(t *testing.T, e *members.Env, cluster, set string) {
	t.Helper()
	members.Eventually(t, func() error {
		for _, tt := range []struct {
			name string
			want string
		}{{clusterproperty.ClusterIDName, cluster}, {clusterproperty.ClusterSetIDName, set}} {
			have := property(tt.name, "")
			err := e.Get(t.Context(), client.ObjectKey{Name: tt.name}, have)
			if client.IgnoreNotFound(err) != nil {
				return err
			}
			got, _, _ := unstructured.NestedString(have.Object, "spec", "value")
			if apierrors.IsNotFound(err) {
				got = ""
			}
			if got != tt.want {
				return fmt.Errorf("%s is %q, want %q", tt.name, got, tt.want)
			}
		}
		return nil
	})
}

// eventuallySays waits for the condition, "" for none, and returns the message.
func eventuallySays(t *testing.T, e *members.Env, reason string) (message string) {
	t.Helper()
	members.Eventually(t, func() error {
		set := &v1alpha1.ClusterSet{}
		if err := e.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
			return err
		}
		c := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.ConditionClusterProperties)
		if c == nil {
			c = &metav1.Condition{}
		}
		message = c.Message
		if c.Reason != reason {
			return fmt.Errorf("ClusterProperties is %+v, want %s", c, reason)
		}
		return nil
	})
	return message
}

func TestProperties(t *testing.T) {
	e := start(t)
	install(t, e) // after the start: the CRD may come at any time
	eventually(t, e, "east", "demo")
	if message := eventuallySays(t, e, "Configured"); !strings.Contains(message, `"east"`) || !strings.Contains(message, `"demo"`) {
		t.Errorf("message %q", message)
	}

	// Drift.
	have := property(clusterproperty.ClusterIDName, "")
	members.Update(t, e, have, func() { have.Object["spec"] = map[string]any{"value": "mistaken"} })
	if err := e.Delete(t.Context(), property(clusterproperty.ClusterSetIDName, "")); err != nil {
		t.Fatal(err)
	}
	eventually(t, e, "east", "demo")

	// The CRD goes, with all properties, and comes back.
	if err := e.Delete(t.Context(), crd()); err != nil {
		t.Fatal(err)
	}
	members.Eventually(t, func() error { return stillThere(e, crd()) })
	eventuallySays(t, e, "")
	if err := e.Create(t.Context(), crd()); err != nil {
		t.Fatal(err)
	}
	eventually(t, e, "east", "demo")
	eventuallySays(t, e, "Configured")

	// Who leaves the clusterset has none.
	if err := e.Delete(t.Context(), &v1alpha1.ClusterSet{ObjectMeta: members.Meta("", v1alpha1.ClusterSetName)}); err != nil {
		t.Fatal(err)
	}
	eventually(t, e, "", "")
}

func TestRemovedMember(t *testing.T) {
	e := start(t)
	install(t, e)
	eventually(t, e, "east", "demo")
	setRemoved := func(removed bool) {
		member := &v1alpha1.Member{}
		if err := e.Hub.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: "east"}, member); err != nil {
			t.Fatal(err)
		}
		member.Spec.Removed = removed
		if err := e.Hub.Update(t.Context(), member); err != nil {
			t.Fatal(err)
		}
	}
	setRemoved(true)
	eventually(t, e, "", "")
	eventuallySays(t, e, "Removed")
	setRemoved(false)
	eventually(t, e, "east", "demo")
	eventuallySays(t, e, "Configured")
}

// A Member that is merely absent may be a hub that was wiped.
func TestAbsentMemberKeepsProperties(t *testing.T) {
	e := start(t)
	install(t, e)
	eventually(t, e, "east", "demo")
	if err := e.Hub.Delete(t.Context(), &v1alpha1.Member{ObjectMeta: members.Meta(v1alpha1.DefaultHubNamespace, "east")}); err != nil {
		t.Fatal(err)
	}
	e.WaitStatus(t, v1alpha1.ReasonNotAMember)
	eventuallySays(t, e, "Configured")
	eventually(t, e, "east", "demo")
}

func TestForeignProperties(t *testing.T) {
	e := start(t)
	install(t, e)
	eventually(t, e, "east", "demo")
	if err := e.Delete(t.Context(), &v1alpha1.ClusterSet{ObjectMeta: members.Meta("", v1alpha1.ClusterSetName)}); err != nil {
		t.Fatal(err)
	}
	eventually(t, e, "", "")
	e.Make(t, property(clusterproperty.ClusterIDName, "another"))
	e.Make(t, property(clusterproperty.ClusterSetIDName, "demo"))
	e.Make(t, &v1alpha1.ClusterSet{
		ObjectMeta: members.Meta("", v1alpha1.ClusterSetName),
		Spec: v1alpha1.ClusterSetSpec{
			ClusterSetID: members.SetID, ClusterID: members.Own,
			Hub: v1alpha1.HubAccess{Server: e.Hub.RESTConfig().Host, SecretRef: v1alpha1.SecretReference{Name: "tombolo-hub"}},
		},
	})
	message := eventuallySays(t, e, "NotOurs")
	for _, want := range []string{clusterproperty.ClusterIDName, `"another"`, `"east"`} {
		if !strings.Contains(message, want) {
			t.Errorf("the message lacks %s: %s", want, message)
		}
	}
	if strings.Contains(message, `"demo"`) {
		t.Errorf("what has the right value is no fault: %s", message)
	}
	eventually(t, e, "another", "demo")
	if err := e.Delete(t.Context(), &v1alpha1.ClusterSet{ObjectMeta: members.Meta("", v1alpha1.ClusterSetName)}); err != nil {
		t.Fatal(err)
	}
	eventually(t, e, "another", "demo")
}

// The operator may touch no other property.
func TestRights(t *testing.T) {
	e := start(t)
	install(t, e)
	eventually(t, e, "east", "demo")
	c, err := client.New(e.OperatorConfig(), client.Options{Scheme: e.Own.GetScheme()})
	if err != nil {
		t.Fatal(err)
	}
	other := property("fingerprint.example.com", "x")
	apply := client.ApplyConfigurationFromUnstructured(other.DeepCopy())
	for _, tt := range []struct {
		what string
		err  error
	}{
		{"creating", c.Create(t.Context(), other.DeepCopy())},
		{"applying", c.Apply(t.Context(), apply, client.FieldOwner("test"))},
		{"listing CRDs", c.List(t.Context(), &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinitionList"}})},
	} {
		if !apierrors.IsForbidden(tt.err) {
			t.Errorf("%s: got %v, want Forbidden", tt.what, tt.err)
		}
	}
}
