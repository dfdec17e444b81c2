//go:build integration

package hub_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters, members.BareName)) }

// wantNot fails if the hub tells anything.
func wantNotConnected(t *testing.T, e *members.Env) {
	t.Helper()
	var notConnected *hub.NotConnectedError
	if _, err := e.Conn.View(); !errors.As(err, &notConnected) {
		t.Errorf("View returned %v, want a NotConnectedError", err)
	}
}

func contains(t *testing.T, message string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(message, part) {
			t.Errorf("the message lacks %q: %s", part, message)
		}
	}
}

// secret changes the Secret with the hub's access.
func secret(t *testing.T, e *members.Env, edit func(*corev1.Secret)) {
	t.Helper()
	s := &corev1.Secret{ObjectMeta: members.Meta(v1alpha1.DefaultNamespace, "tombolo-hub")}
	members.Update(t, e, s, func() { edit(s) })
}

func server(t *testing.T, e *members.Env, url string) {
	t.Helper()
	set := &v1alpha1.ClusterSet{ObjectMeta: members.Meta("", v1alpha1.ClusterSetName)}
	members.Update(t, e, set, func() { set.Spec.Hub.Server = url })
}

// through leads the member to its hub by a gate.
func through(t *testing.T, e *members.Env) *members.Gate {
	t.Helper()
	gate := members.NewGate(t, e.Hub)
	secret(t, e, func(s *corev1.Secret) { s.Data = gate.Access(s.Data) })
	server(t, e, gate.URL())
	return gate
}

