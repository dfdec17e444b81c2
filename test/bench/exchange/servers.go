package exchange

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/operator"
	"github.com/tombolo-net/tombolo/hack/testbin"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/install"
	"github.com/tombolo-net/tombolo/test/harness/shell"
	"github.com/tombolo-net/tombolo/test/lab/controlplane"
)

const (
	setID = "demo" // as the manifest of the hub's namespace has it
	// The API servers.
	hubName, crowdName = "hub", "crowd"
	// measured is the cluster ID of the member that is measured, and the name of its API server.
	measured = "measured"
	// secretName is the Secret with a member's access to the hub.
	secretName = "tombolo-hub"
	// startTimeout is how long the API servers may take to start, and to take the manifests.
	startTimeout = 3 * time.Minute
	// createTries is how often an object is tried to be made at most.
	createTries = 5
	// writers are how many requests at a time fill an API server.
	writers = 16
)

// servers are the API servers of the hub, of the measured member and of the crowd, with the
// manifests that they need.
type servers struct {
	*controlplane.ControlPlane
	root string // of the tree: manifests, and bin/ with the operator
	api  map[string]client.Client
}

// startServers starts a hub's API server and one for each of the others.
func startServers(ctx context.Context, others ...string) (*servers, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	config := controlplane.Config{Clusters: []controlplane.ClusterConfig{{Name: hubName, Controllers: controlplane.HubControllers()}}}
	for _, name := range others {
		config.Clusters = append(config.Clusters, controlplane.ClusterConfig{Name: name})
	}
	cp, err := controlplane.Start(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &servers{ControlPlane: cp, root: filepath.Dir(filepath.Dir(self)), api: map[string]client.Client{}}
	for _, c := range cp.Clusters() {
		folder := "default"
		if c.Name() == hubName {
			folder = "hub"
		}
		if err = s.apply(ctx, c, folder); err != nil {
			break
		}
		if s.api[c.Name()], err = client.New(unlimited(c), client.Options{Scheme: operator.NewScheme()}); err != nil {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, cp.Stop())
	}
	return s, nil
}

// unlimited is the administrator's access without a limit of its own.
func unlimited(c *controlplane.Cluster) *rest.Config {
	config := c.RESTConfig()
	config.QPS = -1
	return config
}

// apply applies a folder of config, as a user does.
func (s *servers) apply(ctx context.Context, c *controlplane.Cluster, folder string) error {
	bin := os.Getenv("TOMBOLO_TESTBIN")
	if bin == "" {
		var err error
		if bin, err = testbin.Dir(); err != nil {
			return err
		}
	}
	_, err := shell.Run(ctx, "", filepath.Join(bin, "kubectl"), "--kubeconfig", c.Kubeconfig(), "apply", "-k", filepath.Join(s.root, "config", folder))
	return err
}

// createAll creates objects in an API server, many at a time, in no order.
func (s *servers) createAll(ctx context.Context, server string, objects []client.Object) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for _, o := range objects {
		g.Go(func() error {
			if err := create(ctx, s.api[server], o); err != nil {
				return fmt.Errorf("creating %T %s in %s: %w", o, client.ObjectKeyFromObject(o), server, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// create makes the object, again if the API server was too busy: it may have made it all the same.
func create(ctx context.Context, api client.Client, o client.Object) error {
	err := api.Create(ctx, o)
	for tries := 1; tries < createTries && apierrors.IsTimeout(err); tries++ {
		if err = api.Create(ctx, o); apierrors.IsAlreadyExists(err) {
			return nil
		}
	}
	return err
}

// approve makes the member on the hub, with its account, as docs/install.md says.
func (s *servers) approve(ctx context.Context, m member) error {
	approved := m.onHub()
	if err := s.api[hubName].Create(ctx, approved); err != nil {
		return fmt.Errorf("approving member %s: %w", m.id, err)
	}
	for _, o := range install.MemberAccount(approved) {
		if err := s.api[hubName].Create(ctx, o); err != nil {
			return fmt.Errorf("making the account of member %s: %w", m.id, err)
		}
	}
	return nil
}

// access returns the Secret of a member that was approved, with a token that outlives the benchmark.
func (s *servers) access(ctx context.Context, m member) (*corev1.Secret, error) {
	account := metav1.ObjectMeta{Namespace: v1alpha1.DefaultHubNamespace, Name: clusterset.MemberServiceAccount(m.id)}
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](24 * 3600)}}
	if err := s.api[hubName].SubResource("token").Create(ctx, &corev1.ServiceAccount{ObjectMeta: account}, token); err != nil {
		return nil, fmt.Errorf("getting a token of %s: %w", account.Name, err)
	}
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: secretName}, Data: map[string][]byte{
		"token": []byte(token.Status.Token), "ca.crt": s.Cluster(hubName).CA(), "namespace": []byte(account.Namespace),
	}}, nil
}

// await asks again and again until check says yes or fails.
func await(ctx context.Context, timeout time.Duration, check func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not within %v", timeout))
	defer cancel()
	for {
		if done, err := check(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// join makes the measured cluster a member that reaches the hub at that URL.
func (s *servers) join(ctx context.Context, m member, hubURL string) error {
	secret, err := s.access(ctx, m)
	if err != nil {
		return err
	}
	for _, o := range []client.Object{secret, m.clusterSet(hubURL)} {
		if err := s.api[measured].Create(ctx, o); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("joining: %w", err)
		}
	}
	return nil
}

// address of an API server, host:port.
func (s *servers) address(name string) string {
	return strings.TrimPrefix(s.Cluster(name).RESTConfig().Host, "https://")
}
