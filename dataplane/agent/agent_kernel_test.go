//go:build kernel

package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// fixture is an agent on a node with a real kernel and a fake API server.
type fixture struct {
	t      *testing.T
	node   *netns.Namespace
	client client.Client
	agent  *Agent
}

const namespace = "tombolo-system"

func newFixture(t *testing.T, node *netns.Namespace, objects ...client.Object) *fixture {
	t.Helper()
	scheme := kruntime.NewScheme()
	for _, add := range []func(*kruntime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, mcsv1beta1.Install} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	objects = append(objects, clusterSet(), nodeObject("worker", "192.0.2.1", "10.2.1.0/24"))
	f := &fixture{t: t, node: node}
	f.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&corev1.Node{}, &v1alpha1.ClusterSet{}).
		WithIndex(&discoveryv1.EndpointSlice{}, byService, serviceOf).
		WithIndex(&v1alpha1.TrafficPolicy{}, byTarget, targetOf).Build()
	f.restart()
	return f
}

// restart makes a new agent, as a new process would.
func (f *fixture) restart() { f.agent = f.on("worker", f.node).agent }

// on returns an agent on another node of the same cluster.
func (f *fixture) on(name string, node *netns.Namespace) *fixture {
	other := &fixture{t: f.t, node: node, client: f.client}
	other.agent = New(Config{Client: f.client, NodeName: name, Namespace: namespace,
		Metrics: NewMetrics(prometheus.NewRegistry()), KubeProxy: "127.0.0.1:1"})
	other.agent.start()
	return other
}

// pass runs one pass in the node's namespace.
func (f *fixture) pass(cause node.Cause) {
	f.t.Helper()
	f.passAt(time.Now(), cause)
}

// passAt runs one pass that begins at that time.
func (f *fixture) passAt(now time.Time, cause node.Cause) {
	f.t.Helper()
	f.node.Do(func() {
		if err := f.agent.pass(f.t.Context(), now, cause); err != nil {
			f.t.Error(err)
		}
	})
	f.agent.services.backend.Wait()
}

// quiet fails the test if another pass, with repair, writes to the kernel.
func (f *fixture) quiet() {
	f.t.Helper()
	before := f.writes()
	f.pass(node.Audited)
	f.agent.markNetwork()
	f.pass(node.Audited)
	if after := f.writes(); after != before {
		f.t.Errorf("passes without a change wrote %v objects", after-before)
	}
}

func (f *fixture) writes() float64 { return total(f.t, f.agent.cfg.Metrics.kernelWrites) }

// total returns the sum of a metric over all its labels.
func total(t *testing.T, metric prometheus.Collector) (sum float64) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(metric)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func (f *fixture) apply(o client.Object) {
	f.t.Helper()
	existing := o.DeepCopyObject().(client.Object)
	err := f.client.Get(f.t.Context(), client.ObjectKeyFromObject(o), existing)
	if err == nil {
		o.SetResourceVersion(existing.GetResourceVersion())
		err = f.client.Update(f.t.Context(), o)
	} else {
		err = f.client.Create(f.t.Context(), o)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.agent.mark(o)
}

func (f *fixture) delete(o client.Object) {
	f.t.Helper()
	if err := f.client.Delete(f.t.Context(), o); err != nil {
		f.t.Fatal(err)
	}
	f.agent.mark(o)
}

// condition returns the node's condition, as "status reason message".
func (f *fixture) condition() string {
	f.t.Helper()
	var node corev1.Node
	if err := f.client.Get(f.t.Context(), client.ObjectKey{Name: "worker"}, &node); err != nil {
		f.t.Fatal(err)
	}
	for _, c := range node.Status.Conditions {
		if c.Type == v1alpha1.NodeConditionDataplane {
			return fmt.Sprintf("%s %s %s", c.Status, c.Reason, c.Message)
		}
	}
	return "none"
}

func clusterSet() *v1alpha1.ClusterSet {
	return &v1alpha1.ClusterSet{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName},
		Spec: v1alpha1.ClusterSetSpec{ClusterSetID: "demo", ClusterID: "west", VIPCIDRs: []v1alpha1.CIDR{"244.0.0.0/16"},
			TransitCIDR: "245.0.0.0/8"},
		Status: v1alpha1.ClusterSetStatus{CIDRs: []v1alpha1.CIDR{"10.2.0.0/18"}, Conditions: acceptedAs(metav1.ConditionTrue, v1alpha1.ReasonAccepted)},
	}
}

