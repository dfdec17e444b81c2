//go:build integration

package gatewaylife_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func request(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: system, Name: name}}
}

// putKeys makes the Secret hold a key under each name, besides what it holds.
func (s *scene) putKeys(t *testing.T, names ...string) {
	t.Helper()
	secret := s.keys(t)
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	for _, name := range names {
		secret.Data[name] = []byte("key of " + name)
	}
	if err := s.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) keys(t *testing.T) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	if err := s.Get(t.Context(), client.ObjectKey{Namespace: system, Name: v1alpha1.GatewayKeysSecret}, secret); err != nil {
		t.Fatal(err)
	}
	return secret
}

func (s *scene) wantKey(t *testing.T, name string, want bool) {
	t.Helper()
	if _, has := s.keys(t).Data[name]; has != want {
		t.Errorf("the Secret has a key of %s: %t, want %t", name, has, want)
	}
}

// relabel sets or removes the gateways' label.
func (s *scene) relabel(t *testing.T, node *corev1.Node, value string) {
	t.Helper()
	text := `{"metadata":{"labels":{"` + v1alpha1.LabelGateway + `":` + value + `}}}`
	if err := s.Patch(t.Context(), node, client.RawPatch(types.MergePatchType, []byte(text))); err != nil {
		t.Fatal(err)
	}
}

// A GatewayNode goes with its Node, and its key, too. Others keep theirs.
func TestNodeIsGone(t *testing.T) {
	s := newScene(t)
	one := s.node(t, "g1")
	s.node(t, "g2")
	s.gateway(t, "g1")
	s.gateway(t, "g2")
	s.putKeys(t, "g1", "g2", "of-long-ago")
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
	s.wantKey(t, "g1", true) // the key goes last
	for _, name := range []string{"g1", "g2", "of-long-ago"} {
		s.step(t, 2, name)
	}
	s.wantKey(t, "g1", false)
	s.wantKey(t, "g2", true)
	s.wantKey(t, "of-long-ago", false)
	if s.get(t, "g2") == nil {
		t.Error("the other GatewayNode is gone, too")
	}
}

// A cache that lacks the Node proves nothing.
func TestAbsentFromTheCacheOnly(t *testing.T) {
	s := newScene(t)
	s.gateway(t, "g1")
	s.putKeys(t, "g1")
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
// Its key stays.
func TestLabelMoves(t *testing.T) {
	s := newScene(t)
	one := s.node(t, "g1")
	s.gateway(t, "g1")
	s.putKeys(t, "g1")
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
	s.wantKey(t, "g1", true)
}
