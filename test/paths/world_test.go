package paths

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	dataplane "github.com/tombolo-net/tombolo/dataplane/plan"
	gateway "github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// world is some clusters, and what is true of them.
type world struct {
	random   *rand.Rand
	clusters []*cluster
	// cut are the links that carry no packets, in either direction.
	cut map[[2]*node]bool
}

type cluster struct {
	id    v1alpha1.ClusterID
	index int32
	nodes []*node
}

// node is a node of a cluster. Nodes with a key are gateways.
type node struct {
	cluster *cluster
	number  int
	key     *wireguard.PrivateKey
	// public is the key's public half.
	public string
	lane   v1alpha1.Lane
	// dead nodes forward nothing; flows should leave those that drain.
	dead, draining bool
	// fresh: the gateway has just started. Its tunnels carry nothing yet, and it knows nothing of them
	// or of its siblings.
	fresh bool
	// leaving: it is no gateway any more, its agent ends, and others have left it.
	leaving bool
	// former: the node was a gateway until now, and others may still take it for one.
	former bool

	routes  []route.Route
	rules   []route.Rule
	tunnels gateway.Tunnels
	overlay dataplane.Overlay
}

func (n *node) name() string    { return fmt.Sprintf("%s-%d", n.cluster.id, n.number) }
func (n *node) isGateway() bool { return n.key != nil }
func (n *node) pods() netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", n.cluster.index, n.number))
}
func (n *node) pod() netip.Addr { return n.pods().Addr().Next() }
func (n *node) address() netip.Addr {
	return netip.AddrFrom4([4]byte{192, 0, byte(n.cluster.index), byte(n.number + 1)})
}
func (n *node) tunnelAddress() netip.Addr { return n.tunnels.TunnelAddresses[0] }

func (c *cluster) cidr() v1alpha1.CIDR { return v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", c.index)) }

func (c *cluster) gateways() (gateways []*node) {
	for _, n := range c.nodes {
		if n.isGateway() {
			gateways = append(gateways, n)
		}
	}
	return gateways
}

// newWorld makes two or three clusters with one to four gateways and two workers each. Any of their
// gateways may be dead or draining, any of the links cut.
func newWorld(seed uint64) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 1)), cut: map[[2]*node]bool{}}
	for i := range 2 + w.random.IntN(2) {
		c := &cluster{id: v1alpha1.ClusterID("abc"[i : i+1]), index: int32(i + 1)}
		gateways := 1 + w.random.IntN(4)
		lanes := w.random.Perm(6)
		for number := range gateways + 2 {
			n := &node{cluster: c, number: number}
			if number < gateways {
				n.key, n.lane = &wireguard.PrivateKey{1: byte(c.index), 2: byte(number + 1)}, v1alpha1.Lane(lanes[number])
				n.public = n.key.Public().String()
				n.dead, n.fresh = w.chance(5), w.chance(6)
				n.leaving = !n.fresh && w.chance(6)
				n.draining = n.fresh || n.leaving || w.chance(5)
			}
			if number == gateways {
				n.lane = v1alpha1.Lane(lanes[number])
			}
			n.former = number == gateways && w.chance(3)
			c.nodes = append(c.nodes, n)
		}
		w.clusters = append(w.clusters, c)
	}
	share := 1 + w.random.IntN(3)
	for i, c := range w.clusters {
		for _, other := range w.clusters[:i] {
			for _, g := range c.gateways() {
				for _, h := range other.gateways() {
					cut := w.chance(share)
					w.cut[[2]*node{g, h}], w.cut[[2]*node{h, g}] = cut, cut
				}
			}
		}
	}
	return w
}

// chance is true once in n times.
func (w *world) chance(n int) bool { return w.random.IntN(n) == 0 }

// carries reports whether packets pass between the gateways of two clusters.
func (w *world) carries(g, h *node) bool {
	return !g.dead && !h.dead && !g.fresh && !h.fresh && !w.cut[[2]*node{g, h}]
}

// views is how nodes see the world. If it is not accurate, each node errs in its own way.
type views struct {
	*world
	accurate bool
}

// sees is what a node takes for true.
func (v views) sees(truth bool) bool {
	if !v.accurate && v.chance(3) {
		return !truth
	}
	return truth
}

// plan plans the routes of all nodes.
func (v views) plan(t *testing.T) {
	t.Helper()
	for _, c := range v.clusters {
		for _, n := range c.nodes {
			n.routes, n.rules = nil, nil
			if n.isGateway() {
				v.planTunnels(t, n)
			}
			v.planNetwork(t, n)
		}
	}
}

