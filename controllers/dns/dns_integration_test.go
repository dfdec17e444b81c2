//go:build integration

package dns_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/dns"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

// kubeadm's Corefile, but for times that a test would notice if the zone were cached, and for names
// outside of the cluster.
const kubeadms = `.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 3600
    }
    prometheus :9153
    cache 3600 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
`

// env is a cluster with a CoreDNS, and the reconciler, which acts as the operator.
type env struct {
	*members.Env
	r      *dns.Reconciler
	events *events
}

// events are those that were made.
type events struct {
	mu  sync.Mutex
	all []string // guarded by mu
}

func (e *events) Eventf(_, _ runtime.Object, kind, reason, _, note string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, kind+" "+reason+" "+fmt.Sprintf(note, args...))
}

// take returns the events since it was last called.
func (e *events) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.all
	e.all = nil
	return all
}

func newEnv(t *testing.T) *env {
	t.Helper()
	c := clusters[members.HubName]
	e := members.NewUnconnected(t, c, nil)
	found := &events{}
	c.Dump(t)
	return &env{Env: e, r: &dns.Reconciler{Client: e.Own.GetClient(), Events: found}, events: found}
}

// join makes the ClusterSet, with CoreDNS configured by us.
func (e *env) join(t *testing.T) {
	t.Helper()
	e.Make(t, &v1alpha1.ClusterSet{
		ObjectMeta: members.Meta("", v1alpha1.ClusterSetName),
		Spec: v1alpha1.ClusterSetSpec{
			ClusterSetID: members.SetID, ClusterID: members.Own, DNS: v1alpha1.DNSManaged,
			Hub: v1alpha1.HubAccess{Server: "https://hub.invalid:6443", SecretRef: v1alpha1.SecretReference{Name: "none"}},
		},
	})
}

func (e *env) coreDNS(t *testing.T, corefile, image string) {
	t.Helper()
	e.Make(t, &corev1.ConfigMap{
		ObjectMeta: members.Meta(dns.Namespace, dns.Name),
		Data:       map[string]string{"Corefile": corefile, "another": "stays"},
	})
	labels := map[string]string{"k8s-app": "kube-dns"}
	e.Make(t, &appsv1.Deployment{
		ObjectMeta: members.Meta(dns.Namespace, dns.Name),
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{ServiceAccountName: "coredns", Containers: []corev1.Container{{Name: "coredns", Image: image}}},
			},
		},
	})
}

// step reconciles until nothing is left to do, with caches that are up to date, and returns the
// condition.
func (e *env) step(t *testing.T) *metav1.Condition {
	t.Helper()
	e.settle(t)
	ctx := logr.NewContext(t.Context(), testr.New(t))
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
		_, err := e.r.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKey{Name: v1alpha1.ClusterSetName}})
		if err == nil {
			break
		}
		// An API server takes up to half a minute to learn the kind that a policy names.
		if !strings.Contains(err.Error(), "failed to configure policy") || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	set := &v1alpha1.ClusterSet{}
	if err := e.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		return nil
	}
	return meta.FindStatusCondition(set.Status.Conditions, v1alpha1.ConditionDNSReady)
}

// settle waits until the operator's cache holds what the API server holds.
func (e *env) settle(t *testing.T) {
	t.Helper()
	members.Eventually(t, func() error {
		for key, kind := range map[client.ObjectKey]func() client.Object{
			{Name: v1alpha1.ClusterSetName}:             func() client.Object { return &v1alpha1.ClusterSet{} },
			{Name: dns.Binding}:                         func() client.Object { return &rbacv1.ClusterRoleBinding{} },
			{Namespace: dns.Namespace, Name: "coredns"}: func() client.Object { return &corev1.ConfigMap{} },
		} {
			if err := sameVersion(t.Context(), e.Client, e.Own.GetClient(), key, kind); err != nil {
				return err
			}
		}
		return sameVersion(t.Context(), e.Client, e.Own.GetClient(), client.ObjectKey{Namespace: dns.Namespace, Name: dns.Name},
			func() client.Object { return &appsv1.Deployment{} })
	})
}

