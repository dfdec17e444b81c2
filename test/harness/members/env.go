//go:build integration

package members

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/operator"
)

// Env is a member that is connected with the hub, as a controller sees it, and in which no
// controller runs: the test calls Reconcile, once for each step.
type Env struct {
	*Cluster                 // the member's API server, as an admin
	Hub      *Cluster        // the hub's, as an admin
	Conn     *hub.Hub        // the member's connection
	Own      cluster.Cluster // the member's cached client, as the operator
}

// Own is the cluster ID of an Env's member; its Member has index 1 and the CIDR 10.1.0.0/16.
const Own v1alpha1.ClusterID = "east"

// NewEnv makes c a member of the hub, with an operator's caches, until the test ends. index
// prepares them.
func NewEnv(t *testing.T, c, hubCluster *Cluster, index func(context.Context, client.FieldIndexer) error) *Env {
	t.Helper()
	hubCluster.clearHub(t)
	access := hubCluster.Approve(t, v1alpha1.DefaultHubNamespace, string(Own),
		v1alpha1.MemberSpec{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16"}})
	c.Join(t, string(Own), hubCluster, access)
	e := NewUnconnected(t, c, index)
	e.Hub = hubCluster
	e.WaitStatus(t, v1alpha1.ReasonConnected)
	return e
}

// NewUnconnected starts an operator's caches and connection; ClusterSet and hub are the test's
// business.
func NewUnconnected(t *testing.T, c *Cluster, index func(context.Context, client.FieldIndexer) error) *Env {
	t.Helper()
	return NewUnconnectedAt(t, c, index, time.Now)
}

// NewUnconnectedAt is NewUnconnected with the member's clock.
func NewUnconnectedAt(t *testing.T, c *Cluster, index func(context.Context, client.FieldIndexer) error, now func() time.Time) *Env {
	t.Helper()
	ctx, cancel := context.WithCancel(logr.NewContext(context.Background(), testr.New(t)))
	own, err := cluster.New(c.OperatorConfig(), func(o *cluster.Options) {
		o.Scheme = operator.NewScheme()
		o.Logger = testr.New(t)
		o.Cache = operator.CacheOptions(v1alpha1.DefaultNamespace)
	})
	if err != nil {
		t.Fatal(err)
	}
	if index != nil {
		if err := index(ctx, own.GetFieldIndexer()); err != nil {
			t.Fatal(err)
		}
	}
	e := &Env{Cluster: c, Own: own}
	e.Conn = hub.New(hub.Config{Local: own.GetCache(), Writer: own.GetClient(), Namespace: v1alpha1.DefaultNamespace, Scheme: own.GetScheme(), Now: now})
	e.run(t, ctx, cancel, own.Start, e.Conn.Start)
	return e
}

// run runs all until the test ends.
func (e *Env) run(t *testing.T, ctx context.Context, cancel context.CancelFunc, all ...func(context.Context) error) {
	done := make(chan error)
	for _, start := range all {
		go func() { done <- start(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range all {
			if err := <-done; err != nil {
				t.Errorf("member %s: %v", e.Name(), err)
			}
		}
	})
}

// WaitStatus waits until the connection's status has that reason, and returns its message.
func (e *Env) WaitStatus(t *testing.T, reason string) string {
	t.Helper()
	Eventually(t, func() error {
		if status := e.Conn.Status(); status.Reason != reason {
			return fmt.Errorf("hub status is %s (%s), want %s", status.Reason, status.Message, reason)
		}
		return nil
	})
	return e.Conn.Status().Message
}

// Step brings the caches up to date, then reconciles once.
func (e *Env) Step(t *testing.T, r reconcile.Reconciler, namespace, name string) reconcile.Result {
	t.Helper()
	e.Settle(t)
	ctx := logr.NewContext(t.Context(), testr.New(t))
	result, err := r.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKey{Namespace: namespace, Name: name}})
	if err != nil {
		t.Fatalf("reconciling %s/%s: %v", namespace, name, err)
	}
	return result
}

// Settle waits until the caches of the member and of the hub hold what the API servers hold.
func (e *Env) Settle(t *testing.T) {
	t.Helper()
	Eventually(t, func() error {
		if err := same(t.Context(), e.Client, e.Own.GetClient(), memberLists()); err != nil {
			return err
		}
		view, err := e.Conn.View()
		if err != nil {
			return nil //nolint:nilerr // there is no cache to wait for
		}
		return same(t.Context(), e.Hub.Client, view.Reader, hubLists(), client.InNamespace(view.Namespace))
	})
}

func memberLists() []client.ObjectList {
	return []client.ObjectList{
		&v1alpha1.ClusterSetList{}, &v1alpha1.RemoteClusterList{}, &v1alpha1.TrafficPolicyList{}, &v1alpha1.ExportPolicyList{},
		&mcsv1beta1.ServiceExportList{}, &mcsv1beta1.ServiceImportList{},
		&discoveryv1.EndpointSliceList{}, &corev1.ServiceList{}, &corev1.NamespaceList{}, &corev1.NodeList{},
	}
}

func hubLists() []client.ObjectList {
	return []client.ObjectList{
		&v1alpha1.MemberList{}, &v1alpha1.ExportedServiceList{}, &v1alpha1.GatewayNodeList{}, &discoveryv1.EndpointSliceList{},
		&coordinationv1.LeaseList{},
	}
}

// same compares what two readers list, by UID and resource version.
func same(ctx context.Context, truth, cached client.Reader, lists []client.ObjectList, options ...client.ListOption) error {
	for _, list := range lists {
		want, err := versions(ctx, truth, list, options)
		if err != nil {
			return err
		}
		have, err := versions(ctx, cached, list, options)
		if err != nil {
			return err
		}
		if fmt.Sprint(have) != fmt.Sprint(want) {
			return fmt.Errorf("the cache of %T is behind", list)
		}
	}
	return nil
}

func versions(ctx context.Context, reader client.Reader, list client.ObjectList, options []client.ListOption) (map[string]string, error) {
	fresh := list.DeepCopyObject().(client.ObjectList)
	if err := reader.List(ctx, fresh, options...); err != nil {
		return nil, err
	}
	found := map[string]string{}
	return found, meta.EachListItem(fresh, func(obj runtime.Object) error {
		o := obj.(client.Object)
		found[string(o.GetUID())] = o.GetResourceVersion()
		return nil
	})
}

// clearHub removes what members published before, and makes the hub the clusterset's.
func (c *Cluster) clearHub(t *testing.T) {
	t.Helper()
	c.LabelHub(t, SetID)
	clear := func() {
		for _, kind := range []client.Object{
			&v1alpha1.ExportedService{}, &v1alpha1.GatewayNode{}, &discoveryv1.EndpointSlice{}, &coordinationv1.Lease{}, &v1alpha1.Member{},
		} {
			if err := c.DeleteAllOf(context.Background(), kind, client.InNamespace(v1alpha1.DefaultHubNamespace)); err != nil {
				t.Errorf("clearing the hub: %v", err)
			}
		}
	}
	clear()
	t.Cleanup(clear)
}

// LabelHub sets the clusterset that the hub's namespace says it is for; empty: none.
func (c *Cluster) LabelHub(t *testing.T, id string) {
	t.Helper()
	value := "null"
	if id != "" {
		value = fmt.Sprintf("%q", id)
	}
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, v1alpha1.LabelClusterSet, value)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.DefaultHubNamespace}}
	if err := c.Patch(t.Context(), namespace, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		t.Fatalf("labelling the hub: %v", err)
	}
}
