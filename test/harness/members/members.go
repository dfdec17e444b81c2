//go:build integration

// Package members owns what the controllers' integration tests share: real API servers of member
// clusters and of a hub, set up as docs/install.md says, and the ways to look at them. It is for
// tests only and starts no controller.
package members

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/config"
	"github.com/tombolo-net/tombolo/controllers/operator"
	"github.com/tombolo-net/tombolo/hack/testbin"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/install"
	"github.com/tombolo-net/tombolo/test/lab/controlplane"
)

const (
	// HubName is the name of the API server with the hubs.
	HubName = "hub"
	// BareName is the name, among Main's members, of an API server without tombolo's manifests, and
	// no member's.
	BareName = "bare"
	// SetID is the clusterset's.
	SetID = "demo"
	// startTimeout is how long the API servers may take to start.
	startTimeout = 2 * time.Minute
)

// Cluster is one API server with tombolo's manifests applied.
type Cluster struct {
	*controlplane.Cluster
	client.Client // an admin's, not cached
}

// Clusters are those that Main started, by name.
type Clusters map[string]*Cluster

// Main starts the hub's API server and one for each member, runs the tests with them in all, and
// ends them. Without members the hub's API server is a member's, too. all is filled before the
// tests run; the result is for os.Exit.
func Main(m *testing.M, all Clusters, members ...string) int {
	ctrl.SetLogger(logr.Discard()) // what has no logger of its own is nothing to the tests
	code, err := run(m, all, members)
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting clusters for tests:", err)
		return 1
	}
	return code
}

func run(m *testing.M, all Clusters, members []string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	config := controlplane.Config{Clusters: []controlplane.ClusterConfig{
		{Name: HubName, Controllers: controlplane.HubControllers(), ServiceCIDRs: serviceCIDRs()},
	}}
	for _, name := range members {
		config.Clusters = append(config.Clusters, controlplane.ClusterConfig{
			Name: name, Controllers: extraControllers(name), ServiceCIDRs: serviceCIDRs(),
		})
	}
	cp, err := controlplane.Start(ctx, config)
	if err != nil {
		return 1, err
	}
	defer cp.Stop() //nolint:errcheck // the tests' result matters
	for _, c := range cp.Clusters() {
		admin, err := client.New(c.RESTConfig(), client.Options{Scheme: newScheme()})
		if err != nil {
			return 1, err
		}
		if err := applyAll(ctx, c, members); err != nil {
			return 1, err
		}
		all[c.Name()] = &Cluster{c, admin}
	}
	return m.Run(), nil
}

// serviceCIDRs are those of a dual-stack cluster, in which a Service has an IPv4 address only
// unless it asks for more.
func serviceCIDRs() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:10:96::/112")}
}

// newScheme has the operator's kinds, and those that only tests touch.
func newScheme() *k8sruntime.Scheme {
	scheme := operator.NewScheme()
	utilruntime.Must(apiextensionsv1.AddToScheme(scheme))
	return scheme
}

// extraControllers are those that an API server needs that makes tokens.
func extraControllers(name string) []string {
	if name == BareName {
		return controlplane.HubControllers()
	}
	return nil
}

// applyAll applies the manifests of a hub, of a member, or of both. Those of a hub leave out kinds
// that a member has.
func applyAll(ctx context.Context, c *controlplane.Cluster, members []string) error {
	switch {
	case c.Name() == BareName:
		return nil
	case c.Name() != HubName:
		return apply(ctx, c, "default")
	}
	if err := apply(ctx, c, "hub"); err != nil {
		return err
	}
	if len(members) == 0 || slices.Equal(members, []string{BareName}) {
		return apply(ctx, c, "default")
	}
	return nil
}

// apply does what a user does: kubectl apply -k config/<folder>.
func apply(ctx context.Context, c *controlplane.Cluster, folder string) error {
	bin := os.Getenv("TOMBOLO_TESTBIN")
	if bin == "" {
		var err error
		if bin, err = testbin.Dir(); err != nil {
			return err
		}
	}
	manifests, err := os.MkdirTemp("", "tombolo-config-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(manifests)
	if err := os.CopyFS(manifests, config.Files); err != nil {
		return fmt.Errorf("writing the manifests: %w", err)
	}
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "kubectl"), "--kubeconfig", c.Kubeconfig(), "apply", "-k", filepath.Join(manifests, folder)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("applying %s to %s: %w: %s", folder, c.Name(), err, out)
	}
	return nil
}

// OperatorConfig is the operator's own identity in the cluster, so that its roles are tested.
func (c *Cluster) OperatorConfig() *rest.Config {
	config := c.RESTConfig()
	config.Impersonate = rest.ImpersonationConfig{
		UserName: fmt.Sprintf("system:serviceaccount:%s:tombolo-operator", v1alpha1.DefaultNamespace),
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + v1alpha1.DefaultNamespace, "system:authenticated"},
	}
	return config
}