func sameVersion(ctx context.Context, truth, cached client.Reader, key client.ObjectKey, kind func() client.Object) error {
	want, have := kind(), kind()
	errWant, errHave := truth.Get(ctx, key, want), cached.Get(ctx, key, have)
	if client.IgnoreNotFound(errWant) != nil || client.IgnoreNotFound(errHave) != nil {
		return fmt.Errorf("%s: %v, %v", key, errWant, errHave)
	}
	if want.GetResourceVersion() != have.GetResourceVersion() {
		return fmt.Errorf("the cache of %T is behind", want)
	}
	return nil
}

func (e *env) config(t *testing.T) *corev1.ConfigMap {
	t.Helper()
	config := &corev1.ConfigMap{}
	if err := e.Get(t.Context(), client.ObjectKey{Namespace: dns.Namespace, Name: dns.Name}, config); err != nil {
		t.Fatal(err)
	}
	return config
}

// setCorefile changes the Corefile, as an admin.
func (e *env) setCorefile(t *testing.T, text string) {
	t.Helper()
	config := e.config(t)
	config.Data["Corefile"] = text
	if err := e.Update(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}

func (e *env) setMode(t *testing.T, mode v1alpha1.DNSMode) {
	t.Helper()
	set := &v1alpha1.ClusterSet{}
	if err := e.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		t.Fatal(err)
	}
	set.Spec.DNS = mode
	if err := e.Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
}

// bound is the account that may read ServiceImports, "" if none may.
func (e *env) bound(t *testing.T) string {
	t.Helper()
	binding := &rbacv1.ClusterRoleBinding{}
	err := e.Get(t.Context(), client.ObjectKey{Name: dns.Binding}, binding)
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil || len(binding.Subjects) != 1 || binding.RoleRef.Name != "tombolo-coredns" {
		t.Fatalf("binding %+v, error %v", binding, err)
	}
	return binding.Subjects[0].Namespace + "/" + binding.Subjects[0].Name
}

func want(t *testing.T, c *metav1.Condition, status metav1.ConditionStatus, reason string, words ...string) {
	t.Helper()
	if c == nil || c.Status != status || c.Reason != reason {
		t.Fatalf("DNSReady is %+v, want %s %s", c, status, reason)
	}
	for _, word := range words {
		if !strings.Contains(c.Message, word) {
			t.Errorf("the message lacks %q: %s", word, c.Message)
		}
	}
}

func TestManagedAndBack(t *testing.T) {
	e := newEnv(t)
	e.join(t)
	e.coreDNS(t, kubeadms, "registry.k8s.io/coredns/coredns:v1.12.2")
	want(t, e.step(t), "True", "Configured", "makes CoreDNS serve clusterset.local")
	config := e.config(t)
	for _, line := range []string{
		"    kubernetes cluster.local in-addr.arpa ip6.arpa clusterset.local {\n       multicluster clusterset.local\n",
		"       disable success cluster.local clusterset.local\n       disable denial cluster.local clusterset.local\n",
	} {
		if !strings.Contains(config.Data["Corefile"], line) {
			t.Errorf("the Corefile lacks\n%s\n%s", line, config.Data["Corefile"])
		}
	}
	if got := e.bound(t); got != "kube-system/coredns" {
		t.Errorf("account %q may read ServiceImports", got)
	}
	if got := e.events.take(); len(got) != 1 || !strings.Contains(got[0], "CorefileChanged") {
		t.Errorf("events %q", got)
	}
	want(t, e.step(t), "True", "Configured", "makes CoreDNS serve clusterset.local")
	if again := e.config(t); again.ResourceVersion != config.ResourceVersion || len(e.events.take()) > 0 {
		t.Error("written though nothing changed")
	}

	e.setMode(t, v1alpha1.DNSManual)
	want(t, e.step(t), "False", "Manual", "Managed", "config/coredns", "`multicluster clusterset.local`")
	e.isPlain(t)
	if got := e.events.take(); len(got) != 1 || !strings.Contains(got[0], "CorefileRestored") {
		t.Errorf("events %q", got)
	}
}

