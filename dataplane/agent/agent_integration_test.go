//go:build integration

package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/hack/testbin"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

const (
	configDir = "../../config"
	thisNode  = "worker"
	// patience is how long the test waits for what takes a second.
	patience = time.Minute
)

// server is a real API server, at first without tombolo's kinds.
type server struct {
	*testing.T
	config *rest.Config
	admin  client.Client
}

func startServer(t *testing.T) server {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	binaries, err := testbin.Dir()
	if err != nil {
		t.Fatal(err)
	}
	environment := &envtest.Environment{BinaryAssetsDirectory: binaries}
	config, err := environment.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	})
	cluster, err := NewCluster(config, v1alpha1.DefaultNamespace)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(config, client.Options{Scheme: cluster.GetScheme()})
	if err != nil {
		t.Fatal(err)
	}
	return server{T: t, config: config, admin: admin}
}

// create creates the objects with their status.
func (s server) create(objects ...client.Object) {
	s.Helper()
	for _, o := range objects {
		wanted := o.DeepCopyObject().(client.Object)
		if err := s.admin.Create(s.Context(), o); err != nil {
			s.Fatalf("creating %T %s: %v", o, o.GetName(), err)
		}
		wanted.SetResourceVersion(o.GetResourceVersion())
		wanted.SetUID(o.GetUID())
		switch o.(type) {
		case *corev1.Node, *v1alpha1.ClusterSet, *v1alpha1.GatewayNode, *v1alpha1.RemoteCluster:
			if err := s.admin.Status().Update(s.Context(), wanted); err != nil {
				s.Fatalf("writing the status of %T %s: %v", o, o.GetName(), err)
			}
		}
	}
}

// apply creates the objects in files of config/.
func (s server) apply(files ...string) {
	s.Helper()
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(configDir, file))
		if err != nil {
			s.Fatal(err)
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
		for {
			var o unstructured.Unstructured
			err := decoder.Decode(&o.Object)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				s.Fatalf("parsing %s: %v", file, err)
			}
			if len(o.Object) > 0 {
				s.create(&o)
			}
		}
	}
}

// asDataplane is the config of the agent's own account, with a token for a pod on this node.
func (s server) asDataplane() *rest.Config {
	s.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: "dataplane"},
		Spec: corev1.PodSpec{NodeName: thisNode, ServiceAccountName: "tombolo-dataplane",
			Containers: []corev1.Container{{Name: "dataplane", Image: "none"}}},
	}
	s.create(pod)
	request, err := kubernetes.NewForConfigOrDie(s.config).CoreV1().ServiceAccounts(pod.Namespace).CreateToken(s.Context(),
		pod.Spec.ServiceAccountName, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}}},
		metav1.CreateOptions{})
	if err != nil {
		s.Fatal(err)
	}
	config := rest.AnonymousClientConfig(s.config)
	config.BearerToken = request.Status.Token
	return config
}

