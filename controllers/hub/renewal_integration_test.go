//go:build integration

package hub_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/install"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

func tokenOf(t *testing.T, e *members.Env) string {
	t.Helper()
	s := &corev1.Secret{}
	if err := e.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultNamespace, Name: "tombolo-hub"}, s); err != nil {
		t.Fatal(err)
	}
	return string(s.Data["token"])
}

// waitOther waits until the Secret has another token, and returns that.
func waitOther(t *testing.T, e *members.Env, than string) string {
	t.Helper()
	members.Eventually(t, func() error {
		if tokenOf(t, e) == than {
			return errors.New("the token is not renewed")
		}
		return nil
	})
	return tokenOf(t, e)
}

// expiry is what the metric says, in s since 1970.
func expiry(t *testing.T, e *members.Env) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	if err := e.Conn.Register(registry); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "tombolo_operator_hub_token_expiry_timestamp_seconds" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("no metric of the token")
	return 0
}

// approve makes Member east with its account, and returns its join Secret.
func approve(t *testing.T, c *members.Cluster) *corev1.Secret {
	t.Helper()
	c.Approve(t, v1alpha1.DefaultHubNamespace, "east", v1alpha1.MemberSpec{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16"}})
	join := &corev1.Secret{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: "east.join"}, join); err != nil {
		t.Fatal(err)
	}
	return join
}

// With a join token a cluster gets a token of its own at once. Then the join token is worth nothing,
// and the connection is the first one.
func TestJoinToken(t *testing.T) {
	c := clusters[members.HubName]
	join := approve(t, c)
	access := c.Token(t, v1alpha1.DefaultHubNamespace, "east", install.JoinToken(join))
	gate := members.NewGate(t, c)
	var used atomic.Value // the last token that the hub was shown
	gate.Rule("token", func(_ members.Request, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			used.Store(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			next.ServeHTTP(w, r)
		})
	})
	c.JoinAt(t, "east", gate.URL(), gate.Access(access))
	e := members.NewUnconnected(t, c, nil)
	e.WaitStatus(t, v1alpha1.ReasonConnected)
	first := reader(t, e)
	own := waitOther(t, e, string(access["token"]))
	members.Eventually(t, func() error {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(join), join); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the join Secret is there: %w", err)
		}
		if used.Load() != own {
			return errors.New("the new token is not in use")
		}
		return nil
	})
	if reader(t, e) != first {
		t.Error("the new token made a new session")
	}
	if life := time.Until(time.Unix(int64(expiry(t, e)), 0)); life < 29*24*time.Hour || life > 30*24*time.Hour {
		t.Errorf("the token lives %v, want 30 days", life)
	}
	e.WaitStatus(t, v1alpha1.ReasonConnected)

	second := clusters[members.BareName].RESTConfig() // any way to ask the hub with that token
	second.Host, second.CAData, second.CertData, second.KeyData = c.RESTConfig().Host, c.CA(), nil, nil
	second.BearerToken = string(access["token"])
	asSecond, err := client.New(second, client.Options{Scheme: c.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	members.Eventually(t, func() error { // the API server remembers a valid token for 10 s
		if err := asSecond.List(t.Context(), &v1alpha1.MemberList{}, client.InNamespace(v1alpha1.DefaultHubNamespace)); !apierrors.IsUnauthorized(err) {
			return fmt.Errorf("the join token is still good: %w", err)
		}
		return nil
	})
}

// A token is renewed after two thirds of its life, over the connection that there is.
func TestTokenRenewed(t *testing.T) {
	c := clusters[members.HubName]
	var late atomic.Int64
	c.Join(t, "east", c, c.Approve(t, v1alpha1.DefaultHubNamespace, "east", v1alpha1.MemberSpec{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16"}}))
	e := members.NewUnconnectedAt(t, c, nil, func() time.Time { return time.Now().Add(time.Duration(late.Load())) })
	e.WaitStatus(t, v1alpha1.ReasonConnected)
	before, first := tokenOf(t, e), reader(t, e)
	late.Store(int64(30 * time.Minute)) // the token lives an hour
	time.Sleep(6 * time.Second)         // a step passes
	if tokenOf(t, e) != before {
		t.Error("the token was renewed after half its life")
	}
	late.Store(int64(45 * time.Minute))
	waitOther(t, e, before)
	e.WaitStatus(t, v1alpha1.ReasonConnected)
	if reader(t, e) != first {
		t.Error("the new token made a new session")
	}
}

// With a hub whose roles are older, or a token that never ends, the member stays connected and says
// what to do. Once the hub's admin has done it, the member moves over by itself.
func TestNeverEndingToken(t *testing.T) {
	c := clusters[members.HubName]
	approve(t, c)
	const account = "member-east"
	owner := &corev1.ServiceAccount{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: account}, owner); err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.Role{ObjectMeta: members.Meta(v1alpha1.DefaultHubNamespace, account+".token")}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(role), role); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: members.Meta(v1alpha1.DefaultHubNamespace, account), Type: corev1.SecretTypeServiceAccountToken}
	secret.Annotations = map[string]string{corev1.ServiceAccountNameKey: account, corev1.ServiceAccountUIDKey: string(owner.UID)}
	c.Make(t, secret)
	members.Eventually(t, func() error {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil || len(secret.Data["token"]) == 0 {
			return fmt.Errorf("no token yet: %w", err)
		}
		return nil
	})
	c.Join(t, "east", c, secret.Data)
	e := members.NewUnconnected(t, c, nil)
	contains(t, e.WaitStatus(t, v1alpha1.ReasonTokenNotRenewed), "never ends", "apply the hub's manifests", "docs/install.md", "for east")
	if view, err := e.Conn.View(); err != nil || !view.Authoritative || !e.Conn.Status().Connected() {
		t.Errorf("view %+v, %v: want a hub that is read and written", view, err)
	}
	role.ResourceVersion = ""
	c.Make(t, role)
	waitOther(t, e, string(secret.Data["token"]))
	e.WaitStatus(t, v1alpha1.ReasonConnected)
}

// The operator may not write the Secret, as with the roles of an older version: it takes no token from
// the hub that it cannot keep.
func TestTokenNotWritable(t *testing.T) {
	c := clusters[members.HubName]
	denyPatch(t, c)
	join := approve(t, c)
	gate := members.NewGate(t, c)
	c.JoinAt(t, "east", gate.URL(), gate.Access(c.Token(t, v1alpha1.DefaultHubNamespace, "east", install.JoinToken(join))))
	e := members.NewUnconnected(t, c, nil)
	contains(t, e.WaitStatus(t, v1alpha1.ReasonTokenNotRenewed), "its token ends 20", "tombolo-system/tombolo-hub", "apply install.yaml of this version")
	for _, w := range gate.Writes() {
		if w.Resource == "serviceaccounts/token" {
			t.Errorf("asked for a token: %v", w)
		}
	}
}

// denyPatch takes the operator's right to patch Secrets away, until the test ends.
func denyPatch(t *testing.T, c *members.Cluster) {
	t.Helper()
	role := &rbacv1.Role{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultNamespace, Name: "tombolo-operator"}, role); err != nil {
		t.Fatal(err)
	}
	good := role.DeepCopy()
	for i, rule := range role.Rules {
		if slices.Contains(rule.Resources, "secrets") {
			role.Rules[i].Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(verb string) bool { return verb == "patch" })
		}
	}
	if err := c.Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		good.ResourceVersion = ""
		if err := c.Update(context.WithoutCancel(t.Context()), good); err != nil {
			t.Error(err)
		}
	})
	members.Eventually(t, func() error {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "system:serviceaccount:" + v1alpha1.DefaultNamespace + ":tombolo-operator",
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: v1alpha1.DefaultNamespace, Verb: "patch", Resource: "secrets", Name: v1alpha1.HubSecret},
		}}
		if err := c.Create(t.Context(), review); err != nil {
			return err
		}
		if review.Status.Allowed {
			return errors.New("the operator may still patch the Secret")
		}
		return nil
	})
}