// isPlain wants nothing of ours to be left.
func (e *env) isPlain(t *testing.T) {
	t.Helper()
	config := e.config(t)
	if config.Data["Corefile"] != kubeadms || config.Data["another"] != "stays" || len(config.Annotations) > 0 {
		t.Errorf("left in the ConfigMap: %v\n%s", config.Annotations, config.Data["Corefile"])
	}
	if got := e.bound(t); got != "" {
		t.Errorf("%s may still read ServiceImports", got)
	}
}

func TestClusterSetDeleted(t *testing.T) {
	e := newEnv(t)
	e.join(t)
	e.coreDNS(t, kubeadms, "coredns:v1.13.0")
	want(t, e.step(t), "True", "Configured")
	if err := e.Delete(t.Context(), &v1alpha1.ClusterSet{ObjectMeta: members.Meta("", v1alpha1.ClusterSetName)}); err != nil {
		t.Fatal(err)
	}
	e.step(t)
	e.isPlain(t)
}

func TestDriftIsRepaired(t *testing.T) {
	e := newEnv(t)
	e.join(t)
	e.coreDNS(t, kubeadms, "coredns:v1.13.0")
	e.step(t)
	full := e.config(t).Data["Corefile"]

	e.setCorefile(t, kubeadms)
	want(t, e.step(t), "True", "Configured")
	if got := e.config(t).Data["Corefile"]; got != full {
		t.Errorf("not added again:\n%s", got)
	}

	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: members.Meta("", dns.Binding)}
	if err := e.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	e.step(t)
	if got := e.bound(t); got != "kube-system/coredns" {
		t.Errorf("account %q may read ServiceImports", got)
	}

	e.setCorefile(t, "# mine\n"+strings.Replace(full, "disable denial cluster.local clusterset.local", "disable denial", 1))
	e.step(t)
	e.setMode(t, v1alpha1.DNSManual)
	e.step(t)
	wanted := "# mine\n" + strings.Replace(kubeadms, "disable denial cluster.local", "disable denial", 1)
	if got := e.config(t).Data["Corefile"]; got != wanted {
		t.Errorf("what a human changed is not kept:\n%s", got)
	}
}

// A CoreDNS that changes its account, its version or its Corefile.
func TestCoreDNSChanges(t *testing.T) {
	e := newEnv(t)
	e.join(t)
	want(t, e.step(t), "False", "CoreDNSNotFound", "neither ConfigMap nor Deployment", "Manual")
	e.coreDNS(t, kubeadms, "coredns:v1.12.1")
	want(t, e.step(t), "False", "CoreDNSTooOld", "1.12.1", "1.12.2")
	e.isPlain(t)

	e.setImage(t, "coredns:v1.13.0", "dns")
	want(t, e.step(t), "True", "Configured")
	if got := e.bound(t); got != "kube-system/dns" {
		t.Errorf("account %q may read ServiceImports", got)
	}
	e.setImage(t, "coredns:latest", "coredns")
	want(t, e.step(t), "True", "Configured", "is no version")
	if got := e.bound(t); got != "kube-system/coredns" {
		t.Errorf("account %q may read ServiceImports", got)
	}

	full := e.config(t).Data["Corefile"]
	broken := strings.Replace(full, "    loop\n", "    loop {\n", 1)
	e.setCorefile(t, broken)
	want(t, e.step(t), "False", "CorefileNotUnderstood", "does not change the Corefile", "line 21", "add the closing }")
	e.setMode(t, v1alpha1.DNSManual)
	want(t, e.step(t), "False", "CorefileNotUnderstood", "line 21")
	if got := e.config(t).Data["Corefile"]; got != broken {
		t.Errorf("changed though it is not understood:\n%s", got)
	}
	e.setCorefile(t, full)
	want(t, e.step(t), "False", "Manual")
	e.isPlain(t)

	e.setMode(t, v1alpha1.DNSManaged)
	want(t, e.step(t), "True", "Configured")
	e.setImage(t, "coredns:v1.11.4", "coredns") // which would refuse to start
	want(t, e.step(t), "False", "CoreDNSTooOld")
	e.isPlain(t)
}

