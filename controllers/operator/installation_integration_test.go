//go:build integration

package operator_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/operator"
	"github.com/tombolo-net/tombolo/hack/testbin"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// startError is what an operator says that cannot start.
func startError(t *testing.T, config *rest.Config, namespace string) string {
	t.Helper()
	_, err := operator.New(t.Context(), operator.Config{
		Registry: prometheus.NewRegistry(), REST: config, Namespace: namespace, Logger: testr.New(t),
	})
	if err == nil {
		return ""
	}
	return err.Error()
}

// An operator without the CRDs of its version does not start, and says which one to install.
func TestStartWithoutCRD(t *testing.T) {
	north := clusters["north"]
	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "trafficpolicies.clusterset.tombolo.dev"}}
	if err := north.Get(t.Context(), client.ObjectKeyFromObject(crd), crd); err != nil {
		t.Fatal(err)
	}
	if err := north.Delete(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	want := func(text string) {
		t.Helper()
		members.Eventually(t, func() error {
			if told := startError(t, north.OperatorConfig(), v1alpha1.DefaultNamespace); told != text {
				return fmt.Errorf("the operator says %q, want %q", told, text)
			}
			return nil
		})
	}
	want("CustomResourceDefinition trafficpolicies.clusterset.tombolo.dev is missing or does not serve v1alpha1: " +
		"apply the manifests of this version, or upgrade the Helm release")
	crd.ResourceVersion, crd.UID, crd.Status = "", "", apiextensionsv1.CustomResourceDefinitionStatus{}
	members.Eventually(t, func() error { return north.Create(t.Context(), crd) }) // it is being deleted
	want("")
}

// The operator of a second installation, whose account the bindings do not name, does not start and
// says where to look.
func TestStartOfSecondInstallation(t *testing.T) {
	config := clusters["north"].RESTConfig()
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:second:tombolo-operator",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:second", "system:authenticated"},
	}
	told := startError(t, config, "second")
	for _, word := range []string{"the operator has no rights", "system:serviceaccount:second:tombolo-operator", "in another namespace", "kubectl get clusterrolebinding"} {
		if !strings.Contains(told, word) {
			t.Errorf("the operator says %q, which lacks %q", told, word)
		}
	}
}

// What is wrong with an installation shows in `kubectl describe clusterset`: in a condition and in an
// event.
func TestIncompleteInstallationShows(t *testing.T) {
	north := clusters["north"]
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "tombolo-gateway"}}
	actions := func(ctx context.Context, actions ...admissionv1.ValidationAction) {
		t.Helper()
		if err := north.Get(ctx, client.ObjectKeyFromObject(binding), binding); err != nil {
			t.Fatal(err)
		}
		binding.Spec.ValidationActions = actions
		if err := north.Update(ctx, binding); err != nil {
			t.Fatal(err)
		}
	}
	actions(t.Context(), admissionv1.Warn, admissionv1.Audit)
	t.Cleanup(func() { actions(context.Background(), admissionv1.Deny) })
	north.Join(t, "north", clusters[members.HubName], nil)
	start(t, north, "")
	bin, err := testbin.Dir()
	if err != nil {
		t.Fatal(err)
	}
	members.Eventually(t, func() error {
		out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "kubectl"), "--kubeconfig", north.Kubeconfig(), "describe", "clusterset", "default").CombinedOutput()
		if err != nil {
			return fmt.Errorf("kubectl: %w: %s", err, out)
		}
		const what = "ValidatingAdmissionPolicyBinding tombolo-gateway has validationActions [Warn Audit] instead of [Deny]"
		if n := strings.Count(string(out), what); n < 3 { // Installed, Ready, the event
			return fmt.Errorf("kubectl describe says %d times %q:\n%s", n, what, out)
		}
		if !strings.Contains(string(out), "SecretNotFound  ") {
			return fmt.Errorf("no event tells that the Secret has no keys:\n%s", out)
		}
		return nil
	})
}
