//go:build kernel

package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/go-logr/logr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/ingress"
	"github.com/tombolo-net/tombolo/gateway/keyfile"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

const kernelTestNamespace = v1alpha1.DefaultNamespace

// kernelOf is the Kernel of a namespace.
func kernelOf(ns *netns.Namespace) Kernel {
	k := NewKernel()
	return Kernel{Tunnels: nsTunnels{ns, k.Tunnels}, Traffic: nsTraffic{ns, k.Traffic}, Handover: nsHandover{ns, k.Handover}, Routes: nsRoutes{ns, k.Routes},
		Table: nsTable{ns, k.Table}, Ingress: nsIngress{ns, k.Ingress}, Host: nsHost{ns, k.Host}}
}

type nsTunnels struct {
	ns *netns.Namespace
	tunnels
}

func (k nsTunnels) Check(mode v1alpha1.WireGuardMode) (userspace bool, err error) {
	k.ns.Do(func() { userspace, err = k.tunnels.Check(mode) })
	return userspace, err
}

func (k nsTunnels) Run(ctx context.Context) (err error) {
	k.ns.Do(func() { err = k.tunnels.Run(ctx) })
	return err
}

func (k nsTunnels) Read(ctx context.Context) (s wireguard.State, err error) {
	k.ns.Do(func() { s, err = k.tunnels.Read(ctx) })
	return s, err
}

func (k nsTunnels) Sync(ctx context.Context, want wireguard.Config) (c wireguard.Change, err error) {
	k.ns.Do(func() { c, err = k.tunnels.Sync(ctx, want) })
	return c, err
}

type nsTraffic struct {
	ns *netns.Namespace
	tunnelReader
}

func (k nsTraffic) Read(ctx context.Context) (s wireguard.State, err error) {
	k.ns.Do(func() { s, err = k.tunnelReader.Read(ctx) })
	return s, err
}

type nsHandover struct {
	ns *netns.Namespace
	handover
}

func (k nsHandover) Read(ctx context.Context) (c vxlan.Config, err error) {
	k.ns.Do(func() { c, err = k.handover.Read(ctx) })
	return c, err
}

func (k nsHandover) Apply(ctx context.Context, change vxlan.Change) (c vxlan.Change, err error) {
	k.ns.Do(func() { c, err = k.handover.Apply(ctx, change) })
	return c, err
}

type nsRoutes struct {
	ns *netns.Namespace
	routes
}

func (k nsRoutes) Read(ctx context.Context) (s route.Config, err error) {
	k.ns.Do(func() { s, err = k.routes.Read(ctx) })
	return s, err
}

func (k nsRoutes) Apply(ctx context.Context, change route.Change) (c route.Change, err error) {
	k.ns.Do(func() { c, err = k.routes.Apply(ctx, change) })
	return c, err
}

type nsTable struct {
	ns *netns.Namespace
	guardTable
}

func (k nsTable) Sync(ctx context.Context, want firewall.Config) (c firewall.Change, err error) {
	k.ns.Do(func() { c, err = k.guardTable.Sync(ctx, want) })
	return c, err
}

func (k nsTable) Blocked(now time.Time, want firewall.Config) (blocked []error, err error) {
	k.ns.Do(func() { blocked, err = k.guardTable.Blocked(now, want) })
	return blocked, err
}

type nsIngress struct {
	ns *netns.Namespace
	ingressTable
}

func (k nsIngress) Sync(ctx context.Context, want firewall.Config) (c firewall.Change, err error) {
	k.ns.Do(func() { c, err = k.ingressTable.Sync(ctx, want) })
	return c, err
}

func (k nsIngress) Dropped() (d ingress.Dropped, err error) {
	k.ns.Do(func() { d, err = k.ingressTable.Dropped() })
	return d, err
}

type nsHost struct {
	ns *netns.Namespace
	host
}

func (k nsHost) CheckForwarding(ipv6 bool) (err error) {
	k.ns.Do(func() { err = k.host.CheckForwarding(ipv6) })
	return err
}

func (k nsHost) IPv6Off() (why string) {
	k.ns.Do(func() { why = k.host.IPv6Off() })
	return why
}