func (e *env) setImage(t *testing.T, image, account string) {
	t.Helper()
	deployment := &appsv1.Deployment{}
	if err := e.Get(t.Context(), client.ObjectKey{Namespace: dns.Namespace, Name: dns.Name}, deployment); err != nil {
		t.Fatal(err)
	}
	deployment.Spec.Template.Spec.Containers[0].Image = image
	deployment.Spec.Template.Spec.ServiceAccountName = account
	deployment.Spec.Template.Spec.DeprecatedServiceAccount = account
	if err := e.Update(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
}

// What an admin configured by hand is nobody else's.
func TestByHand(t *testing.T) {
	e := newEnv(t)
	e.join(t)
	e.coreDNS(t, kubeadms, "coredns:v1.13.0")
	e.step(t)
	full := e.config(t).Data["Corefile"]
	e.setMode(t, v1alpha1.DNSManual)
	e.step(t)
	e.setCorefile(t, full)
	want(t, e.step(t), "True", "Configured")
	e.setMode(t, v1alpha1.DNSManaged)
	want(t, e.step(t), "True", "Configured", "tombolo added nothing")
	e.setMode(t, v1alpha1.DNSManual)
	want(t, e.step(t), "True", "Configured")
	if got := e.config(t).Data["Corefile"]; got != full {
		t.Errorf("what is not ours was taken away:\n%s", got)
	}
}

// The note of what tombolo added is lost, as when the ConfigMap is moved to Git and replaced. tombolo
// leaves the lines, and CoreDNS its right with them, or it would not start again: whether the admin
// then says Manual or uninstalls.
func TestNoteIsLost(t *testing.T) {
	e := newEnv(t)
	e.join(t)
	e.coreDNS(t, kubeadms, "coredns:v1.13.0")
	want(t, e.step(t), "True", "Configured")
	config := e.config(t)
	full := config.Data["Corefile"]
	config.Annotations = nil
	if err := e.Update(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	const left = "has `multicluster` in line 8; tombolo has no note"
	e.setMode(t, v1alpha1.DNSManual)
	want(t, e.step(t), "True", "Configured", left, dns.Binding, "before you uninstall")
	e.isBound(t, "Manual")

	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: members.Meta("", dns.Binding)} // as an older version did
	if err := e.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	e.step(t)
	e.isBound(t, "after it was lost")

	e.setImage(t, "coredns:v1.11.4", "coredns")
	want(t, e.step(t), "False", "CoreDNSTooOld", left)
	e.setMode(t, v1alpha1.DNSManaged)
	want(t, e.step(t), "False", "CoreDNSTooOld", left)
	e.isBound(t, "too old")
	e.setImage(t, "coredns:v1.13.0", "coredns")
	e.setMode(t, v1alpha1.DNSManual)

	e.setCorefile(t, strings.Replace(full, "    loop\n", "    loop {\n", 1))
	want(t, e.step(t), "False", "CorefileNotUnderstood")
	e.isBound(t, "not understood")
	e.setCorefile(t, strings.Replace(full, "multicluster clusterset.local", "multicluster other.local", 1)) // edited by hand
	e.step(t)
	e.isBound(t, "edited by hand")

	e.events.take()
	if err := e.Delete(t.Context(), &v1alpha1.ClusterSet{ObjectMeta: members.Meta("", v1alpha1.ClusterSetName)}); err != nil {
		t.Fatal(err)
	}
	e.step(t)
	e.isBound(t, "uninstalled")
	if got := e.events.take(); len(got) != 1 || !strings.Contains(got[0], "CorefileNotRestored") || !strings.Contains(got[0], left) {
		t.Errorf("events %q", got)
	}
	e.setCorefile(t, kubeadms)
	e.step(t)
	e.isPlain(t)
}

// isBound wants CoreDNS to have its right.
func (e *env) isBound(t *testing.T, when string) {
	t.Helper()
	if got := e.bound(t); got != "kube-system/coredns" {
		t.Errorf("%s: account %q may read ServiceImports, and the Corefile is\n%s", when, got, e.config(t).Data["Corefile"])
	}
}

// tombolo does not read files that the Corefile imports: the admin may have moved the lines there. A
// snippet of the Corefile itself is no such file.
func TestCorefileThatImports(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		kept bool
	}{
		"a plugin's file": {strings.Replace(kubeadms, "    loop\n", "    import custom/*.override\n    loop\n", 1), true},
		"server blocks":   {kubeadms + "import /etc/coredns/custom/*.server\n", true},
		"a snippet":       {"(more) {\n    loop\n}\n" + strings.Replace(kubeadms, "    loop\n", "    import more\n", 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			e.join(t)
			e.coreDNS(t, tt.text, "coredns:v1.13.0")
			want(t, e.step(t), "True", "Configured")
			e.setMode(t, v1alpha1.DNSManual)
			c := e.step(t)
			want(t, c, "False", "Manual")
			if kept := e.bound(t) != ""; kept != tt.kept || strings.Contains(c.Message, "imports") != tt.kept {
				t.Errorf("the right is there: %v, want %v; the condition says %s", kept, tt.kept, c.Message)
			}
		})
	}
}

