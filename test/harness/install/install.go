// Package install installs tombolo in clusters that run, with the steps of docs/install.md. The lab
// and hack/kind share it. It makes no cluster and no image.
package install

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// CorefileChanged has `kubectl wait` wait until tombolo has changed the Corefile in a ConfigMap.
var CorefileChanged = "--for=jsonpath={.metadata.annotations." + strings.ReplaceAll(v1alpha1.AnnotationCorefile, ".", `\.`) + "}"

// What docs/install.md installs, and where.
const (
	hubNamespace    = "tombolo-hub"
	memberNamespace = "tombolo-system"
	group           = "clusterset.tombolo.dev"
)

// ClusterSetID is that of the clusterset that the clusters become members of.
const ClusterSetID = "demo"

// timeout is how long tombolo's links may take to be up on a busy machine.
const timeout = 4 * time.Minute

// Config says which clusters become members, and by what.
type Config struct {
	Kubectl    string    // required: path of the program
	Kubeconfig string    // required: a file with the contexts below
	Hub        string    // required: the context of the cluster that has the hub
	Manifests  string    // required: the folder config of tombolo's tree
	Member     string    // optional, default Manifests/default: what kustomize applies in a member
	Clusters   []Cluster // required
	// Waiting is told what is waited for, until the function that it returns is called.
	Waiting func(what string) (done func()) // required
}

// Cluster is a member. Its name is its context and its cluster ID.
type Cluster struct {
	Name      string
	PodCIDRs  []netip.Prefix
	Nodes     int    // how many there are
	HubServer string // the URL of the hub's API server, as this cluster reaches it
	// APIServer is where pods reach the API server, if nothing serves the Service kubernetes.
	APIServer netip.AddrPort // optional
}

// installation is one run.
type installation struct{ Config }

// Run installs tombolo in every cluster, and returns when every cluster reaches every other and its
// CoreDNS serves clusterset.local. It may be repeated.
func Run(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	i := &installation{cfg}
	if i.Member == "" {
		i.Member = filepath.Join(i.Manifests, "default")
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return i.installHub(gctx) })
	for _, c := range i.Clusters {
		g.Go(func() error { return i.installMember(gctx, c) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("installing tombolo: %w", err)
	}
	return i.join(ctx)
}

// join makes every cluster a member and waits until they reach each other.
func (i *installation) join(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for n, c := range i.Clusters {
		g.Go(func() error {
			if err := i.joinMember(ctx, int32(n+1), c); err != nil {
				return fmt.Errorf("joining cluster %s: %w", c.Name, err)
			}
			g.Go(func() error {
				defer i.Waiting("links of " + c.Name)()
				if err := i.waitLinks(ctx, c); err != nil {
					return fmt.Errorf("waiting for links of cluster %s: %w", c.Name, err)
				}
				return nil
			})
			defer i.Waiting("DNS of " + c.Name)()
			if err := i.waitZone(ctx, c); err != nil {
				return fmt.Errorf("waiting for DNS of cluster %s: %w", c.Name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// waitZone returns when a CoreDNS runs that has read the Corefile as tombolo has changed it. Left
// alone it would have within two minutes. Where nobody serves Services' addresses, pods have no DNS.
func (i *installation) waitZone(ctx context.Context, c Cluster) error {
	steps := [][]string{
		{"--namespace", "kube-system", "wait", CorefileChanged, "--timeout=240s", "configmap/coredns"},
		{"--namespace", "kube-system", "rollout", "restart", "deployment/coredns"},
		{"--namespace", "kube-system", "rollout", "status", "--timeout=120s", "deployment/coredns"},
		{"wait", "--for=condition=DNSReady", "--timeout=120s", "clusterset/default"},
	}
	if c.APIServer.IsValid() {
		steps = steps[:len(steps)-1]
	}
	for _, args := range steps {
		if err := i.kubectl(ctx, c.Name, args...); err != nil {
			return err
		}
	}
	return nil
}

// installHub makes the hub.
func (i *installation) installHub(ctx context.Context) error {
	return i.kubectl(ctx, i.Hub, "apply", "-k", filepath.Join(i.Manifests, "hub"))
}

// installMember makes what every member runs. Where nobody serves Services' addresses it tells
// where the API server is.
func (i *installation) installMember(ctx context.Context, c Cluster) error {
	if err := i.kubectl(ctx, c.Name, "apply", "-k", i.Member); err != nil {
		return err
	}
	server := c.APIServer
	if !server.IsValid() {
		return nil
	}
	return i.kubectl(ctx, c.Name, "--namespace", memberNamespace, "set", "env", "deployments,daemonsets", "--all",
		"KUBERNETES_SERVICE_HOST="+server.Addr().String(), "KUBERNETES_SERVICE_PORT="+strconv.Itoa(int(server.Port())))
}

// establish waits until the API server serves a kind of tombolo's, given as it is in URLs.
func (i *installation) establish(ctx context.Context, cluster, resource string) error {
	return i.kubectl(ctx, cluster, "wait", "--for=condition=Established", "--timeout=60s", "crd/"+resource+"."+group)
}

// kubectl runs kubectl in a cluster. The error holds what kubectl said.
func (i *installation) kubectl(ctx context.Context, cluster string, args ...string) error {
	cmd := exec.CommandContext(ctx, i.Kubectl, append([]string{"--context", cluster}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+i.Kubeconfig)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl --context %s %s: %w: %s", cluster, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return nil
}