func (v views) planTunnels(t *testing.T, n *node) {
	t.Helper()
	in := gateway.Input{
		Name: n.name(), Lane: n.lane, ClusterID: n.cluster.id, ClusterSetID: "set", Index: n.cluster.index, CIDRs: []v1alpha1.CIDR{n.cluster.cidr()},
		Transit: "245.0.0.0/8", BasePort: 51820, PrivateKey: *n.key, Underlay: []netip.Addr{n.address()}, MTU: 1500,
	}
	view := gateway.View{Links: map[gateway.LinkID]gateway.LinkView{}, Siblings: map[string]gateway.SiblingView{}, Leaving: n.leaving}
	for _, c := range v.clusters {
		if c == n.cluster {
			continue
		}
		r := v.remote(c)
		in.Remotes = append(in.Remotes, gateway.Remote{ClusterID: c.id, Index: c.index, CIDRs: r.Spec.CIDRs, Gateways: r.Spec.Gateways})
		for _, h := range c.gateways() {
			view.Links[gateway.LinkID{Cluster: c.id, Gateway: h.name()}] = v.link(n, h)
		}
	}
	for _, s := range n.cluster.gateways() {
		if s == n {
			continue
		}
		in.Siblings = append(in.Siblings, gateway.GatewayPeer{
			Name: s.name(), Lane: s.lane, PublicKey: s.public, Underlay: []netip.Addr{s.address()},
		})
		if !n.fresh {
			view.Siblings[s.name()] = v.sibling(s)
		}
	}
	tunnels, err := gateway.NewTunnels(in)
	if err != nil || len(tunnels.Warnings) > 0 {
		t.Fatalf("tunnels of %s: %v, warnings %v", n.name(), err, tunnels.Warnings)
	}
	config := gateway.Routes(tunnels, view)
	n.tunnels, n.routes, n.rules = tunnels, append(n.routes, config.Routes...), append(n.rules, config.Rules...)
}

// link is how a gateway sees its link to h.
func (v views) link(n, h *node) gateway.LinkView {
	if n.fresh {
		return gateway.LinkView{New: v.sees(true)}
	}
	return gateway.LinkView{Up: v.sees(v.carries(n, h)), Draining: v.sees(h.draining)}
}

// sibling is how another gateway of its cluster sees s.
func (v views) sibling(s *node) gateway.SiblingView {
	view := gateway.SiblingView{Up: v.sees(!s.dead), Draining: v.sees(s.draining), Reaches: map[v1alpha1.ClusterID]bool{}}
	for _, c := range v.clusters {
		reaches := false
		for _, h := range c.gateways() {
			reaches = reaches || c != s.cluster && v.carries(s, h)
		}
		view.Reaches[c.id] = v.sees(reaches)
	}
	return view
}

// remote is the cluster as the others know it.
func (v views) remote(c *cluster) *v1alpha1.RemoteCluster {
	r := &v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: string(c.id)}}
	r.Spec = v1alpha1.RemoteClusterSpec{Index: c.index, CIDRs: []v1alpha1.CIDR{c.cidr()}}
	for _, g := range c.gateways() {
		r.Spec.Gateways = append(r.Spec.Gateways, v1alpha1.RemoteGateway{
			Name: g.name(), Lane: g.lane, PublicKey: g.public,
			Endpoints: []v1alpha1.Endpoint{{Address: v1alpha1.IPAddress(g.address().String()), Port: 51820}},
		})
	}
	return r
}

func (v views) planNetwork(t *testing.T, n *node) {
	t.Helper()
	in := dataplane.NetworkInput{Node: n.name(), UnderlayMTU: 1500, Live: clusterset.LiveGateways{}, ClusterSet: &v1alpha1.ClusterSet{
		Spec:   v1alpha1.ClusterSetSpec{ClusterSetID: "set", ClusterID: n.cluster.id, TransitCIDR: "245.0.0.0/8", VIPCIDRs: []v1alpha1.CIDR{"244.0.0.0/16"}},
		Status: v1alpha1.ClusterSetStatus{Index: n.cluster.index, CIDRs: []v1alpha1.CIDR{n.cluster.cidr()}},
	}}
	for _, other := range n.cluster.nodes {
		in.Nodes = append(in.Nodes, other.object())
		switch {
		case other == n && !n.isGateway(), other != n && !v.sees(other.isGateway()):
			continue // nodes may not know of a gateway yet
		case !other.isGateway() && !other.former:
			continue
		}
		in.Gateways = append(in.Gateways, v.gatewayNode(other))
		if v.sees(!other.dead) {
			in.Live[other.name()] = true
		}
	}
	for _, c := range v.clusters {
		if c != n.cluster {
			in.Remotes = append(in.Remotes, v.remote(c))
		}
	}
	network, err := dataplane.NewNetwork(in)
	if err != nil {
		t.Fatalf("network of %s: %v", n.name(), err)
	}
	n.overlay = network.Overlay
	n.routes, n.rules = append(n.routes, network.Routes.Routes...), append(n.rules, network.Routes.Rules...)
	slices.SortStableFunc(n.rules, func(a, b route.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
}

func (n *node) object() *corev1.Node {
	o := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name()}, Spec: corev1.NodeSpec{PodCIDRs: []string{n.pods().String()}}}
	o.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.address().String()}}
	return o
}

func (v views) gatewayNode(n *node) *v1alpha1.GatewayNode {
	g := &v1alpha1.GatewayNode{ObjectMeta: metav1.ObjectMeta{Name: n.name()}}
	g.Spec = v1alpha1.GatewayNodeSpec{NodeName: n.name(), UnderlayAddresses: []v1alpha1.IPAddress{v1alpha1.IPAddress(n.address().String())}}
	g.Status.Lane = &n.lane
	for kind, truth := range map[string]bool{v1alpha1.ConditionReady: true, v1alpha1.ConditionAlive: !n.dead, v1alpha1.ConditionDraining: n.draining} {
		c := metav1.Condition{Type: kind, Status: metav1.ConditionFalse}
		if v.sees(truth) {
			c.Status = metav1.ConditionTrue
		}
		if n.fresh && kind == v1alpha1.ConditionDraining {
			c.Reason = v1alpha1.ReasonAgentStarting
		}
		g.Status.Conditions = append(g.Status.Conditions, c)
	}
	return g
}