// acceptedAs returns the operator's condition on generation 0, at which the test's objects stay.
func acceptedAs(status metav1.ConditionStatus, reason string) []metav1.Condition {
	return []metav1.Condition{{Type: v1alpha1.ConditionAccepted, Status: status, Reason: reason, Message: "the operator's words"}}
}

func nodeObject(name, address, pods string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDRs: []string{pods}},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}}}
}

func gatewayNode(node, address string, lane v1alpha1.Lane) *v1alpha1.GatewayNode {
	return &v1alpha1.GatewayNode{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: node},
		Spec:   v1alpha1.GatewayNodeSpec{NodeName: node, UnderlayAddresses: []v1alpha1.IPAddress{v1alpha1.IPAddress(address)}},
		Status: v1alpha1.GatewayNodeStatus{Lane: &lane}}
}

func remote(cluster string, cidrs ...v1alpha1.CIDR) *v1alpha1.RemoteCluster {
	return &v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: cluster}, Spec: v1alpha1.RemoteClusterSpec{Index: 1, CIDRs: cidrs}}
}

func imported(name, ip string, ports ...mcsv1beta1.ServicePort) *mcsv1beta1.ServiceImport {
	return &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		Spec:       mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, IPs: []string{ip}, Ports: ports},
	}
}

func slice(service, cluster string, port int32, addresses ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: cluster + "." + service, Labels: map[string]string{
			v1alpha1.LabelServiceName: service, v1alpha1.LabelSourceCluster: cluster, discoveryv1.LabelManagedBy: v1alpha1.ManagedBy},
			OwnerReferences: []metav1.OwnerReference{{UID: types.UID(service)}}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: &port}},
	}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	return s
}

var web80 = mcsv1beta1.ServicePort{Name: "http", Port: 80}

// newWorker returns a node with a pod, beside a gateway that leads to a remote pod.
func newWorker(t *testing.T) (worker, pod, gateway, away *netns.Namespace) {
	worker, pod, gateway, away = netns.New(t), netns.New(t), netns.New(t), netns.New(t)
	worker.Sysctl("net/ipv4/conf/all/rp_filter", "1")
	worker.Join("eth0", "192.0.2.1/24", gateway, "eth0", "192.0.2.2/24")
	worker.Join("pod0", "10.2.1.1/24", pod, "eth0", "10.2.1.5/24")
	pod.Route("0.0.0.0/0", "10.2.1.1")
	gateway.Join("link0", "10.1.0.1/16", away, "eth0", "10.1.0.5/16")
	away.Route("0.0.0.0/0", "10.1.0.1")
	// As the gateway agent does.
	gateway.Run("ip", "route", "add", "10.1.0.0/16", "dev", "link0", "table", "7473")
	gateway.Run("ip", "rule", "add", "pref", "7473", "lookup", "7473")
	away.Serve("away", 8080)
	pod.Serve("pod", 8080)
	return worker, pod, gateway, away
}

func list(node *netns.Namespace) string {
	return strings.Join(strings.Fields(strings.SplitN(node.Run("ipvsadm", "-Ln"), "InActConn", 2)[1]), " ")
}