// MakeHub makes a hub's namespace for the clusterset, with the Role that config/hub has for its
// own. The namespace is left behind.
func (c *Cluster) MakeHub(t *testing.T, namespace string) {
	t.Helper()
	c.MakeNamespace(t, namespace, map[string]string{v1alpha1.LabelClusterSet: SetID})
	role := &rbacv1.Role{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: "tombolo-member"}, role); err != nil {
		t.Fatal(err)
	}
	c.Make(t, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role.Name}, Rules: role.Rules})
}

// Approve makes the Member on the hub, with its account, and returns the data of its Secret.
func (c *Cluster) Approve(t *testing.T, namespace, cluster string, spec v1alpha1.MemberSpec) map[string][]byte {
	t.Helper()
	c.Make(t, &v1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: cluster}, Spec: spec})
	return c.Identity(t, namespace, cluster)
}

// Identity makes the member's account on the hub, and returns the data of a Secret with a token
// that is valid for longer than a test.
func (c *Cluster) Identity(t *testing.T, namespace, cluster string) map[string][]byte {
	t.Helper()
	for _, object := range install.MemberAccount(&v1alpha1.Member{ObjectMeta: Meta(namespace, cluster)}) {
		object.SetOwnerReferences(nil) // a test may take the Member away without the account
		c.Make(t, object)
	}
	return c.Token(t, namespace, cluster, &authenticationv1.TokenRequest{})
}

// Token asks for a token of the member, and returns the data of a Secret with it.
func (c *Cluster) Token(t *testing.T, namespace, cluster string, request *authenticationv1.TokenRequest) map[string][]byte {
	t.Helper()
	account := clusterset.MemberServiceAccount(v1alpha1.ClusterID(cluster))
	if err := c.SubResource("token").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: Meta(namespace, account)}, request); err != nil {
		t.Fatalf("a token of %s: %v", account, err)
	}
	return map[string][]byte{"token": []byte(request.Status.Token), "ca.crt": c.CA(), "namespace": []byte(namespace)}
}

// Join makes the cluster a member with that access to the hub.
func (c *Cluster) Join(t *testing.T, cluster string, hub *Cluster, access map[string][]byte) {
	t.Helper()
	c.JoinAt(t, cluster, hub.RESTConfig().Host, access)
}

// JoinAt is Join with the URL of the hub.
func (c *Cluster) JoinAt(t *testing.T, cluster, server string, access map[string][]byte) {
	t.Helper()
	c.Make(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: "tombolo-hub"},
		Data:       access,
	})
	c.Make(t, &v1alpha1.ClusterSet{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName},
		Spec: v1alpha1.ClusterSetSpec{
			ClusterSetID: SetID,
			ClusterID:    v1alpha1.ClusterID(cluster),
			Hub: v1alpha1.HubAccess{
				Server:    server,
				SecretRef: v1alpha1.SecretReference{Name: "tombolo-hub"},
			},
		},
	})
}

// Make creates the object, and deletes it when the test ends.
func (c *Cluster) Make(t *testing.T, obj client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), obj); err != nil {
		t.Fatalf("cluster %s: %v", c.Name(), err)
	}
	t.Cleanup(func() {
		if err := c.Delete(context.Background(), obj); client.IgnoreNotFound(err) != nil {
			t.Errorf("cluster %s: %v", c.Name(), err)
		}
	})
}

// MakeNamespace creates a namespace. It is left behind: an API server alone cannot finish to delete
// it.
func (c *Cluster) MakeNamespace(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatalf("cluster %s: %v", c.Name(), err)
	}
}

// eventuallyTimeout is how long Eventually tries.
const eventuallyTimeout = time.Minute

// Eventually tries until check returns nil, and fails the test with its last error otherwise.
func Eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(eventuallyTimeout)
	for pause := 5 * time.Millisecond; ; pause = min(pause*11/10, 100*time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(pause)
	}
}

// Dump logs what the cluster holds of tombolo's kinds, if the test has failed by its end.
func (c *Cluster) Dump(t *testing.T) {
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, list := range []client.ObjectList{
			&v1alpha1.ClusterSetList{}, &v1alpha1.RemoteClusterList{}, &v1alpha1.MemberList{}, &v1alpha1.ExportedServiceList{},
			&v1alpha1.GatewayNodeList{}, &v1alpha1.TrafficPolicyList{}, &mcsv1beta1.ServiceExportList{}, &mcsv1beta1.ServiceImportList{}, &discoveryv1.EndpointSliceList{},
		} {
			if err := c.List(context.Background(), list); err != nil {
				continue // the hub has not all
			}
			text, _ := yaml.Marshal(list)
			t.Logf("cluster %s, %T:\n%s", c.Name(), list, text)
		}
	})
}