// The operator reads neither Deployment nor Corefile of a CoreDNS with another name. One
// that has lost its ConfigMap may run with what it had.
func TestCoreDNSOfAnotherName(t *testing.T) {
	e := newEnv(t)
	e.join(t)
	e.coreDNS(t, kubeadms, "coredns:v1.13.0")
	want(t, e.step(t), "True", "Configured")
	if err := e.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: members.Meta(dns.Namespace, dns.Name)}); err != nil {
		t.Fatal(err)
	}
	e.setMode(t, v1alpha1.DNSManual)
	want(t, e.step(t), "Unknown", "CoreDNSNotFound")
	if e.bound(t) == "" {
		t.Error("CoreDNS lost its right with its ConfigMap, and may still run with what that said")
	}
	if err := e.Delete(t.Context(), &appsv1.Deployment{ObjectMeta: members.Meta(dns.Namespace, dns.Name)}); err != nil {
		t.Fatal(err)
	}
	want(t, e.step(t), "Unknown", "CoreDNSNotFound")
	if got := e.bound(t); got != "" {
		t.Errorf("%s may still read ServiceImports, and there is no CoreDNS", got)
	}
}

// The operator may touch nothing else of kube-system.
func TestRights(t *testing.T) {
	e := newEnv(t)
	e.coreDNS(t, kubeadms, "coredns:v1.13.0")
	operator, err := client.New(e.OperatorConfig(), client.Options{Scheme: e.Own.GetScheme()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	other := &corev1.ConfigMap{ObjectMeta: members.Meta(dns.Namespace, "kube-proxy")}
	deployment := &appsv1.Deployment{ObjectMeta: members.Meta(dns.Namespace, dns.Name)}
	admin := &rbacv1.ClusterRoleBinding{
		ObjectMeta: members.Meta("", "tombolo-test"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: v1alpha1.DefaultNamespace, Name: "tombolo-operator"}},
	}
	for _, tt := range []struct {
		what string
		err  error
	}{
		{"reading another ConfigMap", operator.Get(ctx, client.ObjectKeyFromObject(other), other)},
		{"listing ConfigMaps", operator.List(ctx, &corev1.ConfigMapList{}, client.InNamespace(dns.Namespace))},
		{"writing another ConfigMap", operator.Update(ctx, other)},
		{"making a ConfigMap", operator.Create(ctx, other)},
		{"changing the Deployment", operator.Patch(ctx, deployment, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":0}}`)))},
		{"binding another role", operator.Create(ctx, admin)},
		{"removing another's binding", operator.Delete(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: members.Meta("", "tombolo-operator")})},
	} {
		if !apierrors.IsForbidden(tt.err) {
			t.Errorf("%s: got %v, want Forbidden", tt.what, tt.err)
		}
	}
}
