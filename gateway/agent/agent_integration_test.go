//go:build integration

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/keyfile"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/hack/testbin"
	"github.com/tombolo-net/tombolo/internal/apply"
)

const (
	configDir = "../../config"
	namespace = v1alpha1.DefaultNamespace
	// peerKey is the text form of 32 bytes.
	peerKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

// apiServer is a real API server with the manifests that concern gateways.
type apiServer struct {
	config *rest.Config
	admin  client.Client
	// disks has a folder for each node.
	disks string
}

func startAPIServer(t *testing.T) apiServer {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	binaries, err := testbin.Dir()
	if err != nil {
		t.Fatal(err)
	}
	server := &envtest.Environment{
		BinaryAssetsDirectory: binaries, CRDDirectoryPaths: []string{filepath.Join(configDir, "crd", "bases")}, ErrorIfCRDPathMissing: true,
	}
	config, err := server.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	config.QPS = -1
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	admin, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	s := apiServer{config: config, admin: admin, disks: t.TempDir()}
	for _, file := range []string{"default/namespace.yaml", "rbac/gateway_role.yaml", "rbac/role_bindings.yaml", "rbac/gateway_policy.yaml"} {
		s.apply(t, file)
	}
	return s
}

// apply creates the objects in a file of config/.
func (s apiServer) apply(t *testing.T, file string) {
	t.Helper()
	f, err := os.ReadFile(filepath.Join(configDir, file))
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range splitYAML(f) {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(doc, &u.Object); err != nil {
			t.Fatalf("parsing %s: %v", file, err)
		}
		if len(u.Object) == 0 {
			continue
		}
		s.create(t, u)
	}
}

func (s apiServer) create(t *testing.T, o client.Object) {
	t.Helper()
	status := o.DeepCopyObject().(client.Object)
	if err := s.admin.Create(t.Context(), o); err != nil {
		t.Fatalf("creating %T %s: %v", o, o.GetName(), err)
	}
	switch want := status.(type) {
	case *v1alpha1.ClusterSet, *corev1.Node:
		want.SetResourceVersion(o.GetResourceVersion())
		want.SetUID(o.GetUID())
		if err := s.admin.Status().Update(t.Context(), want); err != nil {
			t.Fatalf("writing status of %s: %v", o.GetName(), err)
		}
	}
}

// gatewayOn is an agent on a node, and its kernel.
type gatewayOn struct {
	agent  *Agent
	kernel *memoryKernel
	key    keyfile.File
	// stop ends the agent's loops; its caches go on.
	stop func()
}

// start runs an agent with the rights of the gateway on that node, until the test ends.
func (s apiServer) start(t *testing.T, node string) gatewayOn {
	t.Helper()
	config := rest.CopyConfig(s.config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":tombolo-gateway",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
		Extra:    map[string][]string{"authentication.kubernetes.io/node-name": {node}},
	}
	cluster, err := NewCluster(config, node, namespace)
	if err != nil {
		t.Fatal(err)
	}
	g := gatewayOn{kernel: &memoryKernel{}, key: keyfile.At(filepath.Join(s.disks, node, "gateway.key"))}
	g.agent = New(Config{
		Client: cluster.GetClient(), Secrets: cluster.GetAPIReader(), Key: g.key, Kernel: g.kernel.kernel(),
		Registry: prometheus.NewRegistry(), NodeName: node, Namespace: namespace,
	})
	log := testr.New(t).WithName(node)
	run := func(f func(context.Context) error) (stop func()) {
		ctx, cancel := context.WithCancel(logr.NewContext(context.Background(), log))
		done := make(chan error, 1)
		go func() { done <- f(ctx) }()
		return sync.OnceFunc(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(run(cluster.Start))
	g.stop = run(func(ctx context.Context) error {
		if err := g.agent.Watch(ctx, cluster); err != nil {
			return err
		}
		return g.agent.Run(ctx)
	})
	t.Cleanup(g.stop)
	return g
}

func nodeObject(name, address string) *corev1.Node {
	labels := map[string]string{v1alpha1.LabelGateway: "true"}
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Status: corev1.NodeStatus{
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}, {Type: corev1.NodeExternalIP, Address: "203.0.113.7"}},
	}}
}

