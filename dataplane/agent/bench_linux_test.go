package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/apiserver"
)

// manyImports are ServiceImports of 16 endpoints in another cluster each.
func manyImports(n int) (all []runtime.Object) {
	for i := range n {
		name := fmt.Sprintf("service-%05d", i)
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name + "-east", Labels: map[string]string{
				v1alpha1.LabelServiceName: name, v1alpha1.LabelSourceCluster: "east", discoveryv1.LabelManagedBy: v1alpha1.ManagedBy},
				OwnerReferences: []metav1.OwnerReference{{UID: types.UID(name)}}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("tcp"), Protocol: ptr.To(corev1.ProtocolTCP), Port: ptr.To[int32](8080)}},
		}
		for k := range 16 {
			address := netip.AddrFrom4([4]byte{10, 16 + byte(i>>12), byte(i >> 4), byte(i<<4 | k)})
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{address.String()},
				Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true), Serving: ptr.To(true), Terminating: ptr.To(false)},
				NodeName:   ptr.To("east-worker"), Zone: ptr.To("east-a")})
		}
		all = append(all, slice, &mcsv1beta1.ServiceImport{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
			Spec: mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, IPs: []string{fmt.Sprintf("244.0.%d.%d", i/250, i%250+1)},
				Ports: []mcsv1beta1.ServicePort{{Name: "tcp", Protocol: corev1.ProtocolTCP, Port: 80}}},
		})
	}
	return all
}

// manyCluster has that many of them; it is started, and ends with the test.
func manyCluster(t testing.TB, imports int) *node.Cluster {
	t.Helper()
	server, err := apiserver.Dataplane()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Put(manyImports(imports)...); err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	api, err := server.Listen(nil, kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := NewCluster(config, v1alpha1.DefaultNamespace)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- cluster.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, api.Close()); err != nil {
			t.Error(err)
		}
	})
	return cluster
}

// BenchmarkPlanServices plans 5,000 ServiceImports of 16 endpoints each, from the cache to what the
// kernel should have: as the first pass does, and again when nothing has changed, as when a pass
// looks at all of them because their place may be another one.
func BenchmarkPlanServices(b *testing.B) {
	cluster := manyCluster(b, 5000)
	if err := New(Config{Client: cluster.GetClient(), NodeName: "worker"}).Watch(b.Context(), cluster); err != nil {
		b.Fatal(err)
	}
	planAll := func(a *Agent) {
		if err := a.planServices(b.Context(), work{all: true}, time.Now()); err != nil {
			b.Fatal(err)
		}
		if n := a.planner.table.Len(); n != 5000 {
			b.Fatalf("%d virtual services", n)
		}
	}
	fresh := func() *Agent {
		a := New(Config{Client: cluster.GetClient(), NodeName: "worker"})
		a.planner.known, a.planner.place = true, plan.Place{Cluster: "west", Node: "worker",
			VIPs: []netip.Prefix{netip.MustParsePrefix("244.0.0.0/16")}, FailBack: 30 * time.Second}
		return a
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			planAll(fresh())
		}
	})
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		a := fresh()
		planAll(a)
		for b.Loop() {
			planAll(a)
		}
	})
}
