//go:build integration

package gatewaylife_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

func request(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: system, Name: name}}
}

// putKeys makes the Secret of an older version, with a key under each name.
func (s *scene) putKeys(t *testing.T, names ...string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: members.Meta(system, v1alpha1.GatewayKeysSecret), Data: map[string][]byte{}}
	for _, name := range names {
		secret.Data[name] = []byte("key of " + name)
	}
	s.Make(t, secret)
}

// keys returns the names in the Secret; not there if it is gone.
func (s *scene) keys(t *testing.T) (names []string, there bool) {
	t.Helper()
	secret := &corev1.Secret{}
	err := s.Get(t.Context(), client.ObjectKey{Namespace: system, Name: v1alpha1.GatewayKeysSecret}, secret)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(secret.Data)), err == nil
}

func (s *scene) wantKeys(t *testing.T, want ...string) {
	t.Helper()
	if names, there := s.keys(t); !there || !slices.Equal(names, want) {
		t.Errorf("the Secret is there: %t, has keys of %v, want %v", there, names, want)
	}
}

// moveKey does what a gateway does that finds its key in the Secret.
func (s *scene) moveKey(t *testing.T, name string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: members.Meta(system, v1alpha1.GatewayKeysSecret)}
	text := fmt.Sprintf(`{"metadata":{"annotations":{%q:"true"}},"data":{%q:null}}`, v1alpha1.AnnotationKeysMoved, name)
	if err := s.Patch(t.Context(), secret, client.RawPatch(types.MergePatchType, []byte(text))); err != nil {
		t.Fatal(err)
	}
}

// The keys of nodes that are no gateways go, since nobody else removes them. Gateways take theirs.
// Then the Secret goes, too, and is not looked for any more.
func TestKeysOfOlderVersion(t *testing.T) {
	s := newScene(t)
	s.node(t, "g1")
	s.node(t, "g2")
	s.relabel(t, s.node(t, "was"), "null")
	s.gateway(t, "g1")
	s.gateway(t, "g2")
	s.putKeys(t, "g1", "g2", "of-long-ago", "was")
	s.step(t, 0, "g1")
	s.wantKeys(t, "g1", "g2")
	s.moveKey(t, "g1")
	s.step(t, 10, "g1")
	s.wantKeys(t, "g2")
	s.moveKey(t, "g2")
	s.step(t, 19.9, "g1") // it looks only every ten seconds
	s.wantKeys(t)
	s.step(t, 20, "g1")
	if names, there := s.keys(t); there {
		t.Errorf("the Secret is still there, with keys of %v", names)
	}
	s.step(t, 30, "g1")
	s.direct.err = errors.New("asked again")
	s.step(t, 40, "g1")
}

// Gateways of an older version need the Secret that its manifests have made, though it is empty.
func TestEmptySecretOfOlderVersion(t *testing.T) {
	s := newScene(t)
	s.node(t, "g1")
	s.gateway(t, "g1")
	s.putKeys(t)
	s.step(t, 0, "g1")
	s.step(t, 10, "g1")
	s.wantKeys(t)
}

// relabel sets or removes the gateways' label.
func (s *scene) relabel(t *testing.T, node *corev1.Node, value string) {
	t.Helper()
	text := `{"metadata":{"labels":{"` + v1alpha1.LabelGateway + `":` + value + `}}}`
	if err := s.Patch(t.Context(), node, client.RawPatch(types.MergePatchType, []byte(text))); err != nil {
		t.Fatal(err)
	}
}

// A GatewayNode goes with its Node. Others stay.
func TestNodeIsGone(t *testing.T) {
	s := newScene(t)
	one := s.node(t, "g1")
	s.node(t, "g2")
	s.gateway(t, "g1")
	s.gateway(t, "g2")
	s.step(t, 0, "g1")
	s.step(t, 0, "g2")
	if err := s.Delete(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	s.step(t, 1, "g1")
	if g := s.get(t, "g1"); g != nil {
		t.Errorf("the GatewayNode of a node that is gone is still there: %+v", g)
	}
	s.wantEvents(t, "Normal Removed node g1 is gone")
	s.step(t, 2, "g1")
	s.step(t, 2, "g2")
	if s.get(t, "g2") == nil {
		t.Error("the other GatewayNode is gone, too")
	}
}

// A cache that lacks the Node proves nothing.
func TestAbsentFromTheCacheOnly(t *testing.T) {
	s := newScene(t)
	s.gateway(t, "g1")
	s.settle(t)
	s.direct.Reader = existing{s.direct.Reader}
	s.step(t, 0, "g1")
	if s.get(t, "g1") == nil {
		t.Error("deleted though its Node exists")
	}
}

// existing reads any Node as one that exists and has the label.
type existing struct{ client.Reader }

func (e existing) Get(ctx context.Context, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
	node, is := into.(*corev1.Node)
	if !is {
		return e.Reader.Get(ctx, key, into, options...)
	}
	*node = corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: key.Name, Labels: map[string]string{v1alpha1.LabelGateway: "true"}}}
	return nil
}

// A node that loses the label stays a gateway until another does its work, or a minute has passed.
func TestLabelMoves(t *testing.T) {
	s := newScene(t)
	one := s.node(t, "g1")
	s.gateway(t, "g1")
	s.step(t, 0, "g1")
	s.relabel(t, one, "null")
	s.step(t, 10, "g1")
	s.step(t, 69, "g1")
	if s.get(t, "g1") == nil {
		t.Fatal("deleted before a minute has passed, and nobody does its work")
	}
	s.relabel(t, one, `"true"`)
	s.step(t, 70, "g1")
	s.relabel(t, one, "null")
	s.step(t, 80, "g1")

	s.node(t, "g2")
	two := s.gateway(t, "g2")
	two.Status.Lane = new(v1alpha1.Lane)
	meta.SetStatusCondition(&two.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Status: "True", Reason: "Ready"})
	if err := s.Status().Update(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	s.step(t, 90, "g1")
	s.step(t, 97.9, "g1")
	if s.get(t, "g1") == nil {
		t.Fatal("deleted before flows could move")
	}
	s.wantEvents(t)
	s.step(t, 98, "g1")
	if s.get(t, "g1") != nil {
		t.Error("still there, though another does its work")
	}
	s.wantEvents(t, "Normal Removed node g1 has no label clusterset.tombolo.dev/gateway=true any more")
	s.step(t, 99, "g1")
}