func clusterSet() *v1alpha1.ClusterSet {
	return &v1alpha1.ClusterSet{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName},
		Spec: v1alpha1.ClusterSetSpec{ClusterSetID: "demo", ClusterID: "east", Hub: v1alpha1.HubAccess{
			Server: "https://hub.example.com:6443", SecretRef: v1alpha1.SecretReference{Name: "tombolo-hub"},
		}},
		Status: v1alpha1.ClusterSetStatus{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16"}},
	}
}

func remote() *v1alpha1.RemoteCluster {
	return &v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: "west"}, Spec: v1alpha1.RemoteClusterSpec{
		Index: 2, CIDRs: []v1alpha1.CIDR{"10.2.0.0/18"},
		Gateways: []v1alpha1.RemoteGateway{{
			Name: "west-1", Lane: 1, PublicKey: peerKey, Endpoints: []v1alpha1.Endpoint{{Address: "192.0.2.21", Port: 51820}},
		}},
	}}
}

// giveLane does what the operator does.
func (s apiServer) giveLane(t *testing.T, name string, lane v1alpha1.Lane) {
	t.Helper()
	g := s.gateway(t, name, func(*v1alpha1.GatewayNode) error { return nil })
	g.Status.Lane = &lane
	if err := s.admin.Status().Patch(t.Context(), g, client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"status":{"lane":%d}}`, lane))); err != nil {
		t.Fatal(err)
	}
}

// gateway waits for the GatewayNode and until check finds nothing wrong with it.
func (s apiServer) gateway(t *testing.T, name string, check func(*v1alpha1.GatewayNode) error) *v1alpha1.GatewayNode {
	t.Helper()
	g := &v1alpha1.GatewayNode{}
	if err := eventually(t.Context(), func() error {
		if err := s.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, g); err != nil {
			return err
		}
		return check(g)
	}); err != nil {
		t.Fatalf("GatewayNode %s: %v", name, err)
	}
	return g
}

func readyIs(status metav1.ConditionStatus, reason string) func(*v1alpha1.GatewayNode) error {
	return func(g *v1alpha1.GatewayNode) error {
		c := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionReady)
		if c == nil || c.Status != status || c.Reason != reason || c.ObservedGeneration != g.Generation {
			return fmt.Errorf("condition Ready of generation %d is %+v, want %s %s", g.Generation, c, status, reason)
		}
		return nil
	}
}

// Gateways with the rights of their manifests, from the first start to the last: each test goes on
// from the one before.
func TestAgent(t *testing.T) {
	s := startAPIServer(t)
	for _, o := range []client.Object{nodeObject("east-0", "192.0.2.10"), nodeObject("east-2", "192.0.2.12"), clusterSet(), remote()} {
		s.create(t, o)
	}
	old := newKey(t)
	s.create(t, keysOfOlderVersion("east-0", old))
	first, second := s.start(t, "east-0"), s.start(t, "east-2")
	for _, tc := range []struct {
		name string
		test func(*testing.T)
	}{
		{"publishes itself", s.testPublish},
		{"tells of its links", s.testLinks},
		{"renews its Lease", s.testLease},
		{"writes what an older CRD has", s.testOlderCRD},
		{"reports trouble and heals", func(t *testing.T) { s.testTrouble(t, first) }},
		{"leaves the clusterset and comes back", func(t *testing.T) { s.testLeave(t, first) }},
		{"takes its key out of the API", func(t *testing.T) { s.testOldKey(t, old) }},
		{"publishes what is wanted", func(t *testing.T) { s.testEndpoints(t, first) }},
		{"drains", s.testDrain},
		{"writes nothing when nothing changed", func(t *testing.T) { s.testQuiet(t, first, second) }},
		{"is started again", s.testStartAgain},
	} {
		if !t.Run(tc.name, tc.test) {
			return
		}
	}
}

func (s apiServer) testPublish(t *testing.T) {
	s.gateway(t, "east-2", readyIs(metav1.ConditionFalse, v1alpha1.ReasonPending))
	s.giveLane(t, "east-0", 0)
	s.giveLane(t, "east-2", 2)
	got := s.gateway(t, "east-2", func(g *v1alpha1.GatewayNode) error {
		if len(g.Spec.TunnelAddresses) == 0 {
			return fmt.Errorf("no tunnel addresses in %+v", g.Spec)
		}
		return readyIs(metav1.ConditionTrue, v1alpha1.ReasonReady)(g)
	})
	want := v1alpha1.GatewayNodeSpec{
		NodeName:          "east-2",
		Endpoints:         []v1alpha1.Endpoint{{Address: "203.0.113.7", Port: 51820}, {Address: "192.0.2.12", Port: 51820}},
		TunnelAddresses:   []v1alpha1.IPAddress{"245.0.16.2", "fd5f:f9b7:58d1:1::2"},
		UnderlayAddresses: []v1alpha1.IPAddress{"192.0.2.12"},
	}
	if diff := cmp.Diff(want, got.Spec, cmpopts.IgnoreFields(v1alpha1.GatewayNodeSpec{}, "PublicKey")); diff != "" {
		t.Errorf("GatewayNode (-want +got):\n%s", diff)
	}
	s.checkKeys(t, "east-0", "east-2")
}

func (s apiServer) testLinks(t *testing.T) {
	for _, e := range s.links(t, "east-0", "east-2") {
		if len(e.Links) != 1 || e.Links[0].State != v1alpha1.LinkConnecting || e.Links[0].RemoteGateway != "west-1" {
			t.Errorf("links of %s are %+v", e.Gateway, e.Links)
		}
	}
}

// testOlderCRD: a field that the CRD does not have is left out, and the rest is written.
func (s apiServer) testOlderCRD(t *testing.T) {
	policy := partial("TrafficPolicy", namespace, "old", "spec", map[string]any{"targetRef": map[string]any{"name": "web", "newField": "a"}, "newField": int64(1)})
	conditions := []any{map[string]any{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "newField": true,
		"lastTransitionTime": "2026-01-01T00:00:00Z"}}
	status := partial("TrafficPolicy", namespace, "old", "status", map[string]any{"conditions": conditions, "newField": []any{"a"}})
	if err := errors.Join(apply.Object(t.Context(), s.admin, "test", policy), apply.Status(t.Context(), s.admin, "test", status)); err != nil {
		t.Fatal(err)
	}
	got := &v1alpha1.TrafficPolicy{}
	if err := s.admin.Get(t.Context(), client.ObjectKeyFromObject(policy), got); err != nil {
		t.Fatal(err)
	}
	if got.Spec.TargetRef.Name != "web" || !meta.IsStatusConditionTrue(got.Status.Conditions, "Accepted") {
		t.Errorf("%+v", got)
	}
}

// checkKeys asserts that each node has a key file, that its key is the one published, and that the
// API has none.
func (s apiServer) checkKeys(t *testing.T, nodes ...string) {
	t.Helper()
	for _, name := range nodes {
		file, err := keyfile.At(filepath.Join(s.disks, name, "gateway.key")).Read()
		if err != nil {
			t.Errorf("key of %s: %v", name, err)
		}
		g := s.gateway(t, name, func(*v1alpha1.GatewayNode) error { return nil })
		if g.Spec.PublicKey != file.Key.Public().String() {
			t.Errorf("%s publishes %s, its key is %s", name, g.Spec.PublicKey, file.Key.Public())
		}
	}
	secret := &corev1.Secret{}
	err := s.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: v1alpha1.GatewayKeysSecret}, secret)
	if names := slices.Sorted(maps.Keys(secret.Data)); err != nil || !slices.Equal(names, []string{"east-9"}) {
		t.Errorf("the API has keys of %v, error %v", names, err)
	}
}

// keysOfOlderVersion is the Secret in which an older version kept that gateway's key, and another's.
func keysOfOlderVersion(node string, key wireguard.PrivateKey) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.GatewayKeysSecret},
		Data:       map[string][]byte{node: []byte(key.Text()), "east-9": []byte("another's")},
	}
}

// testOldKey: the gateway goes on with the key that its peers know.
func (s apiServer) testOldKey(t *testing.T, old wireguard.PrivateKey) {
	g := s.gateway(t, "east-0", func(*v1alpha1.GatewayNode) error { return nil })
	if want := old.Public().String(); g.Spec.PublicKey != want {
		t.Errorf("the public key is %s, and was %s", g.Spec.PublicKey, want)
	}
	secret := &corev1.Secret{}
	if err := s.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: v1alpha1.GatewayKeysSecret}, secret); err != nil {
		t.Fatal(err)
	}
	if secret.Annotations[v1alpha1.AnnotationKeysMoved] != "true" {
		t.Errorf("the Secret is not marked as one that the operator may delete: %v", secret.Annotations)
	}
}

// links waits until each of the gateways has an entry in west's status.
func (s apiServer) links(t *testing.T, gateways ...string) []v1alpha1.GatewayLinks {
	t.Helper()
	rc := &v1alpha1.RemoteCluster{}
	if err := eventually(t.Context(), func() error {
		if err := s.admin.Get(t.Context(), client.ObjectKey{Name: "west"}, rc); err != nil {
			return err
		}
		if len(rc.Status.Links) != len(gateways) {
			return fmt.Errorf("links are %+v", rc.Status.Links)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return rc.Status.Links
}

// testQuiet runs passes by hand, also those of an agent that has just started again.
func (s apiServer) testQuiet(t *testing.T, gateways ...gatewayOn) {
	for _, name := range []string{"east-0", "east-2"} {
		s.gateway(t, name, readyIs(metav1.ConditionTrue, v1alpha1.ReasonReady))
		s.gateway(t, name, drainingIs(v1alpha1.ReasonNotDraining))
	}
	for _, g := range gateways {
		g.stop()
		g.waitDraining(t)
	}
	before := s.versions(t)
	for _, g := range gateways {
		writes := g.kernel.writes
		for range 3 {
			if err := g.agent.tunnelPass(t.Context(), time.Now()); err != nil {
				t.Error(err)
			}
			if err := g.agent.statusPass(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if g.kernel.writes != writes {
			t.Errorf("%d writes to the kernel in passes where nothing changed", g.kernel.writes-writes)
		}
	}
	if diff := cmp.Diff(before, s.versions(t)); diff != "" {
		t.Errorf("writes to the API in passes where nothing changed (-before +after):\n%s", diff)
	}
}

func (s apiServer) versions(t *testing.T) map[string]string {
	t.Helper()
	versions := map[string]string{}
	var gateways v1alpha1.GatewayNodeList
	var remotes v1alpha1.RemoteClusterList
	for _, list := range []client.ObjectList{&gateways, &remotes} {
		if err := s.admin.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range gateways.Items {
		versions[g.Name] = g.ResourceVersion
	}
	for _, r := range remotes.Items {
		versions[r.Name] = r.ResourceVersion
	}
	return versions
}

// testTrouble: a kernel without WireGuard, an agent without its capability, and what else may be.
func (s apiServer) testTrouble(t *testing.T, g gatewayOn) {
	for _, tc := range []struct {
		err    error
		reason string
	}{
		{wireguard.ErrNoKernelSupport, v1alpha1.ReasonKernelModuleMissing},
		{wireguard.ErrNotPermitted, v1alpha1.ReasonNotPermitted},
		{errors.New("device busy"), v1alpha1.ReasonKernelError},
	} {
		g.kernel.fail(tc.err)
		g.agent.Changed()
		s.gateway(t, "east-0", readyIs(metav1.ConditionFalse, tc.reason))
		if err := g.agent.Ready(); err == nil {
			t.Errorf("ready with %v", tc.err)
		}
		g.kernel.fail(nil)
		s.gateway(t, "east-0", readyIs(metav1.ConditionTrue, v1alpha1.ReasonReady))
	}
}

// testLeave: without a ClusterSet there are no tunnels; with one that is made anew they are there
// again.
func (s apiServer) testLeave(t *testing.T, g gatewayOn) {
	devices := func(want int) {
		t.Helper()
		if err := eventually(t.Context(), func() error {
			state, err := memoryTunnels{g.kernel}.Read(t.Context())
			if err == nil && len(state.Devices) != want {
				err = fmt.Errorf("devices are %+v, want %d", state.Devices, want)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	devices(1)
	if err := s.admin.Delete(t.Context(), clusterSet()); err != nil {
		t.Fatal(err)
	}
	devices(0)
	s.create(t, clusterSet())
	devices(1)
}

// splitYAML is the documents of a file.
func splitYAML(file []byte) [][]byte {
	return bytes.Split(file, []byte("\n---\n"))
}
