package node

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/apiserver"
)

// switchable is an API server that can be replaced.
type switchable struct{ atomic.Pointer[http.Handler] }

func (s *switchable) set(h http.Handler) { s.Store(&h) }

func (s *switchable) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*s.Load()).ServeHTTP(w, r) }

func newTestCluster(t *testing.T, handler http.Handler) *Cluster {
	t.Helper()
	server := httptest.NewServer(handler)
	c, err := NewCluster(ClusterConfig{
		REST:        &rest.Config{Host: server.URL},
		AddToScheme: []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme},
		Kinds: []Kind{
			{Object: &corev1.Node{}, Scope: meta.RESTScopeRoot},
			{Object: &v1alpha1.RemoteCluster{}, Scope: meta.RESTScopeRoot},
			{Object: &corev1.Secret{}, Scope: meta.RESTScopeNamespace, Unwatched: true},
		},
		Indexes: []Index{{Object: &corev1.Node{}, Field: "zone", Values: func(o client.Object) []string { return []string{o.GetLabels()["zone"]} }}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- c.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		server.CloseClientConnections()
		server.Close()
	})
	return c
}

// TestWatch: an API server that is away, or lacks kinds, is waited for, and Ready says so. When
// Watch returns, the handler has been told of all objects.
func TestWatch(t *testing.T) {
	t.Parallel()
	const nodes = 300
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	core := []apiserver.Kind{
		{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Node"), Plural: "nodes"},
		{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Secret"), Plural: "secrets", Namespaced: true},
	}
	complete := apiserver.New(scheme, append(core, apiserver.Kind{GroupVersionKind: v1alpha1.GroupVersion.WithKind("RemoteCluster"), Plural: "remoteclusters"})...)
	for i := range nodes {
		n := &corev1.Node{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%d", i), Labels: map[string]string{"zone": fmt.Sprint(i % 3)}}}
		if err := complete.Put(n); err != nil {
			t.Fatal(err)
		}
	}
	var handler switchable
	handler.set(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "away", http.StatusServiceUnavailable) }))
	c := newTestCluster(t, &handler)
	if err := c.Ready(); err != nil {
		t.Errorf("before Watch: %v", err)
	}

	var told atomic.Int32
	watched := make(chan error)
	go func() {
		watched <- c.Watch(t.Context(), OnEvent(func(client.Object) {
			time.Sleep(time.Millisecond) // as where others take the CPU
			told.Add(1)
		}, nil))
	}()
	for c.Ready() == nil {
		time.Sleep(time.Millisecond)
	}
	if why := c.Ready().Error(); !strings.HasPrefix(why, "waiting: asking this cluster's API server for its kinds: ") {
		t.Errorf("while the API server is away: %s", why)
	}
	handler.set(apiserver.New(scheme, core...))
	const missing = "RemoteCluster.clusterset.tombolo.dev is not served: install the CRDs"
	if why := c.checkServed(); why == nil || why.Error() != missing {
		t.Errorf("without the CRD: %v", why)
	}
	handler.set(complete)
	if err := <-watched; err != nil {
		t.Fatal(err)
	}
	if n := told.Load(); n != nodes {
		t.Errorf("told of %d nodes, want %d", n, nodes)
	}
	if err := c.Ready(); err != nil {
		t.Errorf("after Watch: %v", err)
	}
	var list corev1.NodeList
	if err := c.GetClient().List(t.Context(), &list, client.MatchingFields{"zone": "1"}); err != nil || len(list.Items) != nodes/3 {
		t.Errorf("%d nodes by index, %v", len(list.Items), err)
	}
}

// TestWatchEnds: what is waited for does not outlive ctx.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, http.NotFoundHandler())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Watch(ctx, OnEvent(func(client.Object) {}, nil)); err != nil {
		t.Error(err)
	}
}

func TestOnEvent(t *testing.T) {
	one, other := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "one"}}, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "other"}}
	same := func(before, after client.Object) bool { return before.GetName() == after.GetName() }
	for _, tt := range []struct {
		name string
		same func(before, after client.Object) bool
		do   func(toolscache.ResourceEventHandler)
		want string
	}{
		{"added", same, func(h toolscache.ResourceEventHandler) { h.OnAdd(one, false) }, "[one]"},
		{"changed", same, func(h toolscache.ResourceEventHandler) { h.OnUpdate(one, other) }, "[one other]"},
		{"not changed", same, func(h toolscache.ResourceEventHandler) { h.OnUpdate(one, one) }, "[]"},
		{"every update counts", nil, func(h toolscache.ResourceEventHandler) { h.OnUpdate(one, one) }, "[one one]"},
		{"deleted", same, func(h toolscache.ResourceEventHandler) { h.OnDelete(one) }, "[one]"},
		{"found deleted", same, func(h toolscache.ResourceEventHandler) {
			h.OnDelete(toolscache.DeletedFinalStateUnknown{Key: "one", Obj: one})
		}, "[one]"},
		{"found deleted, but what", same, func(h toolscache.ResourceEventHandler) {
			h.OnDelete(toolscache.DeletedFinalStateUnknown{Key: "one"})
		}, "[]"},
	} {
		marked := []string{}
		tt.do(OnEvent(func(o client.Object) { marked = append(marked, o.GetName()) }, tt.same))
		if got := fmt.Sprint(marked); got != tt.want {
			t.Errorf("%s: marked %s, want %s", tt.name, got, tt.want)
		}
	}
}