// weights returns the destinations of the only virtual service, as "address*weight".
func weights(node *netns.Namespace) string {
	var all []string
	for _, line := range strings.Split(node.Run("ipvsadm", "-Ln"), "\n") {
		if f := strings.Fields(line); len(f) > 3 && f[0] == "->" && f[2] == "Masq" {
			all = append(all, netip.MustParseAddrPort(f[1]).Addr().String()+"*"+f[3])
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// TestLife goes from nothing to traffic through clusterset IP and VXLAN, with an agent on both
// nodes. Then come all changes in turn, a restart, and the clean-up.
func TestLife(t *testing.T) {
	worker, pod, gatewayNet, _ := newWorker(t)
	before := snapshot(worker)
	f := newFixture(t, worker)
	gw := nodeObject("gateway", "192.0.2.2", "10.2.0.0/24")
	for _, o := range []client.Object{gw, gatewayNode("gateway", "192.0.2.2", 3), remote("east", "10.1.0.0/16"),
		imported("web", "244.0.0.7", web80), slice("web", "east", 8080, "10.1.0.5")} {
		f.apply(o)
	}
	g := f.on("gateway", gatewayNet)
	f.pass(node.Marked)
	g.pass(node.Marked)
	if got, want := list(worker), "TCP 244.0.0.7:80 wrr (flag-3) -> 10.1.0.5:8080 Masq 1 0 0"; got != want {
		t.Errorf("ipvsadm: %q, want %q", got, want)
	}
	if got := f.condition(); !strings.HasPrefix(got, "True Ready IPVS serves clusterset IPs (backend auto, no kube-proxy answers)") {
		t.Errorf("condition %q", got)
	}
	if err := f.agent.Ready(); err != nil {
		t.Errorf("Ready: %v", err)
	}
	f.quiet()
	g.quiet()
	if answer, err := pod.Ask("tcp", "244.0.0.7:80"); err != nil || answer != "away 10.2.1.5" {
		t.Errorf("pod to the clusterset IP: %q, %v", answer, err)
	}

	unready := slice("web", "east", 8080, "10.1.0.5", "10.1.0.6")
	unready.Endpoints[0].Conditions.Ready = ptr.To(false)
	f.apply(unready)
	f.apply(slice("web", "west", 8080, "10.2.1.5"))
	f.pass(node.Marked)
	// What is not ready gets no new flows, and keeps those that it has.
	if got := weights(worker); got != "10.1.0.5*0 10.1.0.6*1 10.2.1.5*1" {
		t.Errorf("weights: %q", got)
	}
	lost := remote("east", "10.1.0.0/16")
	lost.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReachable, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNoLink}}
	f.apply(lost)
	f.pass(node.Marked)
	if got := weights(worker); got != "10.1.0.5*0 10.1.0.6*0 10.2.1.5*1" {
		t.Errorf("with east unreachable: %q", got)
	}
	f.apply(remote("east", "10.1.0.0/16"))
	f.pass(node.Marked)
	if got := weights(worker); got != "10.1.0.5*0 10.1.0.6*1 10.2.1.5*1" {
		t.Errorf("with east back: %q", got)
	}
	f.quiet()

	f.restart()
	f.pass(node.Marked)
	if n := f.writes(); n != 0 {
		t.Errorf("a restarted agent wrote %v objects", n)
	}
	f.delete(imported("web", "244.0.0.7"))
	f.restart() // it was deleted while nobody looked
	f.pass(node.Marked)
	if got := list(worker); got != "" {
		t.Errorf("after the import went: %q", got)
	}
	if _, err := pod.Ask("tcp", "244.0.0.7:80"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("after the import went: %v, want a refusal", err)
	}
	f.delete(clusterSet())
	f.pass(node.Marked)
	if got := f.condition(); !strings.HasPrefix(got, "False Pending there is no ClusterSet") {
		t.Errorf("condition %q", got)
	}
	if diff := cmp.Diff(before, snapshot(worker)); diff != "" {
		t.Errorf("after the cluster left (-before +after)\n%s", diff)
	}
}

// TestPodsThatACNIRoutes: a pod in a block that no Node names is reached over the VXLAN as soon as
// the gateway's kernel has the CNI's route to it, while both nodes filter by strict reverse path.
// The agent uses no other routes.
func TestPodsThatACNIRoutes(t *testing.T) {
	worker, pod, gatewayNet, _ := newWorker(t)
	gatewayNet.Sysctl("net/ipv4/conf/all/rp_filter", "1")
	f := newFixture(t, worker)
	for _, o := range []client.Object{nodeObject("worker", "192.0.2.1", "10.2.60.0/24"), nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"),
		gatewayNode("gateway", "192.0.2.2", 3), remote("east", "10.1.0.0/16"), imported("web", "244.0.0.7", web80), slice("web", "east", 8080, "10.1.0.5")} {
		f.apply(o)
	}
	g := f.on("gateway", gatewayNet)
	f.pass(node.Marked)
	g.pass(node.Marked)
	if answer, err := pod.Ask("tcp", "244.0.0.7:80"); err == nil {
		t.Errorf("answered %q though the gateway cannot know where the pod is", answer)
	}
	gatewayNet.Run("ip", "route", "add", "10.2.1.0/26", "via", "192.0.2.1")
	gatewayNet.Run("ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.1") // no address of this cluster
	gatewayNet.Run("ip", "route", "add", "10.2.5.0/26", "via", "192.0.2.99")    // no node
	gatewayNet.Run("ip", "route", "add", "10.2.60.64/26", "via", "192.0.2.1")   // the Node names more
	g.agent.routes.touched.Store(true)                                          // as rtnl.Watch does
	g.pass(node.Ticked)
	want := "10.2.1.0/26 via 192.0.2.1\n10.2.60.0/24 via 192.0.2.1"
	if got := routesOf(gatewayNet, "7475"); got != want {
		t.Errorf("routes back to nodes:\n%s\nwant\n%s", got, want)
	}
	if answer, err := pod.Ask("tcp", "244.0.0.7:80"); err != nil || answer != "away 10.2.1.5" {
		t.Errorf("pod to the clusterset IP: %q, %v", answer, err)
	}
	g.quiet()
	gatewayNet.Run("ip", "route", "del", "10.2.1.0/26")
	g.agent.routes.touched.Store(true)
	g.pass(node.Ticked)
	if got, want := routesOf(gatewayNet, "7475"), "10.2.60.0/24 via 192.0.2.1"; got != want {
		t.Errorf("routes back to nodes after the CNI's has gone:\n%s\nwant\n%s", got, want)
	}
}

// routesOf returns the prefixes and next hops of a table, a line each, sorted.
func routesOf(node *netns.Namespace, table string) string {
	var all []string
	for line := range strings.Lines(node.Run("ip", "route", "show", "table", table)) {
		all = append(all, strings.Join(strings.Fields(line)[:3], " "))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// snapshot returns what the dataplane may change, by line. It leaves out the IPv6 addresses of the
// test's own links, which come at any time, and the size of IPVS's table of connections: newer kernels,
// such as Linux 7.2, make it with the first service and keep it.
func snapshot(node *netns.Namespace) []string {
	var all string
	for _, command := range []string{
		"ip rule", "ip -6 rule", "ip -4 route show table all", "ip -6 route show table all proto 148", "ip -br link",
		"ip neigh show nud permanent", "ipvsadm -Ln",
	} {
		args := strings.Fields(command)
		all += node.Run(args[0], args[1:]...)
	}
	// By their names, without what the counters say: a table that was made again is the last one.
	tables := strings.Split(strings.TrimSpace(node.Run("nft", "list", "tables")), "\n")
	for _, table := range slices.Sorted(slices.Values(tables)) {
		if table != "" {
			all += node.Run("nft", append([]string{"--stateless", "list"}, strings.Fields(table)...)...)
		}
	}
	return slices.DeleteFunc(strings.Split(all, "\n"), func(line string) bool {
		return strings.HasPrefix(line, "IP Virtual Server version ")
	})
}

func TestCleanup(t *testing.T) {
	worker, _, _, _ := newWorker(t)
	worker.Run("ipvsadm", "-A", "-t", "10.96.0.1:443", "-s", "rr")
	worker.Run("nft", "add table inet other; add chain inet other c")
	worker.Run("ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.2", "table", "7474")
	before := snapshot(worker)
	f := newFixture(t, worker, gatewayNode("gateway", "192.0.2.2", 0), remote("east", "10.1.0.0/16"),
		imported("web", "244.0.0.7", web80), slice("web", "east", 8080, "10.1.0.5"))
	f.pass(node.Marked)
	if slices.Equal(snapshot(worker), before) {
		t.Fatal("nothing was programmed")
	}
	for range 2 {
		worker.Do(func() {
			if err := Cleanup(t.Context()); err != nil {
				t.Errorf("Cleanup: %v", err)
			}
		})
		if diff := cmp.Diff(before, snapshot(worker)); diff != "" {
			t.Errorf("after the clean-up (-before +after)\n%s", diff)
		}
	}
}

// TestCleanupWhileOthersDo: what another process removes meanwhile, as an agent that leaves, is no
// reason to fail.
func TestCleanupWhileOthersDo(t *testing.T) {
	worker, _, _, _ := newWorker(t)
	worker.Run("nft", "add table ip filter; add chain ip filter INPUT { type filter hook input priority 0; policy accept; }")
	f := newFixture(t, worker, gatewayNode("gateway", "192.0.2.2", 0), remote("east", "10.1.0.0/16"),
		imported("web", "244.0.0.7", web80), slice("web", "east", 8080, "10.1.0.5"))
	for range 20 {
		f.pass(node.Marked)
		f.pass(node.Audited)
		worker.Twice(func() error { return Cleanup(t.Context()) })
	}
}

func TestRepair(t *testing.T) {
	worker, _, _, _ := newWorker(t)
	f := newFixture(t, worker, gatewayNode("gateway", "192.0.2.2", 0), remote("east", "10.1.0.0/16"),
		imported("web", "244.0.0.7", web80), slice("web", "east", 8080, "10.1.0.5"))
	f.pass(node.Marked)
	f.quiet()
	want := snapshot(worker)
	now := time.Now() // of all repairs: others who go on are told of
	for _, tt := range []struct {
		damage string
		cause  node.Cause
	}{
		{"ipvsadm -C", node.Ticked},
		{"ip rule del pref 7474", node.Audited},
		{"nft delete table inet tombolo", node.Audited},
		{"nft flush set inet tombolo served4", node.Audited},
		{"ip link del tombolo-vx", node.Audited},
	} {
		args := strings.Fields(tt.damage)
		worker.Run(args[0], args[1:]...)
		f.passAt(now, tt.cause)
		if diff := cmp.Diff(want, snapshot(worker)); diff != "" {
			t.Errorf("after %s (-want +got)\n%s", tt.damage, diff)
		}
	}
	f.quiet()
	worker.Run("ipvsadm", "-A", "-t", "244.0.3.3:80", "-s", "rr")
	f.pass(node.Audited)
	if got := f.condition(); !strings.Contains(got, "True Ready") || !strings.Contains(got, "left alone: TCP 244.0.3.3:80") {
		t.Errorf("with a foreign virtual service: condition %q", got)
	}
}

// TestOneBadServiceHarmsNoOther: a service that the kernel refuses again and again keeps the node
// from being ready, and does nothing else.
func TestOneBadServiceHarmsNoOther(t *testing.T) {
	worker, _, _, _ := newWorker(t)
	f := newFixture(t, worker, remote("east", "10.1.0.0/16"), imported("web", "244.0.0.7", web80), slice("web", "east", 8080, "10.1.0.5"))
	f.pass(node.Marked)
	bad := types.NamespacedName{Namespace: "default", Name: "bad"}
	put := func(services ...plan.VirtualService) {
		f.agent.services.replace(f.agent.planner.put(bad, plan.Output{Services: services}))
	}
	put(plan.VirtualService{Key: plan.Key{Address: netip.MustParseAddr("244.0.0.8"), Protocol: serviceport.TCP, Port: 80}, Scheduler: "nonesuch",
		Destinations: []plan.Destination{{Address: netip.MustParseAddr("10.1.0.5"), Port: 8080, Weight: 1}}})
	for range 2 {
		worker.Run("ipvsadm", "-C")
		f.pass(node.Ticked)
		if got, want := list(worker), "TCP 244.0.0.7:80 wrr (flag-3) -> 10.1.0.5:8080 Masq 1 0 0"; got != want {
			t.Errorf("ipvsadm: %q, want %q", got, want)
		}
		if got := f.condition(); !strings.HasPrefix(got, "False KernelModuleMissing adding virtual service TCP 244.0.0.8:80: scheduler nonesuch: the kernel module") {
			t.Errorf("condition %q", got)
		}
	}
	put()
	f.pass(node.Audited) // which waits for nothing
	if got := f.condition(); !strings.HasPrefix(got, "True") {
		t.Errorf("mended: condition %q", got)
	}
}

func TestBadInputChangesNothing(t *testing.T) {
	worker, _, _, _ := newWorker(t)
	f := newFixture(t, worker, gatewayNode("gateway", "192.0.2.2", 0), remote("east", "10.1.0.0/16"),
		imported("web", "244.0.0.7", web80), slice("web", "east", 8080, "10.1.0.5"), slice("web", "west", 8080, "10.2.1.5"))
	f.pass(node.Marked)
	good := snapshot(worker)
	for _, tt := range []struct {
		name string

		edit func(*v1alpha1.ClusterSet)
		want string
	}{
		{"VIP CIDR holds the pods", func(c *v1alpha1.ClusterSet) { c.Spec.VIPCIDRs = []v1alpha1.CIDR{"10.2.0.0/16"} },
			"False CIDROverlap the VIP CIDR 10.2.0.0/16 overlaps 10.2."},
		{"VIP CIDR holds a remote cluster", func(c *v1alpha1.ClusterSet) { c.Spec.VIPCIDRs = []v1alpha1.CIDR{"10.1.8.0/24"} },
			"False CIDROverlap the VIP CIDR 10.1.8.0/24 overlaps 10.1.0.0/16"},
		{"not accepted", func(c *v1alpha1.ClusterSet) {
			c.Spec.VIPCIDRs = []v1alpha1.CIDR{"243.0.0.0/24"}
			c.Status.Conditions = acceptedAs(metav1.ConditionFalse, v1alpha1.ReasonCIDROverlap)
		}, "False CIDROverlap the ClusterSet is not accepted (CIDROverlap): the operator's words"},
		{"no verdict yet", func(c *v1alpha1.ClusterSet) {
			c.Spec.VIPCIDRs = []v1alpha1.CIDR{"243.0.0.0/24"}
			c.Status.Conditions = nil
		}, "False Pending the operator has not said yet"},
		{"a verdict on an older generation", func(c *v1alpha1.ClusterSet) {
			c.Spec.VIPCIDRs = []v1alpha1.CIDR{"243.0.0.0/24"}
			c.Status.Conditions[0].ObservedGeneration = -1
		}, "False Pending the operator has not said yet"},
		{"not accepted, with another backend", func(c *v1alpha1.ClusterSet) {
			c.Spec.Dataplane.Backend = v1alpha1.BackendNFTables
			c.Status.Conditions = acceptedAs(metav1.ConditionFalse, v1alpha1.ReasonInvalidCIDR)
		}, "False InvalidCIDR the ClusterSet is not accepted"},
	} {
		bad := clusterSet()
		tt.edit(bad)
		f.applyStatus(bad)
		f.pass(node.Audited)
		if got := f.condition(); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: condition %q, want %q", tt.name, got, tt.want)
		}
		if diff := cmp.Diff(good, snapshot(worker)); diff != "" {
			t.Errorf("%s: the kernel changed (-before +after)\n%s", tt.name, diff)
		}
		if f.agent.Ready() == nil {
			t.Errorf("%s: the agent is ready", tt.name)
		}
		lost := remote("east", "10.1.0.0/16")
		lost.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReachable, Status: metav1.ConditionFalse}}
		f.apply(lost)
		f.pass(node.Marked)
		if got := weights(worker); got != "10.1.0.5*0 10.2.1.5*1" {
			t.Errorf("%s: with east unreachable: %s", tt.name, got)
		}
		f.apply(remote("east", "10.1.0.0/16"))
		f.applyStatus(clusterSet())
		f.pass(node.Marked)
		if got := f.condition(); !strings.HasPrefix(got, "True") {
			t.Errorf("%s, mended: condition %q", tt.name, got)
		}
	}
}