func (k nsHost) CheckPort(ctx context.Context, port int) (err error) {
	k.ns.Do(func() { err = k.host.CheckPort(ctx, port) })
	return err
}

func (k nsHost) UnderlayMTU(ctx context.Context, addrs []netip.Addr) (mtu int, err error) {
	k.ns.Do(func() { mtu, err = k.host.UnderlayMTU(ctx, addrs) })
	return mtu, err
}

func (k nsHost) Listen(ctx context.Context, addr netip.Addr) (c probe.Conn, err error) {
	k.ns.Do(func() { c, err = k.host.Listen(ctx, addr) })
	return c, err
}

// testCluster is a cluster of a test.
type testCluster struct {
	id v1alpha1.ClusterID
	// wireGuard says who serves the cluster's devices; empty leaves it to the agents.
	wireGuard v1alpha1.WireGuardMode
	index     int32
	cidrs     []v1alpha1.CIDR
	gateways  []*testGateway
	// decoys are endpoints that its gateways publish before the one that works.
	decoys []v1alpha1.Endpoint
}

// testGateway is a gateway in a namespace of its own. It has its own copy of the cluster's API
// objects: the fake client does not merge lists of two field owners.
type testGateway struct {
	name    string
	client  client.Client
	lane    v1alpha1.Lane
	address netip.Addr
	ns      *netns.Namespace
	cluster *testCluster
	port    int
	agent   *Agent
	// key is on the node's disk.
	key keyfile.File
	// registry has the metrics of the agent.
	registry *prometheus.Registry
	stop     func()
}

func newTestCluster(id v1alpha1.ClusterID, index int32, cidrs ...v1alpha1.CIDR) *testCluster {
	return &testCluster{id: id, index: index, cidrs: cidrs}
}

// newClient returns a client of an API server that holds the cluster's ClusterSet and the node.
func (c *testCluster) newClient(t *testing.T, node *corev1.Node) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, coordinationv1.AddToScheme, discoveryv1.AddToScheme, mcsv1beta1.Install, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	clusterSet := &v1alpha1.ClusterSet{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName},
		Spec: v1alpha1.ClusterSetSpec{
			ClusterSetID: "demo", ClusterID: c.id, TransitCIDR: "245.0.0.0/8", Gateway: v1alpha1.GatewayOptions{Port: 51820, WireGuard: c.wireGuard, Ingress: v1alpha1.IngressAny},
		},
		Status: v1alpha1.ClusterSetStatus{Index: c.index, CIDRs: c.cidrs},
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(clusterSet, node).
		WithStatusSubresource(&v1alpha1.ClusterSet{}, &v1alpha1.GatewayNode{}, &v1alpha1.RemoteCluster{}).Build()
}

// addGateway adds a node with that lane on the wire. Its loopback has the address of a pod.
func (c *testCluster) addGateway(t *testing.T, wire *netns.Wire, lane v1alpha1.Lane, address string) *testGateway {
	t.Helper()
	g := &testGateway{name: fmt.Sprintf("%s-%d", c.id, lane), lane: lane, address: netip.MustParseAddr(address), cluster: c,
		key: keyfile.At(filepath.Join(t.TempDir(), "gateway.key"))}
	g.ns = netns.New(t)
	g.ns.OwnFolder("/run/wireguard")
	g.port = wire.Connect(g.ns, netip.PrefixFrom(g.address, 24))
	g.ns.Run("ip", "address", "add", g.pod()+"/32", "dev", "lo")
	if netns.KernelHasIPv6() {
		g.ns.Run("ip", "address", "add", g.pod6()+"/128", "dev", "lo", "nodad")
	}
	labels := map[string]string{v1alpha1.LabelGateway: "true"}
	g.client = c.newClient(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: g.name, Labels: labels}, Status: corev1.NodeStatus{
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}},
	}})
	c.gateways = append(c.gateways, g)
	return g
}

func (g *testGateway) pod() string  { return fmt.Sprintf("10.%d.%d.1", g.cluster.index, g.lane) }
func (g *testGateway) pod6() string { return fmt.Sprintf("fd00:10:%d:%d::1", g.cluster.index, g.lane) }

