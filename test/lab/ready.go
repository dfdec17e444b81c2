package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/tombolo-net/tombolo/test/harness/shell"
	"github.com/tombolo-net/tombolo/test/lab/addons"
	"github.com/tombolo-net/tombolo/test/lab/image"
	"github.com/tombolo-net/tombolo/test/lab/node"
)

// readyTimeout is how long a lab may take to be ready on a busy machine.
const readyTimeout = 5 * time.Minute

// waitReady returns when every node is Ready and CoreDNS answers in every cluster.
func (l *Lab) waitReady(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	w := &waiting{}
	done := l.progress.step("booting nodes and CoreDNS", 30*time.Second, w.String)
	defer func() { done(err) }()
	g, gctx := errgroup.WithContext(ctx)
	for _, c := range l.topology.Clusters {
		g.Go(func() error { return l.waitCluster(gctx, c, w) })
	}
	err = g.Wait()
	return err
}

func (l *Lab) waitCluster(ctx context.Context, c Cluster, w *waiting) error {
	config := l.controlPlane.Cluster(c.Name).RESTConfig()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("preparing client of cluster %s: %w", c.Name, err)
	}
	objects, err := l.coreDNS(c).Objects()
	if err != nil {
		return err
	}
	if err := addons.Apply(ctx, config, objects); err != nil {
		return fmt.Errorf("installing CoreDNS in cluster %s: %w", c.Name, err)
	}
	for _, n := range c.Nodes {
		if err := l.waitNode(ctx, client, n, w); err != nil {
			return err
		}
	}
	return l.waitDNS(ctx, c, w)
}

// coreDNS says how the cluster's DNS runs.
func (l *Lab) coreDNS(c Cluster) addons.CoreDNS {
	d := addons.CoreDNS{Image: image.CoreDNSRef, ServiceIP: c.dnsService()}
	if c.servesClusterIPs() {
		return d
	}
	d.HostNode = c.Nodes[0].Name
	d.APIServer = l.apiServer(c.Name)
	return d
}

// apiServer is the address at which nodes and pods reach the cluster's API server without its
// Service.
func (l *Lab) apiServer(cluster string) netip.AddrPort {
	u, err := url.Parse(l.controlPlane.Cluster(cluster).NodeURL())
	if err != nil {
		return netip.AddrPort{}
	}
	a, _ := netip.ParseAddrPort(u.Host)
	return a
}

// waitNode returns when the node is Ready, and labels a gateway as such.
func (l *Lab) waitNode(ctx context.Context, client kubernetes.Interface, n Node, w *waiting) error {
	defer w.add("node " + n.Name)()
	m, err := l.machine(n.Name)
	if err != nil {
		return err
	}
	err = shell.Poll(ctx, func(ctx context.Context) error {
		if err := m.ended(); err != nil {
			return shell.Fatal{Err: err}
		}
		object, err := client.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return nodeReady(object)
	})
	if err != nil {
		return fmt.Errorf("waiting for node %s: %w", n.Name, err)
	}
	if !n.Gateway {
		return nil
	}
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:"true"}}}`, GatewayLabel)
	if _, err := client.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("labelling gateway %s: %w", n.Name, err)
	}
	return nil
}

func nodeReady(n *corev1.Node) error {
	for _, c := range n.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		if c.Status == corev1.ConditionTrue {
			return nil
		}
		return fmt.Errorf("it is not Ready: %s: %s", c.Reason, c.Message)
	}
	return errors.New("it has no condition Ready")
}

// waitDNS returns when every node of the cluster gets answers from CoreDNS, at the address that
// pods ask.
func (l *Lab) waitDNS(ctx context.Context, c Cluster, w *waiting) error {
	for _, n := range c.Nodes {
		done := w.add("CoreDNS to answer on " + n.Name)
		err := shell.Poll(ctx, func(ctx context.Context) error { return l.askDNS(ctx, c, n) })
		done()
		if err != nil {
			return fmt.Errorf("waiting for CoreDNS to answer on node %s: %w", n.Name, err)
		}
	}
	return nil
}

// askDNS asks CoreDNS, from a node, for a name that every cluster has.
func (l *Lab) askDNS(ctx context.Context, c Cluster, n Node) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	record := "-type=a"
	if !c.Primary4() {
		record = "-type=aaaa"
	}
	var out strings.Builder
	code, err := l.api(n).Exec(ctx, node.Command{
		Args:   []string{"busybox", "nslookup", record, "kubernetes.default.svc.cluster.local", c.DNS.String()},
		Stdout: &out, Stderr: &out,
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("nslookup: exit code %d: %s", code, out.String())
	}
	return err
}

// waiting is a set of what is waited for. It is safe for concurrent use.
type waiting struct {
	mu   sync.Mutex
	what []string // guarded by mu
}

// add adds what, until the returned function is called.
func (w *waiting) add(what string) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.what = append(w.what, what)
	return func() { w.remove(what) }
}

func (w *waiting) remove(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, s := range w.what {
		if s == what {
			w.what = append(w.what[:i], w.what[i+1:]...)
			return
		}
	}
}

// String returns the list.
func (w *waiting) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.what, ", ")
}