func TestHubUnreachable(t *testing.T) {
	c := clusters[members.HubName]
	access := c.Approve(t, v1alpha1.DefaultHubNamespace, "east", v1alpha1.MemberSpec{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16"}})
	c.JoinAt(t, "east", "https://127.0.0.1:1", access)
	e := members.NewUnconnected(t, c, nil)
	message := e.WaitStatus(t, v1alpha1.ReasonUnreachable)
	contains(t, message, "https://127.0.0.1:1", "ClusterSet.spec.hub.server", "what is imported stays")
	wantNotConnected(t, e)
	server(t, e, c.RESTConfig().Host)
	e.WaitStatus(t, v1alpha1.ReasonConnected)
}

// TestRefusedWhileListing: a hub that begins to refuse us while the first listing goes on is lost.
// The status says so at once, and not when the listing is given up.
func TestRefusedWhileListing(t *testing.T) {
	c := clusters[members.HubName]
	access := c.Approve(t, v1alpha1.DefaultHubNamespace, "east", v1alpha1.MemberSpec{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16"}})
	gate := members.NewGate(t, c)
	refuse := members.Refuse(http.StatusTooManyRequests)
	var listing atomic.Bool
	gate.Rule("refuse", func(r members.Request, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if listing.Load() || (r.Verb == "list" || r.Verb == "watch") && q.URL.Query().Get("limit") != "1" {
				listing.Store(true)
				next = refuse(r, next)
			}
			next.ServeHTTP(w, q)
		})
	})
	c.JoinAt(t, "east", gate.URL(), gate.Access(access))
	e := members.NewUnconnected(t, c, nil)
	contains(t, e.WaitStatus(t, v1alpha1.ReasonUnreachable), gate.URL(), "cannot be reached", "what is imported stays")
	wantNotConnected(t, e)
	gate.Rule("refuse", nil)
	e.WaitStatus(t, v1alpha1.ReasonConnected)
}

func TestNoClusterSet(t *testing.T) {
	e := members.NewUnconnected(t, clusters[members.HubName], nil)
	members.Eventually(t, func() error {
		if message := e.Conn.Status().Message; !strings.Contains(message, "no ClusterSet default") {
			return errors.New(message)
		}
		return nil
	})
	wantNotConnected(t, e)
}

func TestWrongToken(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	var token []byte
	secret(t, e, func(s *corev1.Secret) { token, s.Data["token"] = s.Data["token"], []byte("wrong") })
	message := e.WaitStatus(t, v1alpha1.ReasonUnauthorized)
	contains(t, message, "member-east", "token", "what is imported stays")
	if strings.Contains(message, string(token)) {
		t.Error("the message holds the token")
	}
	if view, err := e.Conn.View(); err != nil || view.Authoritative {
		t.Errorf("view %+v, %v: want what was last seen, without authority", view, err)
	}
	secret(t, e, func(s *corev1.Secret) { s.Data["token"] = token })
	e.WaitStatus(t, v1alpha1.ReasonConnected)
}

func TestMissingSecretKey(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	var ca []byte
	secret(t, e, func(s *corev1.Secret) { ca = s.Data["ca.crt"]; delete(s.Data, "ca.crt") })
	contains(t, e.WaitStatus(t, v1alpha1.ReasonSecretNotFound), "tombolo-system/tombolo-hub", "ca.crt", "member-east")
	secret(t, e, func(s *corev1.Secret) { s.Data["ca.crt"] = []byte("no PEM") })
	contains(t, e.WaitStatus(t, v1alpha1.ReasonSecretNotFound), "ca.crt")
	secret(t, e, func(s *corev1.Secret) { s.Data["ca.crt"] = clusters[members.BareName].CA() })
	contains(t, e.WaitStatus(t, v1alpha1.ReasonUnreachable), "ca.crt", "does not match the certificate")
	secret(t, e, func(s *corev1.Secret) { s.Data["ca.crt"] = ca })
	e.WaitStatus(t, v1alpha1.ReasonConnected)
}

// The operator may read one Secret. A ClusterSet that names another one is told which.
func TestOtherSecret(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	name := func(name string) {
		t.Helper()
		set := &v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName}}
		patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"hub":{"secretRef":{"name":%q}}}}`, name))
		if err := e.Patch(t.Context(), set, patch); err != nil {
			t.Fatal(err)
		}
	}
	e.WaitStatus(t, v1alpha1.ReasonConnected)
	name("other")
	contains(t, e.WaitStatus(t, v1alpha1.ReasonSecretNotFound), "tombolo-system/other", "may read no Secret but tombolo-hub")
	name(v1alpha1.HubSecret)
	e.WaitStatus(t, v1alpha1.ReasonConnected)
}

func TestHubWithoutCRDs(t *testing.T) {
	c, bare := clusters[members.HubName], clusters[members.BareName]
	bare.MakeNamespace(t, v1alpha1.DefaultHubNamespace, map[string]string{v1alpha1.LabelClusterSet: members.SetID})
	bare.Make(t, &rbacv1.Role{
		ObjectMeta: members.Meta(v1alpha1.DefaultHubNamespace, "tombolo-member"),
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get"}}},
	})
	c.Join(t, "east", bare, bare.Identity(t, v1alpha1.DefaultHubNamespace, "east"))
	e := members.NewUnconnected(t, c, nil)
	contains(t, e.WaitStatus(t, v1alpha1.ReasonCRDsMissing), "Member", "kubectl apply -k config/hub")
	wantNotConnected(t, e)
}

func TestWithoutRole(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	binding := &rbacv1.RoleBinding{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: "member-east"}, binding); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	contains(t, e.WaitStatus(t, v1alpha1.ReasonUnauthorized), "member-east", "tombolo-member")
	binding.ResourceVersion = ""
	c.Make(t, binding)
	e.WaitStatus(t, v1alpha1.ReasonConnected)
}

func TestOtherClusterSetsHub(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	for _, tt := range []struct {
		id   string
		part string
	}{{"other", "belongs to clusterset other"}, {"", "lacks the label"}} {
		c.LabelHub(t, tt.id)
		contains(t, e.WaitStatus(t, v1alpha1.ReasonNotAuthoritative), tt.part, "what is imported stays")
		if view, err := e.Conn.View(); err != nil || view.Authoritative {
			t.Errorf("view %+v, %v: want what was last seen, without authority", view, err)
		}
		c.LabelHub(t, members.SetID)
		e.WaitStatus(t, v1alpha1.ReasonConnected)
	}
}

func TestMembership(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	member := &v1alpha1.Member{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: "east"}, member); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	contains(t, e.WaitStatus(t, v1alpha1.ReasonNotAMember), "tombolo-hub/east")
	wantNotConnected(t, e)
	member.ResourceVersion = ""
	member.Spec.Removed = true
	c.Make(t, member)
	e.WaitStatus(t, v1alpha1.ReasonRemoved)
	if view, err := e.Conn.View(); err != nil || !view.Removed || !view.Authoritative {
		t.Errorf("view %+v, %v: want Removed", view, err)
	}
}

// What the admin said holds while the hub is away: a cluster that is removed does not import again.
func TestRemovedWithoutHub(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	gate := through(t, e)
	member := &v1alpha1.Member{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: "east"}, member); err != nil {
		t.Fatal(err)
	}
	member.Spec.Removed = true
	if err := c.Update(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	members.Eventually(t, func() error {
		if status := e.Conn.Status(); status.Reason != v1alpha1.ReasonRemoved || !strings.Contains(status.Message, gate.URL()) {
			return errors.New(status.Message)
		}
		return nil
	})
	gate.Cut()
	e.WaitStatus(t, v1alpha1.ReasonUnreachable)
	if view, err := e.Conn.View(); err != nil || !view.Removed || view.Authoritative {
		t.Errorf("view %+v, %v: want Removed, without authority", view, err)
	}
}

// A hub may lose the kinds, and all objects with them, while members are connected.
func TestCRDsVanish(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := c.Get(t.Context(), client.ObjectKey{Name: "exportedservices.clusterset.tombolo.dev"}, crd); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	contains(t, e.WaitStatus(t, v1alpha1.ReasonCRDsMissing), "ExportedService", "kubectl apply -k config/hub")
	crd.ResourceVersion, crd.Status = "", apiextensionsv1.CustomResourceDefinitionStatus{}
	if err := c.Create(t.Context(), crd); err != nil { // it stays for the other tests
		t.Fatal(err)
	}
	e.WaitStatus(t, v1alpha1.ReasonConnected)
}

func TestOutage(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	gate := through(t, e)
	members.Eventually(t, func() error {
		if message := e.Conn.Status().Message; !strings.Contains(message, gate.URL()) {
			return errors.New(message)
		}
		return nil
	})
	e.Hub.Member(t, "west", 2, "10.2.0.0/16")
	e.Settle(t)

	gate.Cut()
	e.WaitStatus(t, v1alpha1.ReasonUnreachable)
	e.Hub.Member(t, "north", 3, "10.3.0.0/16")
	view, err := e.Conn.View()
	if err != nil || view.Authoritative {
		t.Fatalf("view %+v, %v: want what was last seen, without authority", view, err)
	}
	if west, err := view.Member(t.Context(), "west"); err != nil || west == nil {
		t.Errorf("what was seen before is lost: %v", err)
	}

	gate.Heal()
	e.WaitStatus(t, v1alpha1.ReasonConnected)
	e.Settle(t)
	view, err = e.Conn.View()
	if err != nil {
		t.Fatal(err)
	}
	if north, err := view.Member(t.Context(), "north"); err != nil || north == nil {
		t.Errorf("what came meanwhile is not seen: %v", err)
	}
}

// A hub that is too busy to answer, but sends what happens, keeps its connections and its sessions:
// to begin anew would make it busier. One that is silent is lost.
func TestBusyHub(t *testing.T) {
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	gate := through(t, e)
	members.Eventually(t, func() error {
		if message := e.Conn.Status().Message; !strings.Contains(message, gate.URL()) {
			return errors.New(message)
		}
		return nil
	})
	first := reader(t, e)
	unanswered := make(chan struct{}, 100)
	gate.Rule("busy", func(r members.Request, _ http.Handler) http.Handler {
		if r.Resource != "namespaces" {
			return nil
		}
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done() // who asks has given up
			unanswered <- struct{}{}
		})
	})
	west := e.Hub.Member(t, "west", 2, "10.2.0.0/16")
	for probes := 0; probes < 3; {
		select {
		case <-unanswered:
			probes++
		case <-time.After(300 * time.Millisecond):
			west.Labels = map[string]string{"now": strconv.FormatInt(time.Now().UnixNano(), 10)}
			if err := c.Update(t.Context(), west); err != nil {
				t.Fatal(err)
			}
		}
	}
	if status := e.Conn.Status(); !status.Connected() {
		t.Errorf("a busy hub counts as lost: %+v", status)
	}
	if reader(t, e) != first {
		t.Error("there is a new session with a busy hub")
	}
	e.WaitStatus(t, v1alpha1.ReasonUnreachable) // it is silent now
	gate.Rule("busy", nil)
	e.WaitStatus(t, v1alpha1.ReasonConnected)
}

// reader is of the session that there is now.
func reader(t *testing.T, e *members.Env) client.Reader {
	t.Helper()
	view, err := e.Conn.View()
	if err != nil {
		t.Fatal(err)
	}
	return view.Reader
}

// A connection that ends again and again leaves nobody behind: the hub answers all the time, so
// that nothing is reported, but a new session takes the place of watches that pause longer each
// time.
func TestConnectionsEnd(t *testing.T) {
	c := clusters[members.HubName]
	gate := members.NewGate(t, c)
	access := c.Approve(t, v1alpha1.DefaultHubNamespace, "east", v1alpha1.MemberSpec{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16"}})
	c.JoinAt(t, "east", gate.URL(), gate.Access(access))
	e := members.NewUnconnected(t, c, nil)
	e.WaitStatus(t, v1alpha1.ReasonConnected)
	first := reader(t, e)
	gate.EndConnections()
	last := time.Now()
	members.Eventually(t, func() error {
		if reader(t, e) != first {
			return nil
		}
		if time.Since(last) > 7*time.Second { // the last one has been seen: at a probe at the latest
			gate.EndConnections()
			last = time.Now()
		}
		return errors.New("the session is still the first one")
	})
	c.Member(t, "late", 9, "10.9.0.0/16")
	members.Eventually(t, func() error {
		return reader(t, e).Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: "late"}, &v1alpha1.Member{})
	})
}
