//go:build integration

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/tombolo-net/tombolo/hack/testbin"
)

// cluster is a real API server, without controllers, and Helm with an admin's rights in it.
type cluster struct {
	client.Client
	helm string
}

const release = "tombolo"

func newCluster(t *testing.T, version string) cluster {
	t.Helper()
	binaries, err := testbin.Dir()
	if err != nil {
		t.Fatal(err)
	}
	server := &envtest.Environment{BinaryAssetsDirectory: binaries}
	config, err := server.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	user, err := server.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, kubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", file)
	t.Setenv("HELM_CACHE_HOME", t.TempDir())
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return cluster{Client: c, helm: helm(t, version)}
}

// run runs Helm in the namespace of the release.
func (c cluster) run(t *testing.T, args ...string) {
	t.Helper()
	output(t, c.helm, append(args, "--namespace", "elsewhere")...)
}

// install installs the chart with those values.
func (c cluster) install(t *testing.T, chart, set string) {
	t.Helper()
	c.run(t, "install", release, chart, "--create-namespace", "--set", set)
}

// present returns which of the objects are there.
func (c cluster) present(t *testing.T, objects map[string]*unstructured.Unstructured) []string {
	t.Helper()
	var there []string
	for name, o := range objects {
		have := &unstructured.Unstructured{}
		have.SetGroupVersionKind(o.GroupVersionKind())
		err := c.Get(t.Context(), client.ObjectKeyFromObject(o), have)
		if err == nil && have.GetDeletionTimestamp() == nil {
			there = append(there, name)
		}
		if client.IgnoreNotFound(err) != nil && !strings.Contains(err.Error(), "no matches for kind") {
			t.Fatal(err)
		}
	}
	return there
}

// get reads an object that the release has made.
func (c cluster) get(t *testing.T, apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, o); err != nil {
		t.Fatal(err)
	}
	return o
}

// The life of a release, with each Helm: lint, install, upgrade with another value and another CRD,
// rollback, and uninstall, which keeps the CRDs. Installed again with crds.keep=false it leaves
// nothing.
func TestLifecycle(t *testing.T) {
	for _, version := range []string{"helm3", "helm4"} {
		t.Run(version, func(t *testing.T) {
			chart := newChart(t)
			c := newCluster(t, version)
			output(t, c.helm, "lint", "--strict", chart)
			const values = "hub.enabled=true,secureMetrics.enabled=true"
			objects := parse(t, output(t, c.helm, "template", release, chart, "--namespace", "elsewhere", "--set", values))
			c.install(t, chart, values)
			if have := c.present(t, objects); len(have) != len(objects) {
				t.Errorf("%d of %d objects are there", len(have), len(objects))
			}

			next := newChart(t)
			addField(t, next)
			c.run(t, "upgrade", release, next, "--reuse-values", "--set", "operator.replicas=3")
			c.check(t, "upgrade", 3, true)
			c.run(t, "rollback", release, "1")
			c.check(t, "rollback", 2, false)

			c.run(t, "uninstall", release)
			for _, name := range c.present(t, objects) {
				if !strings.HasPrefix(name, "CustomResourceDefinition ") && name != "Namespace tombolo-hub" {
					t.Errorf("%s is left", name)
				}
			}
			if have := c.present(t, objects); len(have) != 10 {
				t.Errorf("%d objects are left, want 9 CRDs and the hub's namespace: %v", len(have), have)
			}
			c.install(t, chart, values+",crds.keep=false")
			c.run(t, "uninstall", release)
			if have := c.present(t, objects); len(have) > 0 {
				t.Errorf("left after crds.keep=false: %v", have)
			}
		})
	}
}

// check wants the operator to have so many replicas, the CRD to have the added field or not.
func (c cluster) check(t *testing.T, after string, replicas int64, added bool) {
	t.Helper()
	operator := c.get(t, "apps/v1", "Deployment", "elsewhere", "tombolo-operator")
	if have, _, err := unstructured.NestedInt64(operator.Object, "spec", "replicas"); err != nil || have != replicas {
		t.Errorf("after %s the operator has %d replicas, want %d; error %v", after, have, replicas, err)
	}
	crd := c.get(t, "apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "members.clusterset.tombolo.dev")
	if have := strings.Contains(fmt.Sprint(crd.Object["spec"]), "addedByTheTest"); have != added {
		t.Errorf("after %s the CRD has the new field: %v, want %v", after, have, added)
	}
}

// addField makes the chart a newer one, whose Members have one more field.
func addField(t *testing.T, chart string) {
	t.Helper()
	file := filepath.Join(chart, "templates", "crds", "members.clusterset.tombolo.dev.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const before = "              removed:\n"
	if strings.Count(string(text), before) != 1 {
		t.Fatalf("%s has no field spec.removed", file)
	}
	added := strings.Replace(string(text), before, "              addedByTheTest:\n                type: string\n"+before, 1)
	if err := os.WriteFile(file, []byte(added), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What cannot work is refused, with the remedy, and changes nothing.
func TestRefused(t *testing.T) {
	for _, version := range []string{"helm3", "helm4"} {
		t.Run(version, func(t *testing.T) {
			chart := newChart(t)
			c := newCluster(t, version)
			c.createNamespace(t, "restricted", map[string]string{"pod-security.kubernetes.io/enforce": "baseline"})
			c.install(t, chart, "image.tag=v1")
			for _, tt := range []struct{ name, namespace, set, want string }{
				{"an unknown value", "default", "operator.replica=2", "replica"},
				{"a value of the wrong type", "default", "operator.replicas=two", "replicas"},
				{"nothing to install", "default", "member.enabled=false", "set member.enabled, hub.enabled or both"},
				{"Pod Security", "restricted", "", "kubectl label --overwrite namespace restricted pod-security.kubernetes.io/enforce=privileged"},
				{"a second installation", "default", "", "release-namespace"},
			} {
				t.Run(tt.name, func(t *testing.T) {
					checkRefused(t, tt.want, c.helm, "install", "second", chart, "--namespace", tt.namespace, "--set", tt.set)
				})
			}
			checkRefused(t, "1.31", c.helm, "template", "x", chart, "--kube-version", "1.30.9")
			if have := c.get(t, "apps/v1", "Deployment", "elsewhere", "tombolo-operator").GetGeneration(); have != 1 {
				t.Errorf("the operator has generation %d", have)
			}
		})
	}
}

func (c cluster) createNamespace(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("v1")
	o.SetKind("Namespace")
	o.SetName(name)
	o.SetLabels(labels)
	if err := c.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// checkRefused wants the program to fail and to say want.
func checkRefused(t *testing.T, want, program string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	text := string(out)
	if err == nil {
		t.Errorf("%v succeeded, want it refused with %q", args, want)
	} else if !strings.Contains(text, want) {
		t.Errorf("%v: %s\nwant it refused with %q", args, text, want)
	}
}