// eventually waits until the condition holds.
func (s server) eventually(what string, holds func() bool) {
	s.Helper()
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			s.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestAgentAtAnAPIServer: with no more rights than config/rbac gives, the agent waits for the CRDs,
// plans what it then sees and every change of it, and writes its own condition, once. The kernel of
// the machine is only read.
func TestAgentAtAnAPIServer(t *testing.T) {
	s := startServer(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: thisNode},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}}}
	s.apply("default/namespace.yaml", "rbac/service_accounts.yaml", "rbac/dataplane_role.yaml", "rbac/role_bindings.yaml", "rbac/dataplane_policy.yaml")
	s.create(node)
	cluster, err := NewCluster(s.asDataplane(), v1alpha1.DefaultNamespace)
	if err != nil {
		t.Fatal(err)
	}
	a := New(Config{Client: cluster.GetClient(), NodeName: thisNode, Namespace: v1alpha1.DefaultNamespace,
		Metrics: NewMetrics(prometheus.NewRegistry())})
	ctx, stop := context.WithCancel(t.Context())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return cluster.Start(ctx) })
	group.Go(func() error { return a.Watch(ctx, cluster) })
	t.Cleanup(func() {
		stop()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})

	s.eventually("the agent says what it waits for", func() bool {
		why := a.Ready()
		return why != nil && strings.Contains(why.Error(), "is not served: install the CRDs")
	})
	if _, started := a.marks.collect(); started {
		t.Fatal("the agent started without the CRDs")
	}
	if _, err := envtest.InstallCRDs(s.config, envtest.CRDInstallOptions{Paths: []string{filepath.Join(configDir, "crd", "bases")}, ErrorIfPathMissing: true}); err != nil {
		t.Fatal(err)
	}
	set := &v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName},
		Spec: v1alpha1.ClusterSetSpec{ClusterSetID: "demo", ClusterID: "west",
			Hub: v1alpha1.HubAccess{Server: "https://hub.example.com", SecretRef: v1alpha1.SecretReference{Name: "hub"}}},
		Status: v1alpha1.ClusterSetStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue,
			Reason: v1alpha1.ReasonAccepted, ObservedGeneration: 1, LastTransitionTime: metav1.Now()}}}}
	si := &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		Spec: mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, IPs: []string{"244.0.0.7"},
			Ports: []mcsv1beta1.ServicePort{{Name: "http", Port: 80, Protocol: "TCP"}}},
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "east.web", Labels: map[string]string{
			v1alpha1.LabelServiceName: "web", v1alpha1.LabelSourceCluster: "east", discoveryv1.LabelManagedBy: v1alpha1.ManagedBy}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(int32(8080)), Protocol: ptr.To(corev1.ProtocolTCP)}},
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.1.0.5"}}, {Addresses: []string{"10.1.0.6"}}},
	}
	s.create(set, si)
	slice.OwnerReferences = []metav1.OwnerReference{{APIVersion: mcsv1beta1.GroupVersion.String(), Kind: mcsv1beta1.ServiceImportKindName, Name: si.Name, UID: si.UID}}
	s.create(slice)
	s.create(&v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: "east"}, Spec: v1alpha1.RemoteClusterSpec{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16"}}})
	s.create(&v1alpha1.GatewayNode{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: "gw"},
		Spec: v1alpha1.GatewayNodeSpec{NodeName: "gw", PublicKey: strings.Repeat("A", 43) + "=", UnderlayAddresses: []v1alpha1.IPAddress{"127.0.0.2"},
			Endpoints: []v1alpha1.Endpoint{{Address: "127.0.0.2", Port: 51820}}},
		Status: v1alpha1.GatewayNodeStatus{Lane: ptr.To(v1alpha1.Lane(3))}})

	web := plan.Key{Address: netip.MustParseAddr("244.0.0.7"), Port: 80, Protocol: serviceport.TCP}
	destinations := func() (n int) { // those that get new flows
		service, _ := a.planner.table.Get(web)
		for _, d := range service.Destinations {
			if d.Weight > 0 {
				n++
			}
		}
		return n
	}
	look := func() {
		work, started := a.marks.collect()
		if !started {
			return
		}
		if work.network {
			all, err := a.planNetwork(ctx)
			if err != nil {
				t.Fatal(err)
			}
			work.all = work.all || all
		}
		if err := a.planServices(ctx, work, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually("both endpoints and the gateway are planned", func() bool {
		look()
		return destinations() == 2 && slices.Equal(a.planner.network.Via, []string{"gw"})
	})
	slice.Endpoints[0].Conditions.Ready = ptr.To(false)
	if err := s.admin.Update(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	s.eventually("the unready endpoint goes", func() bool { look(); return destinations() == 1 })

	well := condition{corev1.ConditionTrue, v1alpha1.ReasonReady, "all is well"}
	for range 2 {
		if err := a.setCondition(ctx, well); err != nil {
			t.Fatal(err)
		}
	}
	versions := map[string]bool{}
	s.eventually("the cache has the condition", func() bool {
		if err := a.setCondition(ctx, well); err != nil {
			t.Fatal(err)
		}
		var have corev1.Node
		if err := errors.Join(s.admin.Get(t.Context(), types.NamespacedName{Name: thisNode}, &have),
			cluster.GetClient().Get(ctx, types.NamespacedName{Name: thisNode}, node)); err != nil {
			t.Fatal(err)
		}
		versions[have.ResourceVersion] = true
		return len(node.Status.Conditions) == 1 && node.Status.Conditions[0].Message == "all is well"
	})
	if len(versions) != 1 {
		t.Errorf("the condition was written %d times", len(versions))
	}

	if err := s.admin.Delete(t.Context(), si); err != nil {
		t.Fatal(err)
	}
	s.eventually("the deleted ServiceImport goes", func() bool { look(); return a.planner.table.Len() == 0 })
}
