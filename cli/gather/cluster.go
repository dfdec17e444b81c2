package gather

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/report"
	"github.com/tombolo-net/tombolo/cli/snapshot"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// gathering is the part of a bundle that comes from one cluster.
type gathering struct {
	*access.Cluster
	bundle   *bundle
	facts    clusterFacts
	snapshot topology.Snapshot
	pods     []corev1.Pod // tombolo's
	failed   string       // why the cluster cannot be asked; empty: it can

	since    time.Duration
	logBytes int
	only     []string // nodes
}

// begin reads what the rest of the gathering depends on.
func (o *options) begin(ctx context.Context, c *access.Cluster) *gathering {
	g := &gathering{Cluster: c, since: o.since, logBytes: o.logBytes, only: o.nodes}
	g.facts = clusterFacts{Context: c.Context, Folder: folderOf(c.Context)}
	g.snapshot = snapshot.Read(ctx, c, c.Context)
	if g.snapshot.ClusterSet != nil {
		g.facts.ClusterID = string(g.snapshot.ClusterSet.Spec.ClusterID)
	}
	if err := g.readFacts(ctx); err != nil {
		g.failed = err.Error()
	}
	return g
}

func (g *gathering) readFacts(ctx context.Context) error {
	asking, err := discovery.NewDiscoveryClientForConfig(g.Config)
	if err != nil {
		return fmt.Errorf("preparing a client: %w", err)
	}
	version, err := asking.ServerVersion()
	if err != nil {
		return fmt.Errorf("asking for the API server's version: %w", err)
	}
	g.facts.Kubernetes = version.GitVersion
	if g.facts.Namespace, err = snapshot.Namespace(ctx, g); err != nil {
		return err
	}
	var hubs corev1.NamespaceList
	if err := g.List(ctx, &hubs, client.HasLabels{v1alpha1.LabelClusterSet}); err != nil {
		return fmt.Errorf("looking for the hub's namespace: %w", err)
	}
	for _, n := range hubs.Items {
		g.facts.Hubs = append(g.facts.Hubs, n.Name)
	}
	var pods corev1.PodList
	if err := g.List(ctx, &pods, client.InNamespace(g.facts.Namespace)); err != nil {
		return fmt.Errorf("reading the pods in namespace %s: %w", g.facts.Namespace, err)
	}
	g.pods = pods.Items
	for _, p := range g.pods {
		for _, c := range p.Spec.Containers {
			g.facts.Images = append(g.facts.Images, c.Image)
		}
	}
	slices.Sort(g.facts.Images)
	g.facts.Images = slices.Compact(g.facts.Images)
	return nil
}

const objectsAndEvents = "objects and events"

// run puts all of the cluster into the bundle. An error means that the bundle cannot be written.
func (g *gathering) run(ctx context.Context, steps *report.Steps) error {
	if g.snapshot.Unreadable != "" {
		g.lack("the picture of the cluster", errors.New(g.snapshot.Unreadable))
	}
	for _, part := range []struct {
		what string
		do   func(ctx context.Context, say func(string)) error
	}{
		{objectsAndEvents, func(ctx context.Context, say func(string)) error {
			return errors.Join(g.objects(ctx, say), g.events(ctx))
		}},
		{fmt.Sprintf("logs of %d pods", len(g.pods)), g.logs},
		{"state of the nodes", g.nodes},
	} {
		if g.failed != "" {
			g.lack(part.what, errors.New(g.failed))
			continue
		}
		if len(g.pods) == 0 && part.what != objectsAndEvents {
			continue // the cluster is the hub only
		}
		if err := steps.Do(ctx, g.Context+": "+part.what, part.do); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (g *gathering) lack(what string, why error) { g.bundle.lack(g.Context, what, why) }

// publicKeys are the gateways' public keys that any of the clusters knows.
func publicKeys(ctx context.Context, all []*gathering) map[string]bool {
	public := map[string]bool{}
	for _, g := range all {
		var gateways v1alpha1.GatewayNodeList
		if err := g.List(ctx, &gateways); err == nil { // otherwise they are masked
			for _, n := range gateways.Items {
				public[n.Spec.PublicKey] = true
			}
		}
		for _, r := range g.snapshot.RemoteClusters {
			for _, gateway := range r.Spec.Gateways {
				public[gateway.PublicKey] = true
			}
		}
	}
	return public
}

// withoutSecrets is the cluster, by a client that cannot read Secrets.
func withoutSecrets(c *access.Cluster) (*access.Cluster, error) {
	config := rest.CopyConfig(c.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return noSecrets{next} })
	guarded, err := client.New(config, client.Options{Scheme: c.Scheme()})
	if err != nil {
		return nil, fmt.Errorf("preparing a client of context %q: %w", c.Context, err)
	}
	return &access.Cluster{Client: guarded, Context: c.Context, Config: config}, nil
}

// ofSecrets are the paths of Secrets, and of the tokens of ServiceAccounts, in the API.
var ofSecrets = regexp.MustCompile(`/(secrets|serviceaccounts/[^/]+/token)(/|$)`)

// noSecrets refuses requests for Secrets.
type noSecrets struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (n noSecrets) RoundTrip(r *http.Request) (*http.Response, error) {
	if ofSecrets.MatchString(r.URL.Path) {
		return nil, fmt.Errorf("a support bundle holds no Secrets: refused to ask for %s", r.URL.Path)
	}
	return n.next.RoundTrip(r)
}
