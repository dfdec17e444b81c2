//go:build integration

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/operator"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters, "east", "west", "north")) }

// start runs an operator in the cluster until the test ends, with health served at the address, if
// there is one.
func start(t *testing.T, c *members.Cluster, listenAddress string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var registry prometheus.Registerer = prometheus.NewRegistry()
	var addresses []string
	if listenAddress != "" {
		registry, addresses = nil, []string{listenAddress} // the one that is served
	}
	mgr, err := operator.New(ctx, operator.Config{
		Registry:        registry,
		REST:            c.OperatorConfig(),
		Namespace:       v1alpha1.DefaultNamespace,
		ListenAddresses: addresses,
		Logger:          testr.New(t).WithName(c.Name()),
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("operator of %s: %v", c.Name(), err)
		}
	})
}

// join makes east and west members of the clusterset, with the hub's namespace of config/hub.
func join(t *testing.T) (east, west, hub *members.Cluster) {
	t.Helper()
	east, west, hub = clusters["east"], clusters["west"], clusters[members.HubName]
	for i, c := range []*members.Cluster{east, west} {
		access := hub.Approve(t, v1alpha1.DefaultHubNamespace, c.Name(), v1alpha1.MemberSpec{
			Index: int32(i + 1),
			CIDRs: []v1alpha1.CIDR{v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", i+1))},
		})
		c.Join(t, c.Name(), hub, access)
		start(t, c, "")
	}
	return east, west, hub
}

func service(namespace, name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
}

func slice(namespace, service string, ready bool, addresses ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: service + "-abc",
			Labels: map[string]string{discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: members.EndpointSliceController},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{a}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(ready)},
			Zone: ptr.To("zone-1"), NodeName: ptr.To("node-1"),
		})
	}
	return s
}

// imported returns the ready addresses that the cluster imports for the Service.
func imported(ctx context.Context, c *members.Cluster, namespace, name string) (ready []string, err error) {
	list := &discoveryv1.EndpointSliceList{}
	err = c.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelServiceName: name})
	for _, s := range list.Items {
		for _, e := range s.Endpoints {
			if ptr.Deref(e.Conditions.Ready, true) {
				ready = append(ready, e.Addresses[0])
			}
		}
	}
	return ready, err
}

func TestExportToImport(t *testing.T) {
	east, west, hub := join(t)
	ctx := t.Context()
	for _, c := range []*members.Cluster{east, west} {
		c.MakeNamespace(t, "shop", nil)
	}
	east.Make(t, service("shop", "web"))
	local := slice("shop", "web", true, "10.1.0.5", "10.1.0.6", "10.9.0.7")
	east.Make(t, local)
	export := &mcsv1beta1.ServiceExport{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	started := time.Now()
	east.Make(t, export)
	for _, c := range clusters {
		c.Dump(t)
	}

	for _, c := range []*members.Cluster{west, east} {
		members.Eventually(t, func() error {
			ready, err := imported(ctx, c, "shop", "web")
			if err == nil && len(ready) != 2 {
				err = fmt.Errorf("cluster %s imports %v, want 2 addresses", c.Name(), ready)
			}
			return err
		})
	}
	t.Logf("imported after %v", time.Since(started))
	vip := checkImport(t, west)
	checkImport(t, east)
	checkExport(t, east)
	measure(t, east, west, local)

	if err := east.Delete(ctx, export); err != nil {
		t.Fatal(err)
	}
	started = time.Now()
	members.Eventually(t, func() error { return gone(ctx, west) })
	t.Logf("gone after %v, VIP was %s", time.Since(started), vip)
	members.Eventually(t, func() error { return gone(ctx, east) })
	left := &discoveryv1.EndpointSliceList{}
	members.Eventually(t, func() error {
		if err := hub.List(ctx, left, client.InNamespace(v1alpha1.DefaultHubNamespace)); err != nil {
			return err
		}
		if len(left.Items) > 0 {
			return fmt.Errorf("%d slices are left on the hub", len(left.Items))
		}
		return nil
	})
}

func checkImport(t *testing.T, c *members.Cluster) string {
	t.Helper()
	serviceImport := &mcsv1beta1.ServiceImport{}
	members.Eventually(t, func() error {
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "web"}, serviceImport); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(serviceImport.Status.Conditions, "Ready") {
			return fmt.Errorf("cluster %s: not ready: %+v", c.Name(), serviceImport.Status)
		}
		return nil
	})
	if len(serviceImport.Spec.IPs) != 1 || len(serviceImport.Spec.IPFamilies) != 1 || len(serviceImport.Spec.Ports) != 1 {
		t.Errorf("cluster %s: spec %+v", c.Name(), serviceImport.Spec)
	}
	return serviceImport.Spec.IPs[0]
}

func checkExport(t *testing.T, c *members.Cluster) {
	t.Helper()
	export := &mcsv1beta1.ServiceExport{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "web"}, export); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"Valid", "Ready"} {
		if !meta.IsStatusConditionTrue(export.Status.Conditions, kind) {
			t.Errorf("condition %s: %+v", kind, export.Status.Conditions)
		}
	}
	t.Logf("conditions: %+v", export.Status.Conditions)
}

// measure turns an endpoint ready and unready, and logs how long west takes to see it.
func measure(t *testing.T, east, west *members.Cluster, local *discoveryv1.EndpointSlice) {
	t.Helper()
	ctx := t.Context()
	var total time.Duration
	const rounds = 20
	for i := range rounds {
		local.Endpoints[0].Conditions.Ready = ptr.To(i%2 == 1)
		if err := east.Update(ctx, local); err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		members.Eventually(t, func() error {
			ready, err := imported(ctx, west, "shop", "web")
			if err == nil && len(ready) != 1+i%2 {
				err = errors.New("not yet")
			}
			return err
		})
		total += time.Since(started)
	}
	t.Logf("propagation: %v on average", total/rounds)
}

func gone(ctx context.Context, c *members.Cluster) error {
	err := c.Get(ctx, client.ObjectKey{Namespace: "shop", Name: "web"}, &mcsv1beta1.ServiceImport{})
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("cluster %s: ServiceImport is still there (%v)", c.Name(), err)
	}
	ready, err := imported(ctx, c, "shop", "web")
	if err == nil && len(ready) > 0 {
		err = fmt.Errorf("cluster %s: %v are still there", c.Name(), ready)
	}
	return err
}