// applyStatus writes spec and status.
func (f *fixture) applyStatus(set *v1alpha1.ClusterSet) {
	f.t.Helper()
	status := set.Status
	f.apply(set)
	set.Status = status
	if err := f.client.Status().Update(f.t.Context(), set); err != nil {
		f.t.Fatal(err)
	}
}

// TestWithoutNetAdmin: an agent whose thread has lost the capability says so, and heals when it has
// it.
func TestWithoutNetAdmin(t *testing.T) {
	worker, _, _, _ := newWorker(t)
	f := newFixture(t, worker, remote("east", "10.1.0.0/16"), imported("web", "244.0.0.7", web80), slice("web", "east", 8080, "10.1.0.5"))
	worker.Do(func() {
		loseNetAdmin(t)
		f.agent.pass(t.Context(), time.Now(), node.Marked)
	})
	if got := f.condition(); !strings.HasPrefix(got, "False NotPermitted the dataplane may not change the network: it needs the capability NET_ADMIN") {
		t.Errorf("condition %q", got)
	}
	f.agent.close()
	f.pass(node.Audited)
	if got := f.condition(); !strings.HasPrefix(got, "True Ready") {
		t.Errorf("with the capability: condition %q", got)
	}
	if got := list(worker); !strings.Contains(got, "244.0.0.7:80") {
		t.Errorf("ipvsadm: %q", got)
	}
}

