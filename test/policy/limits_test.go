//go:build integration

package policy

import (
	"context"
	"net/http"
	"testing"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Members' requests queue in a level of their own, and what an admin asks does not.
func TestLimitsOfTheHub(t *testing.T) {
	if _, err := run("apply", "--dry-run=server", "--kustomize", configDir+"/hub-limits"); err != nil {
		t.Fatal(err)
	}
	// The quota stays out: nobody counts objects here, and without a count the API server refuses all.
	if _, err := run("apply", "--filename", configDir+"/hub-limits/priority.yaml"); err != nil {
		t.Fatal(err)
	}
	schema, level := &flowcontrolv1.FlowSchema{}, &flowcontrolv1.PriorityLevelConfiguration{}
	schema.Name, level.Name = "tombolo-members", "tombolo-members"
	t.Cleanup(func() {
		for _, object := range []client.Object{schema, level} {
			if err := admin.Delete(context.Background(), object); client.IgnoreNotFound(err) != nil {
				t.Log(err)
			}
		}
	})
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(level), level); err != nil {
		t.Fatal(err)
	}
	addMember(t, hub, "queued")
	config := rest.CopyConfig(adminConfig)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + hub + ":member-queued",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + hub, "system:authenticated"}}
	if err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		return levelOf(t, config) == string(level.UID), nil
	}); err != nil {
		t.Errorf("a member's request has the priority level %s, want %s", levelOf(t, config), level.UID)
	}
	if levelOf(t, adminConfig) == string(level.UID) {
		t.Error("an admin's request has the level of members")
	}
}

// levelOf is the UID of the priority level of a request.
func levelOf(t *testing.T, config *rest.Config) string {
	t.Helper()
	c, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+"/apis/clusterset.tombolo.dev/v1alpha1/namespaces/"+hub+"/members", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.Header.Get("X-Kubernetes-PF-PriorityLevel-UID")
}
