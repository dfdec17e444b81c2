//go:build integration

package clusterset_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/clusterset"
	"github.com/tombolo-net/tombolo/controllers/internal/installation"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// events are those that were recorded.
type events struct{ all []string }

// Eventf implements events.EventRecorder.
func (e *events) Eventf(regarding, _ runtime.Object, kind, reason, _, note string, args ...any) {
	e.all = append(e.all, fmt.Sprintf("%s: %s %s %s", regarding.(client.Object).GetName(), kind, reason, fmt.Sprintf(note, args...)))
}

// look reconciles with an operator that has just started, and wants the condition Installed to have
// that reason, with these words in its message.
func look(t *testing.T, e *members.Env, r *clusterset.Reconciler, reason string, words ...string) {
	t.Helper()
	members.Eventually(t, func() error {
		var err error
		if r.Installation, err = installation.NewChecker(e.Own); err != nil {
			return err
		}
		e.Step(t, r, "", v1alpha1.ClusterSetName)
		conditions := get(t, e).Status.Conditions
		c := meta.FindStatusCondition(conditions, v1alpha1.ConditionInstalled)
		if c == nil || c.Reason != reason || (c.Status == metav1.ConditionTrue) != (reason == v1alpha1.ReasonInstalled) {
			return fmt.Errorf("the condition Installed is %+v, want %s with %q", c, reason, words)
		}
		for _, word := range words {
			if !strings.Contains(c.Message, word) {
				return fmt.Errorf("the message lacks %q: %s", word, c.Message)
			}
		}
		if ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); reason != v1alpha1.ReasonInstalled && ready.Reason != reason {
			return fmt.Errorf("the condition Ready is %+v, want %s", ready, reason)
		}
		return nil
	})
}

// spoil changes an object of the installation; the result restores it.
func spoil[T client.Object](t *testing.T, e *members.Env, object T, edit func(T)) (restore func()) {
	t.Helper()
	if err := e.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatal(err)
	}
	good := object.DeepCopyObject().(T)
	edit(object)
	patch := client.MergeFrom(good)
	if err := e.Patch(t.Context(), object, patch); err != nil {
		t.Fatal(err)
	}
	return func() {
		bad := object.DeepCopyObject().(T)
		good.SetResourceVersion("")
		bad.SetResourceVersion("")
		if err := e.Patch(t.Context(), good, client.MergeFrom(bad)); err != nil {
			t.Fatal(err)
		}
	}
}

// CRDs that an older version left behind, or that serve another version only, are told, and so is
// that they have been upgraded.
func TestOutdatedCRDs(t *testing.T) {
	e, r := newEnv(t)
	recorded := &events{}
	r.Events = recorded
	look(t, e, r, v1alpha1.ReasonInstalled)
	if len(recorded.all) > 0 {
		t.Errorf("events of a complete installation: %q", recorded.all)
	}
	for _, tt := range []struct {
		crd  string
		path []string // properties from the schema's root
		want string   // in the message
	}{
		{"clustersets.clusterset.tombolo.dev", []string{"spec", "dataplane", "failBackSeconds"}, "it lacks spec.dataplane.failBackSeconds"},
		{"clustersets.clusterset.tombolo.dev", []string{"spec", "gateway"}, "it lacks spec.gateway"},
		{"remoteclusters.clusterset.tombolo.dev", []string{"status", "links", "links", "lossPercent"}, "it lacks status.links[].links[].lossPercent"},
		{"serviceimports.multicluster.x-k8s.io", []string{"spec", "trafficDistribution"}, "it lacks spec.trafficDistribution"},
	} {
		crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: tt.crd}}
		restore := spoil(t, e, crd, func(crd *apiextensionsv1.CustomResourceDefinition) {
			for i := range crd.Spec.Versions {
				crd.Spec.Versions[i].Schema.OpenAPIV3Schema = without(t, crd.Spec.Versions[i].Schema.OpenAPIV3Schema, tt.path)
			}
		})
		look(t, e, r, v1alpha1.ReasonCRDsOutdated, "CustomResourceDefinition "+tt.crd, tt.want, "apply the manifests of this version")
		restore()
		look(t, e, r, v1alpha1.ReasonInstalled)
		if all := strings.Join(recorded.all, "\n"); !strings.HasPrefix(all, "default: Warning CRDsOutdated Installed is False: CustomResourceDefinition "+tt.crd) {
			t.Errorf("events of %s without %v: %q", tt.crd, tt.path, all)
		}
		recorded.all = nil
	}
}

