package kubeproxy

import (
	"net/http/httptest"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

func serve(t *testing.T) (*api, kubernetes.Interface) {
	t.Helper()
	a := newAPI()
	server := httptest.NewServer(a.mux)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return a, client
}

func service(name string, port int32) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: port}}}}
}

func put(t *testing.T, a *api, s *corev1.Service) {
	t.Helper()
	if err := a.put(s); err != nil {
		t.Fatal(err)
	}
}

// TestInformer: what client-go keeps is what the server was given, before and after it began to watch.
func TestInformer(t *testing.T) {
	a, client := serve(t)
	put(t, a, service("first", 80))
	factory := informers.NewSharedInformerFactory(client, 0)
	informer := factory.Core().V1().Services()
	informer.Informer()
	factory.Start(t.Context().Done())
	if !cache.WaitForCacheSync(t.Context().Done(), informer.Informer().HasSynced) {
		t.Fatal("the informer did not synchronise")
	}
	has := func(name string, port int32) bool {
		s, err := informer.Lister().Services("default").Get(name)
		return err == nil && s.Spec.Ports[0].Port == port
	}
	if !has("first", 80) {
		t.Error("the first service is missing after the first list")
	}
	put(t, a, service("second", 81))
	put(t, a, service("first", 82))
	eventually(t, "changes", func() bool { return has("first", 82) && has("second", 81) })
	if err := a.remove(service("first", 82)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "removal", func() bool {
		_, err := informer.Lister().Services("default").Get("first")
		return apierrors.IsNotFound(err)
	})
}

// TestListThenWatch: the older way, and every event exactly once.
func TestListThenWatch(t *testing.T) {
	a, client := serve(t)
	put(t, a, service("first", 80))
	list, err := client.CoreV1().Services("").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("%d services, %v; want 1", len(list.Items), err)
	}
	put(t, a, service("second", 80))
	w, err := client.CoreV1().Services("").Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	put(t, a, service("second", 81))
	for _, want := range []watch.EventType{watch.Added, watch.Modified} {
		e := <-w.ResultChan()
		if s, ok := e.Object.(*corev1.Service); e.Type != want || !ok || s.Name != "second" {
			t.Errorf("event %s %v, want %s of the second service", e.Type, e.Object, want)
		}
	}
	if err := a.put(&corev1.Secret{}); err == nil {
		t.Error("a secret was taken, which kube-proxy does not read")
	}
}

func TestNode(t *testing.T) {
	a, client := serve(t)
	if _, err := client.CoreV1().Nodes().Get(t.Context(), "worker", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a node that is not there: %v", err)
	}
	if err := a.put(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Nodes().Get(t.Context(), "worker", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not arrive", what)
		}
	}
}