// TestChangeOfVIPCIDR: what was served in the old block goes, also after a restart.
func TestChangeOfVIPCIDR(t *testing.T) {
	for _, restart := range []bool{false, true} {
		worker, _, _, _ := newWorker(t)
		f := newFixture(t, worker, remote("east", "10.1.0.0/16"), imported("web", "244.0.0.7", web80), slice("web", "east", 8080, "10.1.0.5"))
		f.pass(node.Marked)
		moved := clusterSet()
		moved.Spec.VIPCIDRs = []v1alpha1.CIDR{"243.7.0.0/16"}
		f.applyStatus(moved)
		f.apply(imported("web", "243.7.0.7", web80))
		if restart {
			f.restart()
		}
		f.pass(node.Marked)
		f.pass(node.Ticked)
		if got, want := list(worker), "TCP 243.7.0.7:80 wrr (flag-3) -> 10.1.0.5:8080 Masq 1 0 0"; got != want {
			t.Errorf("restart %t: ipvsadm %q, want %q", restart, got, want)
		}
		if got := worker.Run("ip", "route", "show", "table", "local", "proto", "148"); strings.Contains(got, "244.0.0.0") || !strings.Contains(got, "243.7.0.0/16") {
			t.Errorf("restart %t: local routes %s", restart, got)
		}
		f.quiet()
	}
}

// loseNetAdmin removes CAP_NET_ADMIN from this thread, and from the programs that it runs.
func loseNetAdmin(t *testing.T) {
	t.Helper()
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_NET_ADMIN, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
}
