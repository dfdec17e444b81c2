package apiserver

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func serve(t *testing.T) (*Server, kubernetes.Interface) {
	t.Helper()
	return serveIn(t, runtime.ContentTypeJSON)
}

// serveIn: the client reads that content type if it can.
func serveIn(t *testing.T, contentType string) (*Server, kubernetes.Interface) {
	t.Helper()
	a := New(clientgoscheme.Scheme,
		Kind{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Node"), Plural: "nodes"},
		Kind{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Service"), Plural: "services", Namespaced: true},
		Kind{GroupVersionKind: discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), Plural: "endpointslices", Namespaced: true})
	file := filepath.Join(t.TempDir(), "kubeconfig")
	server, err := a.Listen(nil, file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	config.ContentType = contentType
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return a, client
}

func service(name string, port int32) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: port}}}}
}

func put(t *testing.T, a *Server, s *corev1.Service) {
	t.Helper()
	if err := a.Put(s); err != nil {
		t.Fatal(err)
	}
}

// TestInformer: what client-go keeps is what the server was given, before and after it began to
// watch.
func TestInformer(t *testing.T) {
	for _, contentType := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
		t.Run(contentType, func(t *testing.T) { testInformer(t, contentType) })
	}
}

func testInformer(t *testing.T, contentType string) {
	a, client := serveIn(t, contentType)
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
	if err := a.Remove(service("first", 82)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "removal", func() bool {
		_, err := informer.Lister().Services("default").Get("first")
		return apierrors.IsNotFound(err)
	})
}

// TestForm: a client that reads protobuf gets that, and one that does not does not.
func TestForm(t *testing.T) {
	for _, contentType := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
		a, client := serveIn(t, contentType)
		put(t, a, service("first", 80))
		var got string
		result := client.CoreV1().RESTClient().Get().Resource("services").Do(t.Context())
		if result.ContentType(&got); got != contentType {
			t.Errorf("content type %q, want %q", got, contentType)
		}
		list, err := client.CoreV1().Services("").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(list.Items) != 1 || list.ResourceVersion != "1" || list.Items[0].Spec.Ports[0].Port != 80 {
			t.Errorf("%s: %v, %v; want the one service", contentType, list, err)
		}
	}
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
	if err := a.Put(&corev1.Secret{}); err == nil {
		t.Error("a secret was taken, which is not of the kinds")
	}
}

func TestNode(t *testing.T) {
	a, client := serve(t)
	if _, err := client.CoreV1().Nodes().Get(t.Context(), "worker", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a node that is not there: %v", err)
	}
	if err := a.Put(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker"}}); err != nil {
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

// TestDiscovery: which kinds there are, by group and version.
func TestDiscovery(t *testing.T) {
	_, client := serve(t)
	_, lists, err := client.Discovery().ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, list := range lists {
		for _, r := range list.APIResources {
			got[list.GroupVersion] = append(got[list.GroupVersion], fmt.Sprintf("%s %s %t", r.Name, r.Kind, r.Namespaced))
		}
	}
	want := map[string][]string{"v1": {"nodes Node false", "services Service true"}, "discovery.k8s.io/v1": {"endpointslices EndpointSlice true"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds (-want +got)\n%s", diff)
	}
}

// TestNamespace: a list and a watch of one namespace have nothing of others.
func TestNamespace(t *testing.T) {
	a, client := serve(t)
	elsewhere := service("elsewhere", 80)
	elsewhere.Namespace = "other"
	put(t, a, elsewhere)
	put(t, a, service("here", 80))
	list, err := client.CoreV1().Services("default").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Name != "here" {
		t.Fatalf("%v, %v; want the one of that namespace", list, err)
	}
	w, err := client.CoreV1().Services("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if s := (<-w.ResultChan()).Object.(*corev1.Service); s.Name != "here" {
		t.Errorf("the watch of a namespace has %s of another one", s.Name)
	}
	if at := a.Asked("Service"); at.IsZero() || !a.Asked("Node").IsZero() {
		t.Errorf("asked for services at %s and for nodes at %s", at, a.Asked("Node"))
	}
}

// TestPatchStatus: conditions are merged by their type, and watches hear of it.
func TestPatchStatus(t *testing.T) {
	a, client := serve(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker"},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: "Ready", Status: "True"}, {Type: "Own", Status: "False"}}}}
	if err := a.Put(node); err != nil {
		t.Fatal(err)
	}
	patched, err := client.CoreV1().Nodes().PatchStatus(t.Context(), "worker",
		[]byte(`{"status":{"conditions":[{"type":"Own","status":"True"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.CoreV1().Nodes().Get(t.Context(), "worker", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	status := map[corev1.NodeConditionType]corev1.ConditionStatus{}
	for _, c := range got.Status.Conditions {
		status[c.Type] = c.Status
	}
	want := map[corev1.NodeConditionType]corev1.ConditionStatus{"Ready": "True", "Own": "True"}
	if diff := cmp.Diff(want, status); diff != "" || got.ResourceVersion == "1" || got.ResourceVersion != patched.ResourceVersion {
		t.Errorf("version %s, answered %s; conditions (-want +got)\n%s", got.ResourceVersion, patched.ResourceVersion, diff)
	}
	if _, err := client.CoreV1().Nodes().PatchStatus(t.Context(), "nobody", []byte(`{}`)); !apierrors.IsNotFound(err) {
		t.Errorf("patching a node that is not there: %v", err)
	}
}
