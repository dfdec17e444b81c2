//go:build integration

package policy

import (
	"context"
	"errors"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/install"
	"github.com/tombolo-net/tombolo/test/lab/controlplane"
)

// requestToken asks for a token of the ServiceAccount.
func requestToken(ctx context.Context, c client.Client, namespace, name string, life time.Duration) error {
	return c.SubResource("token").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}},
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(life / time.Second))}})
}

// A member renews its own token, and gets nobody else's: RBAC refuses that, without any policy.
func TestMemberRenewsItsOwnToken(t *testing.T) {
	east := addMember(t, hub, "east")
	addMember(t, hub, "west")
	const month = 30 * 24 * time.Hour
	checkForbidden(t, requestToken(t.Context(), east, hub, "member-east", month), "")
	checkForbidden(t, requestToken(t.Context(), east, hub, "member-east", month+time.Second), "at most 2592000 s")
	checkForbidden(t, requestToken(t.Context(), east, hub, "member-west", time.Hour), noRight)
	checkForbidden(t, requestToken(t.Context(), east, hub, "probe", time.Hour), noRight)
}

// Of the Secrets on the hub a member may delete the one that its join token is bound to, and read
// none.
func TestMemberEndsItsJoinToken(t *testing.T) {
	east := addMember(t, hub, "east")
	addMember(t, hub, "west")
	join := func(cluster v1alpha1.ClusterID) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: hub, Name: clusterset.JoinSecretName(cluster)}}
	}
	checkForbidden(t, east.Delete(t.Context(), join("west")), noRight)
	checkForbidden(t, east.Get(t.Context(), client.ObjectKeyFromObject(join("east")), join("east")), noRight)
	checkForbidden(t, east.Delete(t.Context(), join("east")), "")
}

// A removed member writes nothing on the hub and gets no token. It may delete what is its own.
func TestRemovedMember(t *testing.T) {
	east, west := addMember(t, hub, "east"), addMember(t, hub, "west")
	removed := member(func(m *v1alpha1.Member) { m.Namespace = hub })
	create(t, removed, member(func(m *v1alpha1.Member) { m.Namespace, m.Name, m.Spec.Index = hub, "west", 2 }))
	old := published(hub, "east.old", "east")
	for _, object := range old {
		create(t, object)
	}
	if err := admin.Patch(t.Context(), removed, merge(`{"spec":{"removed":true}}`)); err != nil {
		t.Fatal(err)
	}
	const out = "has spec.removed"
	eventuallyForbidden(t, out, func() error {
		return east.Create(t.Context(), published(hub, "east.a", "east")["Lease"], client.DryRunAll)
	})
	for kind, object := range published(hub, "east.a", "east") {
		t.Run(kind, func(t *testing.T) {
			checkForbidden(t, east.Create(t.Context(), object, client.DryRunAll), out)
			checkForbidden(t, east.Patch(t.Context(), old[kind], merge(`{"metadata":{"annotations":{"a":"b"}}}`)), out)
			checkForbidden(t, west.Create(t.Context(), published(hub, "west.a", "west")[kind], client.DryRunAll), "")
		})
	}
	checkForbidden(t, east.Status().Patch(t.Context(), old["GatewayNode"], merge(`{"status":{"lane":7}}`)), out)
	checkForbidden(t, requestToken(t.Context(), east, hub, "member-east", time.Hour), out)
	checkForbidden(t, requestToken(t.Context(), west, hub, "member-west", time.Hour), "")
	for _, object := range old {
		checkForbidden(t, east.Delete(t.Context(), object), "")
	}
}

// Which cluster uses an ID is said once. A member changes it neither by a write nor by deleting it.
func TestIdentityStays(t *testing.T) {
	east := addMember(t, hub, "east")
	lease := &coordinationv1.Lease{ObjectMeta: hubMeta(hub, clusterset.IdentityLeaseName("east"), "east")}
	lease.Spec.HolderIdentity = ptr.To("one")
	checkForbidden(t, east.Create(t.Context(), lease), "")
	const stays = "a member may not change or delete it"
	checkForbidden(t, east.Patch(t.Context(), lease.DeepCopy(), merge(`{"spec":{"holderIdentity":"two"}}`)), stays)
	checkForbidden(t, east.Delete(t.Context(), lease.DeepCopy()), stays)
	if err := admin.Delete(t.Context(), lease); err != nil {
		t.Errorf("the hub's admin cannot free the ID: %v", err)
	}
}

