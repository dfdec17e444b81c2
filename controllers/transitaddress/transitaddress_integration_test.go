//go:build integration

package transitaddress_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/transitaddress"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

// scene is a cluster with a ClusterSet and a reconciler with the operator's own rights.
type scene struct {
	*members.Env
	set *v1alpha1.ClusterSet
	r   *transitaddress.Reconciler
}

func newScene(t *testing.T) *scene {
	t.Helper()
	c := clusters[members.HubName]
	s := &scene{Env: members.NewUnconnected(t, c, nil)}
	s.r = &transitaddress.Reconciler{Client: s.Own.GetClient(), Direct: s.Own.GetAPIReader()}
	s.set = &v1alpha1.ClusterSet{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName},
		Spec: v1alpha1.ClusterSetSpec{ClusterSetID: members.SetID, ClusterID: "west",
			Hub: v1alpha1.HubAccess{Server: "https://hub.example", SecretRef: v1alpha1.SecretReference{Name: "none"}}},
	}
	s.Make(t, s.set)
	return s
}

// index sets this cluster's index, as the hub would tell it.
func (s *scene) index(t *testing.T, index int32) {
	t.Helper()
	s.set.Status.Index = index
	if err := s.Status().Update(t.Context(), s.set); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) node(t *testing.T, name string) *corev1.Node {
	t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"others": "label"},
		Annotations: map[string]string{"others": "annotation"}}}
	s.Make(t, n)
	return n
}

func (s *scene) step(t *testing.T) {
	t.Helper()
	s.Step(t, s.r, "", v1alpha1.ClusterSetName)
}

// get returns the node as the API server has it.
func (s *scene) get(t *testing.T, name string) *corev1.Node {
	t.Helper()
	n := &corev1.Node{}
	if err := s.Get(t.Context(), client.ObjectKey{Name: name}, n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (s *scene) annotation(t *testing.T, name string) string {
	t.Helper()
	return s.get(t, name).Annotations[v1alpha1.AnnotationTransitAddress]
}

// annotate sets the annotation as an admin.
func (s *scene) annotate(t *testing.T, name, value string) {
	t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationTransitAddress, value)
	if err := s.Patch(t.Context(), s.get(t, name), client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

func TestAddresses(t *testing.T) {
	s := newScene(t)
	s.node(t, "a")
	s.step(t)
	if got := s.annotation(t, "a"); got != "" {
		t.Errorf("without an index the node has %q", got)
	}
	s.index(t, 2)
	s.node(t, "b")
	s.step(t)
	blocks := []netip.Prefix{netip.MustParsePrefix("245.0.32.0/20"), clusterset.TransitBlock6(members.SetID, 2)}
	a, b := s.annotation(t, "a"), s.annotation(t, "b")
	for _, value := range []string{a, b} {
		addrs := clusterset.ParseTransitAddresses(value)
		if len(addrs) != 2 || !blocks[0].Contains(addrs[0]) || !blocks[1].Contains(addrs[1]) {
			t.Errorf("addresses %q, want one in each of %v", value, blocks)
		}
	}
	if a == b {
		t.Errorf("both have %q", a)
	}
	if n := s.get(t, "a"); n.Labels["others"] != "label" || n.Annotations["others"] != "annotation" {
		t.Errorf("others' things: %v, %v", n.Labels, n.Annotations)
	}

	version := s.get(t, "a").ResourceVersion
	s.step(t)
	if got := s.get(t, "a").ResourceVersion; got != version {
		t.Error("written though nothing changed")
	}
	s.annotate(t, "b", a)
	s.step(t)
	if got := s.annotation(t, "b"); s.annotation(t, "a") != a || got != b {
		t.Errorf("after b claimed a's address: a has %q, b %q; want %q, %q", s.annotation(t, "a"), got, a, b)
	}
	s.annotate(t, "a", "")
	s.step(t)
	if got := s.annotation(t, "a"); got != a {
		t.Errorf("after it was emptied a has %q, want %q again", got, a)
	}

	if err := s.Delete(t.Context(), s.set); err != nil {
		t.Fatal(err)
	}
	s.step(t)
	if _, has := s.get(t, "a").Annotations[v1alpha1.AnnotationTransitAddress]; has {
		t.Error("without a ClusterSet the address stays")
	}
}

// behind is a client whose cache has not seen some nodes yet.
type behind struct {
	client.Client
	hidden string
}

func (b behind) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if err := b.Client.List(ctx, list, options...); err != nil {
		return err
	}
	nodes := list.(*corev1.NodeList)
	nodes.Items = slices.DeleteFunc(nodes.Items, func(n corev1.Node) bool { return n.Name == b.hidden })
	return nil
}

// An operator whose cache lacks what another one gave gives that address to nobody else, and a node
// gets it only after its holder has gone.
func TestNobodyGetsAnAddressTwice(t *testing.T) {
	s := newScene(t)
	s.index(t, 2)
	const first, second = "node-10", "node-40" // whose names have the same place
	s.node(t, first)
	s.step(t)
	held := s.annotation(t, first)
	s.node(t, second)
	s.r.Client = behind{s.Own.GetClient(), first}
	s.step(t)
	if got := s.annotation(t, second); got == held || got == "" {
		t.Errorf("%s has %q, which is %s's %q", second, got, first, held)
	}
	s.r.Client = s.Own.GetClient()
	if err := s.Delete(t.Context(), s.get(t, first)); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), s.get(t, second)); err != nil {
		t.Fatal(err)
	}
	s.node(t, second)
	s.step(t)
	if got := s.annotation(t, second); got != held {
		t.Errorf("%s has %q, want %q, which is free again", second, got, held)
	}
}

// before is a reader that shows nodes as they were.
type before struct {
	client.Reader
	nodes []metav1.PartialObjectMetadata
}

func (b before) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*metav1.PartialObjectMetadataList).Items = b.nodes
	return nil
}

// A node that changed since it was read is read again before it is written.
func TestOptimisticLock(t *testing.T) {
	s := newScene(t)
	s.index(t, 2)
	old := s.node(t, "a").DeepCopy()
	s.annotate(t, "a", "245.0.32.99")
	s.r.Direct = before{s.Own.GetAPIReader(), []metav1.PartialObjectMetadata{{ObjectMeta: old.ObjectMeta}}}
	result := s.Step(t, s.r, "", v1alpha1.ClusterSetName)
	if again := result != (reconcile.Result{}); !again || s.annotation(t, "a") != "245.0.32.99" {
		t.Errorf("an older Node was written over a newer one: %q, again %t", s.annotation(t, "a"), again)
	}
	s.r.Direct = s.Own.GetAPIReader()
	s.step(t)
	if got := s.annotation(t, "a"); !strings.HasPrefix(got, "245.0.32.99,fd") {
		t.Errorf("the node has %q", got)
	}
}