// without is the schema without the property at the path, through the items of lists.
func without(t *testing.T, schema *apiextensionsv1.JSONSchemaProps, path []string) *apiextensionsv1.JSONSchemaProps {
	t.Helper()
	text, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	at := root
	for i, name := range path {
		if items, ok := at["items"].(map[string]any); ok {
			at = items
		}
		properties := at["properties"].(map[string]any)
		if i == len(path)-1 {
			delete(properties, name)
			break
		}
		at = properties[name].(map[string]any)
	}
	if text, err = json.Marshal(root); err != nil {
		t.Fatal(err)
	}
	changed := &apiextensionsv1.JSONSchemaProps{}
	if err := json.Unmarshal(text, changed); err != nil {
		t.Fatal(err)
	}
	return changed
}

// Admission policies that are missing, or that do not refuse, are told.
func TestPowerlessPolicies(t *testing.T) {
	e, r := newEnv(t)
	recorded := &events{}
	r.Events = recorded
	e.Make(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "to-try-on"}})
	look(t, e, r, v1alpha1.ReasonInstalled)
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
	binding := func(name string, edit func(*admissionv1.ValidatingAdmissionPolicyBinding)) func() {
		return spoil(t, e, &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: named(name)}, edit)
	}
	policy := func(name string, edit func(*admissionv1.ValidatingAdmissionPolicy)) func() {
		return spoil(t, e, &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: named(name)}, edit)
	}
	for _, tt := range []struct {
		name  string
		spoil func() (restore func())
		want  string
	}{
		{"a binding is missing", func() func() {
			return remove(t, e, &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: named("tombolo-gateway")})
		},
			"ValidatingAdmissionPolicyBinding tombolo-gateway is missing"},
		{"a policy is missing", func() func() {
			return remove(t, e, &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: named("tombolo-dataplane")})
		},
			"ValidatingAdmissionPolicy tombolo-dataplane is missing"},
		{"warns", func() func() {
			return binding("tombolo-gateway-lease", func(b *admissionv1.ValidatingAdmissionPolicyBinding) {
				b.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Warn}
			})
		}, "ValidatingAdmissionPolicyBinding tombolo-gateway-lease has validationActions [Warn] instead of [Deny]"},
		{"exempts", func() func() {
			return binding("tombolo-dataplane-events", func(b *admissionv1.ValidatingAdmissionPolicyBinding) {
				b.Spec.MatchResources = &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}}
			})
		}, "ValidatingAdmissionPolicyBinding tombolo-dataplane-events has matchResources"},
		{"ignores errors", func() func() {
			return policy("tombolo-gateway-links", func(p *admissionv1.ValidatingAdmissionPolicy) {
				ignore := admissionv1.Ignore
				p.Spec.FailurePolicy = &ignore
			})
		}, "ValidatingAdmissionPolicy tombolo-gateway-links has failurePolicy Ignore instead of Fail"},
		{"refuses nothing", func() func() {
			return policy("tombolo-operator", func(p *admissionv1.ValidatingAdmissionPolicy) {
				p.Spec.MatchConditions[0].Expression = "false"
			})
		}, "tombolo-operator is there and refuses nothing"},
	} {
		restore := tt.spoil()
		t.Log(tt.name)
		look(t, e, r, v1alpha1.ReasonPoliciesMissing, tt.want, "apply the manifests of this version")
		restore()
		look(t, e, r, v1alpha1.ReasonInstalled)
		if all := strings.Join(recorded.all, "\n"); !strings.HasPrefix(all, "default: Warning PoliciesMissing Installed is False: ") {
			t.Errorf("%s: events %q", tt.name, all)
		}
		recorded.all = nil
	}
}

// remove deletes an object of the installation; the result makes it again.
func remove(t *testing.T, e *members.Env, object client.Object) (restore func()) {
	t.Helper()
	if err := e.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatal(err)
	}
	if err := e.Delete(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	return func() {
		object.SetResourceVersion("")
		object.SetUID("")
		if err := e.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

// An operator that runs with the roles of an older version says so.
func TestOutdatedRoles(t *testing.T) {
	e, r := newEnv(t)
	restore := spoil(t, e, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "tombolo-operator"}}, func(role *rbacv1.ClusterRole) {
		for i := range role.Rules {
			if role.Rules[i].APIGroups[0] == admissionv1.GroupName {
				role.Rules[i].ResourceNames = []string{"others"}
			}
		}
	})
	look(t, e, r, v1alpha1.ReasonRolesOutdated, "ValidatingAdmissionPolicy", "the roles are of an older version")
	restore()
	look(t, e, r, v1alpha1.ReasonInstalled)
}