// eventuallyForbidden waits until write is forbidden with want.
func eventuallyForbidden(t *testing.T, want string, write func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var last error
	_ = wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(context.Context) (bool, error) {
		last = write()
		return apierrors.IsForbidden(last), nil
	})
	checkForbidden(t, last, want)
}

// revokedWithin is how long a hub may go on taking a token after what it depends on is gone. The
// API server remembers for 10 s that a token was valid; the rest is for a busy machine.
const revokedWithin = time.Minute

// TestRevocation: a join token ends with its Secret, and all tokens of a member with its account or
// its Member.
func TestRevocation(t *testing.T) {
	planes, err := controlplane.Start(t.Context(), controlplane.Config{Clusters: []controlplane.ClusterConfig{
		{Name: "hub", Controllers: controlplane.HubControllers()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = planes.Stop() })
	settings := map[string]string{"HUB": "hub", "RELEASE": installers(t)}
	paste(t.Context(), t, planes.Kubeconfig(), settings, section(t, "1. The hub"))
	config := planes.Cluster("hub").RESTConfig()
	hubAdmin := clientFor(t, config)
	mine := func(c client.Client) error {
		return c.Create(t.Context(), published(hub, "east.a", "east")["Lease"], client.DryRunAll)
	}
	renew := func(c client.Client) error { return requestToken(t.Context(), c, hub, "member-east", time.Hour) }

	for _, tt := range []struct {
		name   string
		revoke func(m *v1alpha1.Member) client.Object
		stays  bool // a token that is not bound to the Secret
	}{
		{"the join Secret", func(*v1alpha1.Member) client.Object {
			return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: hub, Name: "east.join"}}
		}, true},
		{"the account", func(*v1alpha1.Member) client.Object {
			return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: hub, Name: "member-east"}}
		}, false},
		{"the Member", func(m *v1alpha1.Member) client.Object { return m }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, join := joined(t, hubAdmin)
			byJoin, byOwn := withToken(t, config, install.JoinToken(join)), withToken(t, config, &authenticationv1.TokenRequest{})
			for _, c := range []client.Client{byJoin, byOwn} {
				if err := errors.Join(mine(c), renew(c)); err != nil {
					t.Fatal(err)
				}
			}
			if err := hubAdmin.Delete(t.Context(), tt.revoke(m)); err != nil {
				t.Fatal(err)
			}
			refused(t, mine, byJoin)
			refused(t, renew, byJoin)
			if tt.stays {
				if err := errors.Join(mine(byOwn), renew(byOwn)); err != nil {
					t.Errorf("the member's own token: %v", err)
				}
			} else {
				refused(t, mine, byOwn)
				refused(t, renew, byOwn)
			}
		})
	}
}

// joined makes Member east with its account, and returns it and its join Secret.
func joined(t *testing.T, hubAdmin client.Client) (*v1alpha1.Member, *corev1.Secret) {
	t.Helper()
	m := member(func(m *v1alpha1.Member) { m.Namespace = hub }).(*v1alpha1.Member)
	if err := hubAdmin.Create(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hubAdmin.Delete(cleanupContext(t), m) })
	var join *corev1.Secret
	for _, object := range install.MemberAccount(m) {
		if err := hubAdmin.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = hubAdmin.Delete(cleanupContext(t), object) })
		if secret, ok := object.(*corev1.Secret); ok {
			join = secret
		}
	}
	return m, join
}

// withToken returns a client with a token of member-east.
func withToken(t *testing.T, config *rest.Config, request *authenticationv1.TokenRequest) client.Client {
	t.Helper()
	request, err := kubernetes.NewForConfigOrDie(config).CoreV1().ServiceAccounts(hub).
		CreateToken(t.Context(), "member-east", request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	anonymous := rest.AnonymousClientConfig(config)
	anonymous.BearerToken = request.Status.Token
	return clientFor(t, anonymous)
}

// refused wants that the hub refuses, within revokedWithin.
func refused(t *testing.T, ask func(client.Client) error, c client.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), revokedWithin)
	defer cancel()
	var last error
	if err := wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(context.Context) (bool, error) {
		last = ask(c)
		return apierrors.IsUnauthorized(last) || apierrors.IsForbidden(last), nil
	}); err != nil {
		t.Errorf("not refused within %v: %v", revokedWithin, last)
	}
}
