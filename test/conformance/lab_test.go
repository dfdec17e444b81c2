//go:build e2e

// Package conformance asserts on real clusters what the Multi-Cluster Services API asks of an
// implementation: KEP-1645 and its DNS specification, with the conditions of sigs.k8s.io/mcs-api.
// Names are looked up and Services are asked by dig, curl and nc in pods. It runs in a lab with
// tombolo installed, which it does not boot: `bin/lab run --install -- go test -tags e2e
// ./test/conformance`.
//
// The tests are tombolo's own, and say more than the suite of kubernetes-sigs/mcs-api;
// docs/conformance.md says how to run that one. What needs neither a pod nor a second kernel is
// tested with the controllers.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

const (
	// within is how long an import, an answer or an end may take. The suite of
	// kubernetes-sigs/mcs-api waits 20 s, and one thing at a time; here all tests run together,
	// perhaps on a busy machine.
	within = time.Minute
	// podsWithin is how long it may take until pods run, and their endpoints are known.
	podsWithin = 2 * time.Minute

	toolsNamespace = "conformance-tools"
	toolsPod       = "tools"
)

// cluster is one member.
type cluster struct {
	client.Client
	name string
}

// lab is two members with a pod of tools in each.
type lab struct {
	shell.Shell
	east, west *cluster
	own        map[*cluster][]corev1.IPFamily // that a cluster's pods have
	families   []corev1.IPFamily              // that the pods of both have
}

func (l *lab) both() []*cluster { return []*cluster{l.east, l.west} }

// theLab is prepared by the test that first wants it.
var theLab = sync.OnceValues(func() (*lab, error) {
	ctx, cancel := context.WithTimeout(context.Background(), podsWithin)
	defer cancel()
	sh, err := shell.New()
	if err != nil {
		return nil, err
	}
	l := &lab{Shell: sh}
	for _, tt := range []struct {
		name string
		c    **cluster
	}{{"east", &l.east}, {"west", &l.west}} {
		if *tt.c, err = newCluster(tt.name); err != nil {
			return nil, err
		}
	}
	for _, c := range l.both() {
		if err := l.startTools(ctx, c); err != nil {
			return nil, fmt.Errorf("preparing cluster %s: %w", c.name, err)
		}
	}
	for _, c := range l.both() {
		if err := l.ready(ctx, c); err != nil {
			return nil, fmt.Errorf("preparing cluster %s: %w", c.name, err)
		}
	}
	return l, l.readFamilies(ctx)
})

func newCluster(name string) (*cluster, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{CurrentContext: name}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig for %s: %w", name, err)
	}
	config.QPS = -1                           // the tests poll
	config.WarningHandler = rest.NoWarnings{} // such as that a headless Service has no use for affinity
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), mcsv1beta1.Install(scheme), mcsv1alpha1.Install(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("preparing client of %s: %w", name, err)
	}
	return &cluster{Client: c, name: name}, nil
}

// startTools makes the pod that asks: on a worker, so that what it sends takes the whole way.
func (l *lab) startTools(ctx context.Context, c *cluster) error {
	workers, err := l.Nodes(ctx, c.name, "!clusterset.tombolo.dev/gateway")
	if err != nil {
		return err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: toolsNamespace}}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: toolsPod, Namespace: toolsNamespace},
		Spec:       corev1.PodSpec{NodeName: workers[0], Containers: []corev1.Container{tools()}},
	}
	for _, object := range []client.Object{namespace, pod} {
		if err := c.Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

// ready waits until the pod of tools runs and CoreDNS serves the zone.
func (l *lab) ready(ctx context.Context, c *cluster) error {
	if _, err := l.Kubectl(ctx, c.name, "--namespace", toolsNamespace, "wait", "--for=condition=Ready", "--timeout=120s", "pod/"+toolsPod); err != nil {
		return err
	}
	_, err := shell.Eventually(ctx, podsWithin, func(ctx context.Context) (string, error) {
		out, err := l.tools(ctx, c, "dig", "+tries=1", "+time=2", "TXT", "dns-version.clusterset.local.")
		if err == nil && !strings.Contains(out, "status: NOERROR") {
			err = fmt.Errorf("CoreDNS does not serve clusterset.local: %s", out)
		}
		return "", err
	})
	return err
}

// tools runs a command in a cluster's pod of tools.
func (l *lab) tools(ctx context.Context, c *cluster, argv ...string) (string, error) {
	return l.InPod(ctx, c.name, toolsNamespace, toolsPod, argv...)
}

// scene is a namespace of one test in both clusters.
type scene struct {
	*lab
	namespace string
}

// newScene makes the namespace and removes it after the test. The test runs beside others from here
// on.
func newScene(t *testing.T, name string) *scene {
	t.Helper()
	t.Parallel()
	l, err := theLab()
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{lab: l, namespace: fmt.Sprintf("conformance-%s-%x", name, time.Now().UnixNano()&0xffffff)}
	for _, c := range l.both() {
		s.createNamespace(t, c)
	}
	return s
}

func (s *scene) createNamespace(t *testing.T, c *cluster) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(c.Delete(context.WithoutCancel(t.Context()), namespace)); err != nil {
			t.Errorf("removing namespace %s of %s: %v", s.namespace, c.name, err)
		}
	})
}

// create makes objects in the scene's namespace.
func (s *scene) create(t *testing.T, c *cluster, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		object.SetNamespace(s.namespace)
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
}

// remove deletes objects of the scene's namespace, known by name.
func (s *scene) remove(t *testing.T, c *cluster, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		object.SetNamespace(s.namespace)
		if err := c.Delete(t.Context(), object); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
}

// fetch reads an object of the scene's namespace.
func (s *scene) fetch(ctx context.Context, c *cluster, name string, object client.Object) error {
	if err := c.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, object); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// eventually repeats check until it returns nil, and ends the test with its last error if it does
// not in time.
func eventually(t *testing.T, timeout time.Duration, check func(ctx context.Context) error) {
	t.Helper()
	_, err := shell.Eventually(t.Context(), timeout, func(ctx context.Context) (string, error) { return "", check(ctx) })
	if err != nil {
		t.Fatal(err)
	}
}
