package explain

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/snapshot"
	"github.com/tombolo-net/tombolo/internal/explain"
)

// patience is how long one agent may take to answer, the way through the API server included. The
// agent itself takes two seconds at most. less is for agents of whose nodes some may be dead.
const (
	patience = 8 * time.Second
	less     = 4 * time.Second
)

// gatherer collects the facts.
type gatherer struct {
	clusters []*access.Cluster // the client's first
	enter    bool              // ask inside the client's pod, too
	facts    explain.Facts
}

// gather reads all clusters, and asks the agent of the client's node. from is the client's pod, and
// namespace its default namespace.
func (g *gatherer) gather(ctx context.Context, from, namespace string) error {
	g.facts.Clusters = make([]explain.Cluster, len(g.clusters))
	var all errgroup.Group
	for i, c := range g.clusters {
		all.Go(func() error { g.facts.Clusters[i] = read(ctx, c, g.facts.Name); return nil })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	own := &g.facts.Clusters[0]
	if own.Unreadable != "" {
		return fmt.Errorf("context %q: %s", own.Context, own.Unreadable)
	}
	if err := g.client(ctx, from, namespace); err != nil {
		return err
	}
	if down := g.facts.IfDown; down != "" {
		if err := own.Knows(down); err != nil {
			return fmt.Errorf("--if-down: %w", err)
		}
	}
	if own.ClusterSet == nil || g.facts.Client.Node == "" || g.facts.Ended() {
		return nil
	}
	g.askAll(ctx)
	return nil
}

// askAll asks the agent of the client's node and, if it cannot connect to an endpoint, agents that are
// nearer to that.
func (g *gatherer) askAll(ctx context.Context) {
	node := g.facts.Client.Node
	told := ask(ctx, g.clusters[0], node, g.facts.Question(), patience)
	g.facts.Clusters[0].Told = map[string]explain.Told{node: told}
	if told.Away != "" || told.Unasked != "" {
		return
	}
	if q := g.facts.Attempts(); len(q.Connect) > 0 {
		tried := ask(ctx, g.clusters[0], node, q, patience)
		told.Connected, told.Sent, told.Full = tried.Connected, tried.Sent, tried.Full
		g.facts.Clusters[0].Told[node] = told
	}
	if g.enter {
		told := g.askInPod(ctx)
		g.facts.Client.Told = &told
	}
	retry := g.facts.Retry()
	var all errgroup.Group
	var mu sync.Mutex // guards Told of all clusters
	for i, c := range g.clusters {
		own := &g.facts.Clusters[i]
		for node, q := range retry[own.ID()] {
			all.Go(func() error {
				told := ask(ctx, c, node, q, less)
				mu.Lock()
				defer mu.Unlock()
				if own.Told == nil {
					own.Told = map[string]explain.Told{}
				}
				own.Told[node] = told
				return nil
			})
		}
	}
	_ = all.Wait() // what cannot be asked is told
	if len(retry) > 0 {
		g.lookAgain(ctx)
	}
}

// lookAgain reads the objects once more. They may show by now what has just broken. That says more
// than a connection that fails.
func (g *gatherer) lookAgain(ctx context.Context) {
	var all errgroup.Group
	for i, c := range g.clusters {
		all.Go(func() error {
			if s := snapshot.Read(ctx, c, c.Context); s.Unreadable == "" {
				g.facts.Clusters[i].Snapshot = s
			}
			return nil
		})
	}
	_ = all.Wait() // what cannot be read again stays as it was
}

// client fills in who asks for the name.
func (g *gatherer) client(ctx context.Context, from, namespace string) error {
	own := &g.facts.Clusters[0]
	g.facts.Client.Cluster = own.ID()
	if from == "" {
		g.facts.Client.Node = own.AnyNode()
		return nil
	}
	key := client.ObjectKey{Namespace: namespace, Name: from}
	if ns, name, ok := strings.Cut(from, "/"); ok {
		key = client.ObjectKey{Namespace: ns, Name: name}
	}
	var pod corev1.Pod
	if err := g.clusters[0].Get(ctx, key, &pod); err != nil {
		return fmt.Errorf("--from %s: reading pod %s in context %q: %w", from, key, own.Context, err)
	}
	if pod.Spec.NodeName == "" {
		return fmt.Errorf("--from %s: pod %s runs on no node yet", from, key)
	}
	g.facts.Client.Pod, g.facts.Client.Node = key.String(), pod.Spec.NodeName
	for _, ip := range pod.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil && !pod.Spec.HostNetwork {
			g.facts.Client.Addresses = append(g.facts.Client.Addresses, a)
		}
	}
	return nil
}

// ask asks the agent on a node.
func ask(ctx context.Context, cluster *access.Cluster, node string, q explain.Question, patience time.Duration) explain.Told {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	pod, away, err := agent(ctx, cluster, node)
	switch {
	case err != nil:
		return explain.Told{Unasked: err.Error()}
	case away != "":
		return explain.Told{Away: away}
	}
	question, err := json.Marshal(q)
	if err != nil {
		return explain.Told{Unasked: err.Error()}
	}
	out, err := cluster.Exec(ctx, pod, bytes.NewReader(question), "/tombolo", "ask")
	if err != nil {
		return explain.Told{Unasked: err.Error()}
	}
	var told explain.Told
	if err := json.Unmarshal(out, &told.Reply); err != nil {
		return explain.Told{Unasked: fmt.Sprintf("reading the answer of pod %s: %v", pod.Name, err)}
	}
	return told
}

// agent is the pod of the dataplane on the node, or why none runs there.
func agent(ctx context.Context, cluster client.Reader, node string) (pod *corev1.Pod, away string, err error) {
	namespace, err := snapshot.Namespace(ctx, cluster)
	if err != nil {
		return nil, "", err
	}
	var pods corev1.PodList
	if err := cluster.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/name": "tombolo-dataplane"}); err != nil {
		return nil, "", fmt.Errorf("reading the pods of the dataplane: %w", err)
	}
	away = "no pod of DaemonSet tombolo-dataplane is on the node"
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Spec.NodeName != node || p.DeletionTimestamp != nil {
			continue
		}
		if slices.ContainsFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.State.Running != nil }) {
			return p, "", nil
		}
		away = fmt.Sprintf("the agent does not run: pod %s/%s is %s", p.Namespace, p.Name, explain.PodState(p))
	}
	return nil, away, nil
}

// dnsPort is that of DNS (RFC 1035, section 4.2).
const dnsPort = "53"

// dnsServer is where the cluster's pods ask: the Service that carries kube-dns's label.
func dnsServer(services []corev1.Service) string {
	for _, s := range services {
		if ip := s.Spec.ClusterIP; ip != "" && ip != corev1.ClusterIPNone {
			return net.JoinHostPort(ip, dnsPort)
		}
	}
	return ""
}
