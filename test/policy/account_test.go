//go:build integration

package policy

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// asAccount returns a client with a token of the ServiceAccount, as its TokenRequest gives it:
// bound to the pod, and so to the pod's node, if there is one.
func asAccount(t *testing.T, namespace, name string, pod *corev1.Pod) client.Client {
	t.Helper()
	c, err := client.New(configOf(t, namespace, name, pod), client.Options{Scheme: newScheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// configOf is how that client reaches the API server.
func configOf(t *testing.T, namespace, name string, pod *corev1.Pod) *rest.Config {
	t.Helper()
	request := &authenticationv1.TokenRequest{}
	if pod != nil {
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{
			APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID,
		}
	}
	request, err := kubernetes.NewForConfigOrDie(adminConfig).CoreV1().ServiceAccounts(namespace).
		CreateToken(t.Context(), name, request, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("requesting a token of %s/%s: %v", namespace, name, err)
	}
	config := rest.AnonymousClientConfig(adminConfig)
	config.BearerToken = request.Status.Token
	config.QPS = -1
	return config
}

// create creates the objects as the admin and deletes them when the test ends.
func create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := admin.Create(t.Context(), object); err != nil {
			t.Fatalf("creating %s: %v", object.GetName(), err)
		}
		t.Cleanup(func() { remove(t, object) })
	}
}

// remove deletes the object as the admin, if it is there.
func remove(t *testing.T, object client.Object) {
	t.Helper()
	err := admin.Delete(cleanupContext(t), object, client.GracePeriodSeconds(0))
	if client.IgnoreNotFound(err) != nil {
		t.Errorf("deleting %s: %v", object.GetName(), err)
	}
}

// checkForbidden wants err to be nil if want is empty, else a Forbidden that holds want.
func checkForbidden(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("accepted; want it refused with %q", want)
	case want != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v\nwant it forbidden with %q", err, want)
	}
}

// eventuallySays is checkForbidden for a creation that is tried without effect, once the API
// server's policies know what was just changed.
func eventuallySays(t *testing.T, c client.Client, object client.Object, want string) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		err = c.Create(t.Context(), object.DeepCopyObject().(client.Object), client.DryRunAll)
		if want == "" && err == nil || want != "" && err != nil && strings.Contains(err.Error(), want) {
			return
		}
	}
	checkForbidden(t, err, want)
}

// mustJSON is the JSON of an object of Kubernetes.
func mustJSON(t *testing.T, object any) []byte {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
