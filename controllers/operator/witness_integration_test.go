//go:build integration

package operator_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/operator"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// witness watches what members have imported, and remembers whatever becomes less, be it for a
// moment.
type witness struct {
	mu     sync.Mutex
	has    map[string]int // guarded by mu; how much there is of each object
	losses []string       // guarded by mu
}

// witness begins to watch all members.
func (s *scene) witness(t *testing.T) *witness {
	t.Helper()
	w := &witness{has: map[string]int{}}
	for name, m := range s.members {
		c, err := client.NewWithWatch(m.RESTConfig(), client.Options{Scheme: operator.NewScheme()})
		if err != nil {
			t.Fatal(err)
		}
		w.watch(t, c, name, &mcsv1beta1.ServiceImportList{}, client.InNamespace(s.namespace))
		w.watch(t, c, name, &discoveryv1.EndpointSliceList{}, client.InNamespace(s.namespace), client.HasLabels{v1alpha1.LabelSourceCluster})
		w.watch(t, c, name, &v1alpha1.RemoteClusterList{})
	}
	return w
}

func (w *witness) watch(t *testing.T, c client.WithWatch, member string, list client.ObjectList, options ...client.ListOption) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	events, err := c.Watch(ctx, list, options...)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for event := range events.ResultChan() {
			if obj, ok := event.Object.(client.Object); ok {
				w.see(fmt.Sprintf("%s: %T %s", member, obj, client.ObjectKeyFromObject(obj)), event.Type, obj)
			}
		}
	})
	t.Cleanup(func() {
		events.Stop()
		cancel()
		running.Wait()
	})
}

func (w *witness) see(what string, kind watch.EventType, obj client.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, before := amount(obj), w.has[what]
	if kind == watch.Deleted {
		w.losses = append(w.losses, what+" was deleted")
		delete(w.has, what)
		return
	}
	if now < before {
		w.losses = append(w.losses, fmt.Sprintf("%s became less: %d after %d", what, now, before))
	}
	w.has[what] = now
}

// amount is how much an object holds of what must not be lost.
func amount(obj client.Object) int {
	switch o := obj.(type) {
	case *mcsv1beta1.ServiceImport:
		return len(o.Status.Clusters) + len(o.Spec.IPs) + len(o.Spec.Ports)
	case *discoveryv1.EndpointSlice:
		ready := 0
		for _, e := range o.Endpoints {
			if ptr.Deref(e.Conditions.Ready, true) {
				ready++
			}
		}
		return ready
	case *v1alpha1.RemoteCluster:
		return len(o.Spec.CIDRs) + len(o.Spec.Gateways)
	}
	return 0
}

// none fails if anything has been lost since the witness began or was last asked.
func (w *witness) none(t *testing.T, when string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, loss := range w.losses {
		t.Errorf("%s: %s", when, loss)
	}
	w.losses = nil
}

// forget is for losses that are meant.
func (w *witness) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.losses = nil
}

// forgetOf is for losses of objects whose names hold the text, of which nobody makes a promise.
func (w *witness) forgetOf(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.losses = slices.DeleteFunc(w.losses, func(loss string) bool { return strings.Contains(loss, text) })
}

// vips are the clusterset IPs that the member has, by name, with the UID of the import: neither
// changes for its life.
func (m *member) vips(t *testing.T) map[string]string {
	t.Helper()
	list := &mcsv1beta1.ServiceImportList{}
	if err := m.List(t.Context(), list, client.InNamespace(m.namespace)); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, i := range list.Items {
		found[i.Name] = fmt.Sprint(i.UID, i.Spec.IPs)
	}
	return found
}

// gateway makes a GatewayNode in the member, as an agent does, and its Node.
func (m *member) gateway(t *testing.T, node string) {
	t.Helper()
	m.Make(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node, Labels: map[string]string{v1alpha1.LabelGateway: "true"}}})
	g := &v1alpha1.GatewayNode{
		ObjectMeta: members.Meta(v1alpha1.DefaultNamespace, node),
		Spec: v1alpha1.GatewayNodeSpec{
			NodeName:  node,
			PublicKey: members.PublicKey(fmt.Sprintf("%p/%s", m, node)),
			Endpoints: []v1alpha1.Endpoint{{Address: "192.0.2.1", Port: 51820}},
		},
	}
	m.Make(t, g)
	ready := `{"status":{"conditions":[{"type":"Ready","status":"True","reason":"Ready","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`
	if err := m.Status().Patch(t.Context(), g, client.RawPatch(types.MergePatchType, []byte(ready))); err != nil {
		t.Fatal(err)
	}
}

// wantGateways waits until the member knows that many gateways of the other.
func (m *member) wantGateways(t *testing.T, of string, want int) {
	t.Helper()
	members.Eventually(t, func() error {
		remote := &v1alpha1.RemoteCluster{}
		if err := m.Get(t.Context(), client.ObjectKey{Name: of}, remote); err != nil {
			return err
		}
		if len(remote.Spec.Gateways) != want {
			return fmt.Errorf("%s knows %d gateways of %s, want %d", m.Name(), len(remote.Spec.Gateways), of, want)
		}
		return nil
	})
}
