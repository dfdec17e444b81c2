package transitaddress

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// recorded remembers what was reported of which object.
type recorded []string

func (e *recorded) Eventf(regarding, _ runtime.Object, kind, reason, _, _ string, _ ...any) {
	*e = append(*e, fmt.Sprintf("%s %s %s", kind, reason, regarding.(client.Object).GetName()))
}

// TestExhausted: the nodes for which there is no address are told once each, have none, and get one
// when there is. It is of more nodes than an API server makes in a test.
func TestExhausted(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	set := &v1alpha1.ClusterSet{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName},
		Spec:       v1alpha1.ClusterSetSpec{ClusterSetID: "demo", TransitCIDR: "245.0.0.0/8"},
		Status:     v1alpha1.ClusterSetStatus{Index: 2},
	}
	objects := []client.Object{set}
	add := func(name string, created int64, annotation string) {
		n := &corev1.Node{ObjectMeta: node(name, created, annotation).ObjectMeta}
		n.UID = types.UID(name)
		objects = append(objects, n)
	}
	for i := range clusterset.NodeAddresses {
		add(fmt.Sprintf("old-%04d", i), 1, value(blocks, i))
	}
	add("new-1", 2, "")
	add("new-2", 3, value(blocks, 7)) // which is old-0007's
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	var told recorded
	r := &Reconciler{Client: c, Direct: c, Events: &told}
	annotation := func(name string) string {
		n := &corev1.Node{}
		if err := c.Get(t.Context(), client.ObjectKey{Name: name}, n); err != nil {
			t.Fatal(err)
		}
		return n.Annotations[v1alpha1.AnnotationTransitAddress]
	}
	step := func(want ...string) {
		t.Helper()
		if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(set)}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(told, recorded(want)) {
			t.Errorf("events %v, want %v", told, want)
		}
	}
	step("Warning TransitAddressesExhausted new-1", "Warning TransitAddressesExhausted new-2")
	if one, two := annotation("new-1"), annotation("new-2"); one != "" || two != "" {
		t.Errorf("without addresses the nodes have %q and %q", one, two)
	}
	step("Warning TransitAddressesExhausted new-1", "Warning TransitAddressesExhausted new-2")
	if err := c.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "old-0007"}}); err != nil {
		t.Fatal(err)
	}
	step("Warning TransitAddressesExhausted new-1", "Warning TransitAddressesExhausted new-2")
	if got := annotation("new-1"); got != value(blocks, 7) {
		t.Errorf("new-1 has %q, want %q, which is free", got, value(blocks, 7))
	}
}