// start starts the gateway's agent, until it is stopped or the test ends.
func (g *testGateway) start(t *testing.T) {
	t.Helper()
	g.registry = prometheus.NewRegistry()
	g.agent = New(Config{
		Client: g.client, Secrets: g.client, Key: g.key, Kernel: kernelOf(g.ns),
		Registry: g.registry, NodeName: g.name, Namespace: kernelTestNamespace,
	})
	ctx, cancel := context.WithCancel(logr.NewContext(context.Background(), testr.New(t).WithName(g.name)))
	var running sync.WaitGroup
	running.Add(2)
	go func() {
		defer running.Done()
		_ = g.agent.Run(ctx)
	}()
	g.ns.Go(func() {
		defer running.Done()
		if err := WatchKernel(ctx, g.agent.Changed); err != nil {
			t.Error(err)
		}
	})
	g.stop = func() { cancel(); running.Wait() }
	t.Cleanup(g.stop)
}

// giveLane does what the operator does: it gives the gateway its lane.
func (g *testGateway) giveLane(t *testing.T) {
	t.Helper()
	node := &v1alpha1.GatewayNode{}
	key := client.ObjectKey{Namespace: kernelTestNamespace, Name: g.name}
	waitFor(t, "GatewayNode "+g.name, func() error {
		if err := g.client.Get(t.Context(), key, node); err != nil {
			return err
		}
		node.Status.Lane = &g.lane
		return g.client.Status().Update(t.Context(), node) // it fails if the agent writes meanwhile
	})
	g.agent.Changed()
}

// learn does what hub and operator do: it tells this cluster of the other's gateways.
func (c *testCluster) learn(t *testing.T, other *testCluster) {
	t.Helper()
	rc := &v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: string(other.id)}}
	rc.Spec = v1alpha1.RemoteClusterSpec{Index: other.index, CIDRs: other.cidrs}
	for _, g := range other.gateways {
		node := &v1alpha1.GatewayNode{}
		if err := g.client.Get(t.Context(), client.ObjectKey{Namespace: kernelTestNamespace, Name: g.name}, node); err != nil {
			t.Fatal(err)
		}
		rc.Spec.Gateways = append(rc.Spec.Gateways, v1alpha1.RemoteGateway{
			Name: g.name, Lane: g.lane, PublicKey: node.Spec.PublicKey, Endpoints: slices.Concat(other.decoys, node.Spec.Endpoints),
			TunnelAddresses: node.Spec.TunnelAddresses,
		})
	}
	for _, g := range c.gateways {
		if err := g.client.Create(t.Context(), rc.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		g.agent.Changed()
	}
}

// link is how the gateway says its link to the other one is.
func (g *testGateway) link(t *testing.T, to *testGateway) v1alpha1.Link {
	t.Helper()
	rc := &v1alpha1.RemoteCluster{}
	if err := g.client.Get(t.Context(), client.ObjectKey{Name: string(to.cluster.id)}, rc); err != nil {
		t.Fatal(err)
	}
	for _, e := range rc.Status.Links {
		for _, l := range e.Links {
			if e.Gateway == g.name && l.RemoteGateway == to.name {
				return l
			}
		}
	}
	return v1alpha1.Link{}
}

func (g *testGateway) waitLink(t *testing.T, to *testGateway, want v1alpha1.LinkState) {
	t.Helper()
	waitFor(t, fmt.Sprintf("link %s -> %s %s", g.name, to.name, want), func() error {
		if got := g.link(t, to); got.State != want {
			return fmt.Errorf("it is %q: %s", got.State, got.Message)
		}
		return nil
	})
}

// waitFor returns when check finds nothing wrong, and fails the test if that takes too long.
func waitFor(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute) // the machine may be busy
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// ipJSON is what `ip -j` prints.
func (g *testGateway) ipJSON(t *testing.T, into any, args ...string) {
	t.Helper()
	output := g.ns.Run("ip", append([]string{"-j"}, args...)...)
	if output == "" {
		return
	}
	if err := json.Unmarshal([]byte(output), into); err != nil {
		t.Fatalf("parsing %q: %v", output, err)
	}
}
